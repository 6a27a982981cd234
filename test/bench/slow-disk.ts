/**
 * `npm run bench:disk`: what a slow disk costs. With every fsync taking 200 ms: how long calls that need no disk take, and
 * how long the event loop is held up. With 20 ms: how many durable publishes go through. (What messages cost the disk:
 * `npm run bench:writes`.)
 */

import { execFile, spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs, promisify } from 'node:util';
import { RawHttp } from '../crash/raw-http.ts';
import { RawMqtt } from '../crash/raw-mqtt.ts';
import { buildShim } from '../crash/record.ts';
import { component } from '../integration/support/resource-files.ts';
import { startMeasured } from './support/measured-node.ts';
import type { LoadPlan, LoadResult } from './support/mqtt-load.ts';

const { values } = parseArgs({ options: { seconds: { type: 'string', default: '20' } } });
const SECONDS = Number(values.seconds);
const say = (line: string): void => void process.stdout.write(`${line}\n`);
const now = (): number => Number(process.hrtime.bigint()) / 1e6;
const WARM_UP_MS = 3000;
const folder = mkdtempSync(join(tmpdir(), 'skerry-disk-'));
const percentile = (list: number[], share: number): number =>
  list.sort((a, b) => a - b)[Math.min(list.length - 1, Math.floor(list.length * share))] ?? 0;

interface Delay {
  readonly p99: number;
  readonly max: number;
}

/** The same measurement in a process that does nothing: what the machine itself adds. */
function startIdle(): { stop(): Promise<Delay> } {
  const script = `const delay = require('node:perf_hooks').monitorEventLoopDelay({ resolution: 1 });
setTimeout(() => delay.enable(), ${WARM_UP_MS});
process.stdin.on('end', () => {
  process.stdout.write(JSON.stringify({ p99: delay.percentile(99) / 1e6, max: delay.max / 1e6 }));
  process.exit();
}).resume();`;
  const child = spawn(process.execPath, ['-e', script], { stdio: ['pipe', 'pipe', 'inherit'] });
  return {
    stop: async () => {
      child.stdin.end();
      let text = '';
      for await (const chunk of child.stdout) text += String(chunk);
      return JSON.parse(text) as Delay;
    },
  };
}

/** Measures inside the process, loaded before the program. */
function writeProbe(): string {
  const probe = join(folder, 'loop-delay.mjs');
  writeFileSync(
    probe,
    `import { monitorEventLoopDelay } from 'node:perf_hooks';
import { isMainThread } from 'node:worker_threads';
import { writeFileSync } from 'node:fs';
if (isMainThread) {
  const delay = monitorEventLoopDelay({ resolution: 1 });
  setTimeout(() => delay.enable(), ${WARM_UP_MS}).unref();
  process.on('SIGTERM', () => writeFileSync(${JSON.stringify(join(folder, 'delay.json'))},
    JSON.stringify({ p99: delay.percentile(99) / 1e6, max: delay.max / 1e6 })));
}`,
  );
  return probe;
}

async function slowSyncs(shim: string): Promise<void> {
  const node = await startMeasured({
    folder,
    name: 'slow',
    resources: [
      component('store', 'state.sqlite', { connectionString: 'skerry:system' }),
      component('mem', 'state.in-memory', {}),
    ],
    env: {
      LD_PRELOAD: shim,
      SHIM_ROOT: join(folder, 'slow'),
      SHIM_SYNC_DELAY_US: '200000',
      NODE_OPTIONS: `--import=${writeProbe()}`,
    },
  });
  const idle = startIdle();
  // Somebody must keep what is published, or it never sees the disk.
  const keeper = await RawMqtt.open(node.ports.mqtt, new Map(), { clientId: 'keeper', clean: false });
  await keeper.client.subscribe(['t/#'], 1);
  const stop = AbortSignal.timeout(SECONDS * 1000 + WARM_UP_MS);
  const latencies: number[] = [];
  let writes = 0;
  const write = async (id: number): Promise<void> => {
    const client = await RawHttp.open(node.ports.http, new Map());
    for (let n = 0; !stop.aborted; n += 1) {
      const answer = await client.send(
        'POST',
        '/v1.0/state/store',
        JSON.stringify([{ key: `k${id}`, value: n }]),
      );
      if (answer.status !== 204) throw new Error(`${answer.status} ${answer.body}`);
      writes += 1;
    }
  };
  const publish = async (id: number): Promise<void> => {
    const { client } = await RawMqtt.open(node.ports.mqtt, new Map(), { clientId: `p${id}`, clean: true });
    while (!stop.aborted) {
      await client.publish(`t/${id}`, 'x'.repeat(200), 1);
      writes += 1;
    }
    client.destroy();
  };
  const read = async (): Promise<void> => {
    const client = await RawHttp.open(node.ports.http, new Map());
    await client.send('POST', '/v1.0/state/mem', '[{"key":"a","value":1}]');
    await sleep(WARM_UP_MS);
    while (!stop.aborted) {
      const from = now();
      await client.send('GET', '/v1.0/state/mem/a', '');
      latencies.push(now() - from);
      await sleep(5);
    }
  };
  await Promise.all([
    ...Array.from({ length: 16 }, (_, id) => write(id)),
    ...Array.from({ length: 8 }, (_, id) => publish(id)),
    read(),
  ]);
  const floor = await idle.stop();
  await node.stop();
  const delay = JSON.parse(readFileSync(join(folder, 'delay.json'), 'utf8')) as Delay;
  say(
    `every fsync 200 ms, ${writes} durable writes: event-loop delay p99 ${delay.p99.toFixed(1)} ms (max ${delay.max.toFixed(1)} ms; ` +
      `of an idle process beside it ${floor.p99.toFixed(1)}, max ${floor.max.toFixed(1)}), at most 10; ` +
      `unrelated call p50 ${percentile(latencies, 0.5).toFixed(2)} ms, p99 ${percentile(latencies, 0.99).toFixed(2)} ms`,
  );
}

/** Durable QoS 1 publishes with a disk that takes 20 ms to sync. */
async function slowPublishes(shim: string): Promise<void> {
  const env = { LD_PRELOAD: shim, SHIM_ROOT: join(folder, 'slower'), SHIM_SYNC_DELAY_US: '20000' };
  const node = await startMeasured({ folder, name: 'slower', resources: [], env });
  const plan: LoadPlan = {
    port: node.ports.mqtt,
    publishers: 32,
    subscribers: 1,
    qos: 1,
    payload: 256,
    inFlight: 16,
    seconds: Math.min(10, SECONDS),
    session: true,
    pid: node.pid,
    rate: 0,
  };
  const load = join(import.meta.dirname, 'support/mqtt-load.ts');
  const { stdout } = await promisify(execFile)(process.execPath, [load, JSON.stringify(plan)]);
  const { published, delivered, seconds, backlog } = JSON.parse(stdout) as LoadResult;
  await node.stop();
  const rate = published / seconds;
  say(
    `every fsync 20 ms, QoS 1, 256 bytes, 32 publishers with 16 in flight: ${rate.toFixed(0)} msg/s (at least 5000), ` +
      `${(delivered / seconds).toFixed(0)} delivered/s, backlog ${backlog}`,
  );
}

try {
  const shim = buildShim(folder);
  if ('missing' in shim) say(`skipped: ${shim.missing}`);
  else {
    await slowSyncs(shim.path);
    await slowPublishes(shim.path);
  }
} finally {
  rmSync(folder, { recursive: true, force: true });
}
