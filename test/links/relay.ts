/** A relay that stands beside the cloud, and the edge enrolled at it: what passes the link is the relay's one connection. */

import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { Ports } from '../integration/support/node-process.ts';
import { program } from '../integration/support/package-folder.ts';
import { freePort } from '../integration/support/ports.ts';
import { configuration, writeFiles } from '../integration/support/resource-files.ts';
import { until } from '../integration/support/until.ts';
import type { Side } from './link.ts';
import type { WorldOptions } from './world.ts';

export interface BesideCloud {
  readonly edgeArguments: readonly string[];
  start(): Promise<void>;
  kill(): Promise<void>;
  /** Enrols the edge's data folder; leaves the relay running. */
  enrol(dataDir: string): Promise<void>;
}

export async function relayOf({ folder, link }: WorldOptions, cloud: Ports): Promise<BesideCloud> {
  const port = await freePort();
  const address = await link.across(port);
  const dataDir = join(folder, 'relay');
  const nameResolution = {
    component: 'sqlite',
    configuration: { connectionString: join(folder, 'names.db') },
  };
  const alone = join(writeFiles(folder, 'alone', { 'c.yaml': configuration({ nameResolution }) }), 'c.yaml');
  let child: ChildProcess | undefined;
  let ended: Promise<unknown> = Promise.resolve();

  const run = async (side: Side, ...args: readonly string[]): Promise<string> => {
    const [command, all] = link.command(side, program('skerry'), args);
    return (await promisify(execFile)(command, [...all])).stdout.trim();
  };
  const start = async (): Promise<void> => {
    if (child !== undefined) return;
    const [command, args] = link.command('cloud', program('skerry'), [
      'relay',
      `--listen=0.0.0.0:${port}`,
      `--public-address=${address.replace(/:\d+$/, '')}`,
      `--data-dir=${dataDir}`,
      `--config=${alone}`,
      '--internal-address=127.0.0.1',
      '--metrics-port=0',
      `--sidecar-http=http://127.0.0.1:${cloud.http}`,
      `--sidecar-grpc=127.0.0.1:${cloud.grpc}`,
      '--sidecar-allow=state,publish,subscribe,invoke',
    ]);
    const made = spawn(command, [...args], { stdio: ['ignore', 'pipe', 'inherit'] });
    child = made;
    ended = new Promise((resolve) => made.once('close', resolve));
    let output = '';
    made.stdout?.on('data', (bytes: Buffer) => {
      if (output.length < 4096) output += bytes.toString();
    });
    await until('the relay', () => output.includes('Skerry relay is up'), 20_000);
  };
  return {
    edgeArguments: [`--config=${alone}`],
    start,
    kill: async () => {
      child?.kill('SIGKILL');
      child = undefined;
      await ended;
    },
    enrol: async (edge) => {
      await start();
      const token = await run('cloud', 'relay', 'token', '--app-ids=edge', `--data-dir=${dataDir}`);
      await run(
        'edge',
        'enroll',
        `--relay=https://${address}`,
        `--token=${token}`,
        '--node=edge',
        `--data-dir=${edge}`,
      );
    },
  };
}
