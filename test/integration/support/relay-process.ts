/** A relay as a process, its commands, nodes enrolled at it, and a link in between that the test can cut or silence. */

import { connect, createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import type { Test } from 'tap';
import { askRelay } from '../../../runtime/relay/admin.ts';
import { enrolNode } from '../../../runtime/relay/enroll-client.ts';
import { enrolmentFile, writeEnrolment } from '../../../runtime/relay/enrolment.ts';
import { type Ended, nodesDirectory, runToEnd, startProcess } from './node-process.ts';
import { program } from './package-folder.ts';
import { freePort } from './ports.ts';
import { configuration, writeFiles } from './resource-files.ts';
import { until } from './until.ts';

export interface RelayProcess {
  readonly url: string;
  readonly port: number;
  readonly dataDir: string;
  readonly metricsPort: number;
  readonly pid: number;
  output(): string;
  stop(signal?: NodeJS.Signals): Promise<Ended>;
  /** What `skerry relay token` prints, without starting that command. */
  token(
    appIds: readonly string[],
    options?: { readonly ttlMs?: number; readonly node?: string },
  ): Promise<string>;
  command(...args: readonly string[]): Promise<Ended>;
  /** What `skerry mesh ls --json` prints. */
  nodes(): Promise<readonly NodeLine[]>;
}

export interface NodeLine {
  readonly node: string;
  readonly state: string;
  readonly enrolled: readonly string[];
  readonly announced: readonly string[];
  readonly since: number;
  readonly lastContact?: number;
  readonly reason?: string;
}

export async function startRelay(
  t: Test,
  options: {
    readonly args?: readonly string[];
    readonly dataDir?: string;
    readonly port?: number;
    readonly env?: Readonly<Record<string, string>>;
  } = {},
): Promise<RelayProcess> {
  const port = options.port ?? (await freePort());
  const metricsPort = await freePort();
  const dataDir = options.dataDir ?? join(nodesDirectory(t), `relay-${port}`);
  const { child, ended, output } = startProcess(
    t,
    program('skerry'),
    [
      'relay',
      `--listen=127.0.0.1:${port}`,
      `--data-dir=${dataDir}`,
      `--metrics-port=${metricsPort}`,
      ...(options.args ?? []),
    ],
    { env: { ...process.env, ...options.env } },
  );
  await until('the relay to be up', () => {
    if (child.exitCode !== null) throw new Error(`the relay ended: ${output()}`);
    return output().includes('Skerry relay is up');
  });
  const command = (...args: readonly string[]): Promise<Ended> =>
    runToEnd(t, program('skerry'), [...args, `--data-dir=${dataDir}`]);
  return {
    url: `https://127.0.0.1:${port}`,
    port,
    dataDir,
    metricsPort,
    pid: child.pid ?? 0,
    output,
    stop: (signal = 'SIGTERM') => {
      child.kill(signal);
      return ended;
    },
    token: async (appIds, options = {}) => {
      const answer = await askRelay(dataDir, 'POST', '/token', { appIds, ttlMs: 60_000, ...options });
      return (answer as { token: string }).token;
    },
    command,
    nodes: async () => ((await askRelay(dataDir, 'GET', '/nodes')) as { nodes: readonly NodeLine[] }).nodes,
  };
}

/** `skerry enroll`; the command's end. */
export function enrol(
  t: Test,
  options: { readonly url: string; readonly token: string; readonly node: string; readonly dataDir: string },
): Promise<Ended> {
  return runToEnd(t, program('skerry'), [
    'enroll',
    `--relay=${options.url}`,
    `--token=${options.token}`,
    `--node=${options.node}`,
    `--data-dir=${options.dataDir}`,
  ]);
}

/** A data folder enrolled at the relay for these app ids, as the command does it. */
export async function enrolledFolder(
  t: Test,
  relay: RelayProcess,
  node: string,
  appIds: readonly string[],
  url: string = relay.url,
): Promise<string> {
  const dataDir = join(nodesDirectory(t), `node-${node}`);
  const enrolment = await enrolNode({ relay: url, token: await relay.token(appIds), node });
  await writeEnrolment(enrolmentFile(dataDir), enrolment);
  return dataDir;
}

/** A Configuration file for a node that has no neighbours: on one machine everybody would be everybody's neighbour. */
export function aloneConfiguration(t: Test, node: string, spec: object = {}): string {
  const folder = nodesDirectory(t);
  const nameResolution = {
    component: 'sqlite',
    configuration: { connectionString: join(folder, `names-${node}.db`) },
  };
  const written = writeFiles(folder, `alone-${node}`, {
    'c.yaml': configuration({ nameResolution, ...spec }),
  });
  return `--config=${join(written, 'c.yaml')}`;
}

export interface Wire {
  readonly url: string;
  /** Breaks what is connected and refuses what comes. */
  cut(): void;
  /** Takes connections and bytes, and passes nothing on. */
  silence(): void;
  heal(): void;
  /** Bytes that passed, TLS included. */
  readonly bytes: number;
}

/** A TCP connection's way to `port` that the test can cut. */
export async function startWire(t: Test, port: number): Promise<Wire> {
  let mood: 'up' | 'cut' | 'silent' = 'up';
  let bytes = 0;
  const sockets = new Set<Socket>();
  const server = createServer((near) => {
    if (mood === 'cut') return void near.destroy();
    const far = connect(port, '127.0.0.1');
    for (const [from, to] of [
      [near, far],
      [far, near],
    ] as const) {
      sockets.add(from);
      from.on('data', (chunk: Buffer) => {
        if (mood !== 'up') return;
        bytes += chunk.length;
        to.write(chunk);
      });
      from.on('error', () => {});
      from.on('close', () => {
        sockets.delete(from);
        if (mood !== 'silent') to.destroy();
      });
    }
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const breakAll = (): void => {
    for (const socket of sockets) socket.destroy();
  };
  t.teardown(() => {
    mood = 'cut';
    breakAll();
    server.close();
  });
  const address = server.address();
  return {
    url: `https://127.0.0.1:${typeof address === 'object' ? address?.port : 0}`,
    cut: () => {
      mood = 'cut';
      breakAll();
    },
    silence: () => {
      mood = 'silent';
    },
    heal: () => {
      mood = 'up';
      // What was connected while nothing passed has lost bytes.
      breakAll();
    },
    get bytes() {
      return bytes;
    },
  };
}
