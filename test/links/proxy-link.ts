/** A link on loopback: a TCP proxy per port of the cloud that delays, swallows or resets what passes. */

import { connect, createServer, type Server, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { HEALED, type Link, type LinkState } from './link.ts';

const now = (): number => Number(process.hrtime.bigint()) / 1e6;
const LOOPBACK = '127.0.0.1';

interface Pair {
  readonly near: Socket;
  readonly far: Socket;
  /** Data was swallowed: a real connection would hold it and repeat it, this one can only stay silent for ever. */
  dead: boolean;
}

export function proxyLink(): Link {
  let state: LinkState = HEALED;
  const counts = { up: 0, down: 0, packets: 0 };
  const pairs = new Set<Pair>();
  const servers = new Map<number, Server>();

  const pass = (pair: Pair, from: Socket, to: Socket, count: (bytes: number) => void): void => {
    let turn = Promise.resolve();
    const later = (work: () => void): void => {
      const due = now() + state.delayMs;
      turn = turn.then(async () => {
        const left = due - now();
        if (left > 0) await sleep(left);
        if (state.mode !== 'up') pair.dead = true;
        if (!pair.dead && !to.destroyed) work();
      });
    };
    from.on('data', (bytes: Buffer) => {
      if (state.mode === 'reset') return void reset(pair);
      if (state.mode === 'silent') pair.dead = true;
      if (pair.dead) return;
      count(bytes.length);
      if (state.delayMs === 0) to.write(bytes);
      else later(() => to.write(bytes));
    });
    from.on('end', () =>
      state.delayMs === 0 && !pair.dead && state.mode === 'up' ? to.end() : later(() => to.end()),
    );
    from.on('error', () => later(() => to.resetAndDestroy()));
    from.on('close', () => {
      pairs.delete(pair);
      if (!pair.dead) to.destroy();
    });
  };
  const reset = ({ near, far }: Pair): void => {
    near.resetAndDestroy();
    far.resetAndDestroy();
  };

  const listen = async (port: number): Promise<Server> => {
    const server = createServer({ noDelay: true }, (near) => {
      if (state.mode === 'reset') return void near.resetAndDestroy();
      const far = connect({ port, host: LOOPBACK, noDelay: true });
      const pair: Pair = { near, far, dead: state.mode === 'silent' };
      pairs.add(pair);
      pass(pair, near, far, (bytes) => {
        counts.up += bytes;
      });
      pass(pair, far, near, (bytes) => {
        counts.down += bytes;
      });
    });
    await new Promise<void>((resolve) => server.listen(0, LOOPBACK, resolve));
    return server;
  };

  return {
    kind: 'proxy',
    losesPackets: false,
    set: async (next) => {
      state = next;
      if (next.mode === 'reset') for (const pair of pairs) reset(pair);
    },
    counts: async () => ({ ...counts }),
    command: (_side, command, args) => [command, args],
    address: () => LOOPBACK,
    host: () => LOOPBACK,
    across: async (port) => {
      const server = servers.get(port) ?? (await listen(port));
      servers.set(port, server);
      const bound = server.address();
      if (bound === null || typeof bound === 'string') throw new Error('the proxy does not listen');
      return `${LOOPBACK}:${bound.port}`;
    },
    close: async () => {
      for (const pair of pairs) reset(pair);
      await Promise.all(
        [...servers.values()].map((server) => new Promise((resolve) => server.close(resolve))),
      );
    },
  };
}
