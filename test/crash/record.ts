/**
 * Records one run: the built `daprd` under the preloaded shim and mixed load, killed and started again a few times on the
 * same disk, ended in order at last.
 */

import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { mkdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { component } from '../integration/support/resource-files.ts';
import { seededRandom } from '../support/seeded-random.ts';
import type { Claim } from './claims.ts';
import { openLateSession, runLoad } from './load.ts';
import type { LoadOptions } from './load-rig.ts';
import type { Places } from './places.ts';
import { ownPorts } from './ports.ts';
import { RawHttp } from './raw-http.ts';
import { portOf, startTarget } from './target.ts';
import { MarkWriter } from './trace.ts';

export interface RecordOptions {
  /** Working folder on a memory file system; the trace, the disk and the resources lie in it. */
  readonly folder: string;
  readonly program: string;
  readonly seed: number;
  readonly lives: number;
  readonly lifeMs: number;
  readonly pauseMs: number;
  readonly syncDelayUs: number;
  /** False: only the marks of the harness, for runs that are too long to record. */
  readonly recorded?: boolean;
  /** Called when the process of a life is gone, with the disk as it left it. */
  readonly afterLife?: (life: number) => Promise<void>;
}

export interface Recording {
  readonly trace: string;
  readonly root: string;
  readonly faults: readonly string[];
}

/** How long a message of the binding `fleeting` lives. */
export const FLEETING_MS = 600;

/** Builds the shim; undefined (with the reason) where there is no C compiler. */
export function buildShim(folder: string): { readonly path: string } | { readonly missing: string } {
  const path = join(folder, 'disk-shim.so');
  mkdirSync(folder, { recursive: true });
  try {
    const source = join(import.meta.dirname, 'disk-shim.c');
    execFileSync('cc', ['-O2', '-shared', '-fPIC', '-o', path, source, '-ldl', '-lpthread'], {
      stdio: 'pipe',
    });
    return { path };
  } catch (error) {
    return { missing: `no shim: ${error instanceof Error ? error.message.split('\n')[0] : String(error)}` };
  }
}

export function resourceTexts(targetPort: number): readonly string[] {
  return [
    component('store', 'state.sqlite', { connectionString: 'skerry:system' }),
    component('pubsub', 'pubsub.mqtt3', { url: 'embedded:' }),
    component('cloud', 'bindings.dapr', {
      baseUrl: `http://127.0.0.1:${targetPort}`,
      path: 'publish/pubsub/x',
    }),
    // Nobody ever answers there: what is queued waits, or outlives its time.
    component('fleeting', 'bindings.dapr', {
      baseUrl: 'http://127.0.0.1:1',
      path: 'publish/pubsub/x',
      queueTTL: `${FLEETING_MS}ms`,
    }),
  ];
}

export async function record(options: RecordOptions, shim: string): Promise<Recording> {
  const { folder, seed } = options;
  rmSync(folder, { recursive: true, force: true });
  const root = join(folder, 'disk');
  const trace = join(folder, 'trace');
  const resources = join(folder, 'resources');
  for (const path of [root, resources]) mkdirSync(path, { recursive: true });
  const marks = new MarkWriter(trace);
  const mark = (claim: Claim): void => marks.add(claim);
  const random = seededRandom(seed);
  const target = await startTarget(mark, random);
  resourceTexts(portOf(target)).forEach((text, index) => {
    writeFileSync(join(resources, `${index}.yaml`), text);
  });
  const ports = await ownPorts();
  const faults: string[] = [];
  const shared = {
    httpPort: ports.http,
    mqttPort: ports.mqtt,
    random,
    mark,
    places: new Map() as Places,
    numbers: new Map(),
    memories: new Map(),
  };
  try {
    for (let life = 0; life < options.lives; life += 1) {
      const child = spawn(
        options.program,
        [
          '--app-id=crash',
          `--dapr-http-port=${ports.http}`,
          `--dapr-grpc-port=${ports.grpc}`,
          `--dapr-internal-grpc-port=${ports.internal}`,
          '--enable-metrics=false',
          `--mqtt-port=${ports.mqtt}`,
          `--resources-path=${resources}`,
          `--data-dir=${join(root, 'node/data')}`,
          '--log-level=warn',
        ],
        {
          stdio: ['ignore', 'pipe', 'pipe'],
          env: {
            PATH: process.env['PATH'],
            HOME: folder,
            ...(options.recorded === false
              ? {}
              : {
                  LD_PRELOAD: shim,
                  SHIM_ROOT: root,
                  SHIM_TRACE: trace,
                  SHIM_SYNC_DELAY_US: String(options.syncDelayUs),
                }),
          },
        },
      );
      let output = '';
      child.stdout.on('data', (part: Buffer) => (output += part.toString()));
      child.stderr.on('data', (part: Buffer) => (output += part.toString()));
      const ended = new Promise<void>((resolve) => child.once('close', () => resolve()));
      await untilHealthy(ports.http, shared.places, child, () => output);
      const stop = new AbortController();
      const load: LoadOptions = { ...shared, signal: stop.signal, pauseMs: options.pauseMs };
      if (life === 0) await openLateSession(load);
      const running = runLoad(load);
      await sleep(options.lifeMs * (0.5 + random.float()));
      const last = life === options.lives - 1;
      if (!last) child.kill('SIGKILL');
      stop.abort();
      if (last) child.kill('SIGTERM');
      await ended;
      marks.add({ m: 'life', key: '', n: life } satisfies Claim);
      faults.push(...(await running));
      await options.afterLife?.(life);
      if (child.signalCode === null && child.exitCode !== 0)
        faults.push(`exit code ${child.exitCode}: ${output}`);
    }
  } finally {
    await new Promise((resolve) => {
      target.close(resolve);
      target.closeAllConnections();
    });
    marks.close();
  }
  if (statSync(trace).size === 0) throw new Error('nothing was recorded');
  return { trace, root, faults };
}

async function untilHealthy(
  port: number,
  places: Places,
  child: ChildProcess,
  output: () => string,
): Promise<void> {
  for (let turn = 0; turn < 500; turn += 1) {
    if (child.exitCode !== null) throw new Error(`the process ended with ${child.exitCode}: ${output()}`);
    const client = await RawHttp.open(port, places).catch(() => undefined);
    const answer = await client?.send('GET', '/v1.0/healthz', '').catch(() => undefined);
    client?.close();
    if (answer?.status === 204) {
      // Had another process taken the ports, ours would end now.
      await sleep(50);
      if (child.exitCode === null) return;
    }
    await sleep(20);
  }
  throw new Error(`it never became healthy: ${output()}`);
}
