/**
 * A link between two network namespaces: `wire.c` carries the packets from one to the other, so that delay and loss are
 * what TCP meets outside (the kernel's netem is not everywhere). The test itself reaches both sides by a cable that no
 * packet between them takes. The edge has no address that the cloud could call: nothing but answers goes down.
 */

import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Link, Side } from './link.ts';

const SIDES: readonly Side[] = ['edge', 'cloud'];
const ADDRESSES = { edge: '10.214.0.1', cloud: '10.214.0.2' } as const;
const MICRO = 1000;

function ip(...args: readonly string[]): void {
  execFileSync('ip', args, { stdio: ['ignore', 'ignore', 'pipe'] });
}

/** Why this machine cannot have such a link; false when it can. */
export function wireObstacle(): string | false {
  if (process.platform !== 'linux') return 'network namespaces are a matter of Linux';
  if (process.getuid?.() !== 0) return 'network namespaces need root';
  if (spawnSync('ip', ['-V']).error !== undefined) return 'the command ip is not installed';
  if (spawnSync('cc', ['--version']).error !== undefined) return 'there is no C compiler for the wire';
  if (!existsSync('/dev/net/tun')) return 'there is no /dev/net/tun';
  const name = `skp${process.pid}`;
  const made = spawnSync('ip', ['netns', 'add', name], { encoding: 'utf8' });
  if (made.status !== 0) return `network namespaces cannot be made here: ${made.stderr.trim()}`;
  ip('netns', 'del', name);
  return false;
}

/** `folder` takes the compiled wire. */
export async function wireLink(folder: string): Promise<Link> {
  const names = { edge: `ske${process.pid}`, cloud: `skc${process.pid}` } as const;
  const program = join(folder, 'wire');
  execFileSync('cc', ['-O2', '-o', program, join(import.meta.dirname, 'wire.c')]);
  const net = 1 + (process.pid % 120) * 2;
  const cable = (side: Side, end: 'host' | 'inside'): string =>
    `10.215.${net + SIDES.indexOf(side)}.${end === 'host' ? 1 : 2}`;
  let wire: Wire | undefined;
  const tearDown = (): void => {
    wire?.end();
    for (const name of Object.values(names)) spawnSync('ip', ['netns', 'del', name]);
  };
  try {
    for (const side of SIDES) {
      const name = names[side];
      ip('netns', 'add', name);
      ip('link', 'add', name, 'type', 'veth', 'peer', 'name', 'cable0', 'netns', name);
      ip('addr', 'add', `${cable(side, 'host')}/30`, 'dev', name);
      ip('link', 'set', name, 'up');
      ip('-n', name, 'addr', 'add', `${cable(side, 'inside')}/30`, 'dev', 'cable0');
      for (const device of ['lo', 'cable0']) ip('-n', name, 'link', 'set', device, 'up');
    }
    wire = await startWire(program, [names.edge, names.cloud]);
    for (const [side, other] of [
      ['edge', 'cloud'],
      ['cloud', 'edge'],
    ] as const) {
      ip('-n', names[side], 'addr', 'add', ADDRESSES[side], 'peer', ADDRESSES[other], 'dev', 'link0');
      ip('-n', names[side], 'link', 'set', 'link0', 'up');
    }
  } catch (error) {
    tearDown();
    throw error;
  }
  const carrier = wire;
  return {
    kind: 'wire',
    losesPackets: true,
    set: async ({ mode, delayMs, loss }) => {
      await carrier.say(`set ${mode} ${Math.round(delayMs * MICRO)} ${Math.round(loss * 1e6)} 0`);
    },
    counts: async () => {
      const [upPackets = 0, up = 0, downPackets = 0, down = 0] = (await carrier.say('count'))
        .split(' ')
        .map(Number);
      return { up, down, packets: upPackets + downPackets };
    },
    command: (side, command, args) => ['ip', ['netns', 'exec', names[side], command, ...args]],
    address: (side) => cable(side, 'inside'),
    host: (side) => cable(side, 'host'),
    across: async (port) => `${ADDRESSES.cloud}:${port}`,
    close: async () => tearDown(),
  };
}

interface Wire {
  say(line: string): Promise<string>;
  end(): void;
}

async function startWire(program: string, names: readonly string[]): Promise<Wire> {
  const child: ChildProcess = spawn(program, names, { stdio: ['pipe', 'pipe', 'inherit'] });
  const waiting: ((line: string) => void)[] = [];
  const next = (): Promise<string> => new Promise((resolve) => waiting.push(resolve));
  if (child.stdout !== null)
    createInterface({ input: child.stdout }).on('line', (line) => waiting.shift()?.(line));
  const ready = next();
  await Promise.race([
    ready,
    new Promise((_, reject) => {
      child.once('error', reject);
      child.once('exit', (code) => reject(new Error(`the wire ended with ${code}`)));
    }),
  ]);
  return {
    say: (line) => {
      const answer = next();
      child.stdin?.write(`${line}\n`);
      return answer;
    },
    end: () => child.kill('SIGKILL'),
  };
}
