/**
 * `npm run bench:disk`: what the disk costs. With every fsync taking 200 ms: how long calls that need no disk take, and
 * how long the event loop is held up. With a disk of today: bytes written per acknowledged message (write_bytes of the
 * process), at one message a second and at full speed, and what an idle node writes.
 */

import { spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { RawHttp } from '../crash/raw-http.ts';
import { RawMqtt } from '../crash/raw-mqtt.ts';
import { buildShim } from '../crash/record.ts';
import { freePorts, type Ports } from '../integration/support/node-process.ts';
import { packageFolder } from '../integration/support/package-folder.ts';
import { component } from '../integration/support/resource-files.ts';

const { values } = parseArgs({ options: { seconds: { type: 'string', default: '20' } } });
const SECONDS = Number(values.seconds);
const say = (line: string): void => void process.stdout.write(`${line}\n`);
const now = (): number => Number(process.hrtime.bigint()) / 1e6;
const folder = mkdtempSync(join(tmpdir(), 'skerry-disk-'));
interface Running {
  readonly ports: Ports;
  written(): number;
  stop(): Promise<void>;
}

async function start(
  name: string,
  env: Readonly<Record<string, string>>,
  withProbe: boolean,
): Promise<Running> {
  const resources = join(folder, `${name}-resources`);
  mkdirSync(resources, { recursive: true });
  writeFileSync(
    join(resources, 'a.yaml'),
    component('store', 'state.sqlite', { connectionString: 'skerry:system' }),
  );
  writeFileSync(join(resources, 'b.yaml'), component('mem', 'state.in-memory', {}));
  writeFileSync(
    join(resources, 'c.yaml'),
    component('cloud', 'bindings.dapr', { baseUrl: 'http://127.0.0.1:9' }),
  );
  const ports = await freePorts();
  // Event-loop delay is measured inside the process by a module that is loaded before the program.
  const probe = join(folder, 'loop-delay.mjs');
  writeFileSync(
    probe,
    `import { monitorEventLoopDelay } from 'node:perf_hooks';
import { isMainThread } from 'node:worker_threads';
import { writeFileSync } from 'node:fs';
if (isMainThread) {
  const delay = monitorEventLoopDelay({ resolution: 1 });
  setTimeout(() => delay.enable(), 3000).unref();
  process.on('SIGTERM', () => writeFileSync(${JSON.stringify(join(folder, 'delay.json'))},
    JSON.stringify({ p50: delay.percentile(50) / 1e6, p99: delay.percentile(99) / 1e6, max: delay.max / 1e6 })));
}`,
  );
  const child = spawn(
    join(packageFolder(), 'daprd'),
    [
      '--app-id=bench',
      `--dapr-http-port=${ports.http}`,
      `--dapr-grpc-port=${ports.grpc}`,
      `--dapr-internal-grpc-port=${ports.internal}`,
      '--enable-metrics=false',
      `--mqtt-port=${ports.mqtt}`,
      `--resources-path=${resources}`,
      `--data-dir=${join(folder, name)}`,
      '--log-level=error',
    ],
    {
      stdio: ['ignore', 'inherit', 'inherit'],
      env: { ...process.env, ...env, ...(withProbe ? { NODE_OPTIONS: `--import=${probe}` } : {}) },
    },
  );
  for (;;) {
    const client = await RawHttp.open(ports.http, new Map()).catch(() => undefined);
    const answer = await client?.send('GET', '/v1.0/healthz', '').catch(() => undefined);
    client?.close();
    if (answer?.status === 204) break;
    await sleep(50);
  }
  return {
    ports,
    written: () =>
      Number(/^write_bytes: (\d+)/m.exec(readFileSync(`/proc/${child.pid}/io`, 'utf8'))?.[1] ?? 0),
    stop: async () => {
      child.kill('SIGTERM');
      await new Promise((resolve) => child.once('close', resolve));
    },
  };
}

const percentile = (list: number[], share: number): number =>
  list.sort((a, b) => a - b)[Math.min(list.length - 1, Math.floor(list.length * share))] ?? 0;

async function slowSyncs(): Promise<void> {
  const shim = buildShim(folder);
  if ('missing' in shim) {
    say(`skipped: ${shim.missing}`);
    return;
  }
  const env = { LD_PRELOAD: shim.path, SHIM_ROOT: join(folder, 'slow'), SHIM_SYNC_DELAY_US: '200000' };
  const node = await start('slow', env, true);
  const stop = AbortSignal.timeout((SECONDS + 3) * 1000);
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
    while (!stop.aborted) await client.publish(`t/${id}`, 'x'.repeat(200), 1);
    client.destroy();
  };
  const read = async (): Promise<void> => {
    const client = await RawHttp.open(node.ports.http, new Map());
    await client.send('POST', '/v1.0/state/mem', '[{"key":"a","value":1}]');
    await sleep(3000);
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
  await node.stop();
  const delay = JSON.parse(readFileSync(join(folder, 'delay.json'), 'utf8')) as {
    p50: number;
    p99: number;
    max: number;
  };
  say(
    `every fsync 200 ms, ${writes} durable writes: event-loop delay p99 ${delay.p99.toFixed(1)} ms (max ${delay.max.toFixed(1)} ms), ` +
      `unrelated call p50 ${percentile(latencies, 0.5).toFixed(2)} ms, p99 ${percentile(latencies, 0.99).toFixed(2)} ms`,
  );
}

async function bytesPerMessage(): Promise<void> {
  const node = await start('bytes', {}, false);
  const late = (await RawMqtt.open(node.ports.mqtt, new Map(), { clientId: 'late', clean: false })).client;
  await late.subscribe(['t/#'], 1);
  late.destroy();
  await sleep(1000);
  const payload = 'x'.repeat(200);
  const measure = async (
    label: string,
    seconds: number,
    load: (stop: AbortSignal) => Promise<number>,
  ): Promise<void> => {
    const before = node.written();
    const count = await load(AbortSignal.timeout(seconds * 1000));
    const bytes = node.written() - before;
    say(
      `${label}: ${(count / seconds).toFixed(1)} msg/s, ${Math.round(bytes / Math.max(1, count))} bytes written per message (${(bytes / Math.max(1, count) / 200).toFixed(1)} times its payload)`,
    );
  };
  const { client } = await RawMqtt.open(node.ports.mqtt, new Map(), { clientId: 'p', clean: true });
  const paced = (pauseMs: number) => async (stop: AbortSignal) => {
    let count = 0;
    while (!stop.aborted) {
      await client.publish('t/a', payload, 1);
      count += 1;
      await sleep(pauseMs);
    }
    return count;
  };
  await measure('MQTT QoS 1 into a session, 1 msg/s', SECONDS, paced(1000));
  await measure('MQTT QoS 1 into a session, full speed', Math.min(10, SECONDS), async (stop) => {
    let count = 0;
    const lane = async (): Promise<void> => {
      while (!stop.aborted && count < 9000) {
        count += 1;
        await client.publish('t/a', payload, 1);
      }
    };
    await Promise.all(Array.from({ length: 64 }, lane));
    return count;
  });
  const http = await RawHttp.open(node.ports.http, new Map());
  await measure('queued binding, 1 msg/s', SECONDS, async (stop) => {
    let count = 0;
    while (!stop.aborted) {
      const body = JSON.stringify({ operation: 'create', data: payload });
      const answer = await http.send('POST', '/v1.0/bindings/cloud', body);
      if (answer.status !== 200) throw new Error(answer.body);
      count += 1;
      await sleep(1000);
    }
    return count;
  });
  // What was written last is still on its way to the device.
  await sleep(8000);
  const before = node.written();
  await sleep(SECONDS * 1000);
  const perDay = ((node.written() - before) / SECONDS) * 86_400;
  say(`idle: ${(perDay / 1e6).toFixed(2)} MB a day`);
  await node.stop();
}

try {
  await slowSyncs();
  await bytesPerMessage();
} finally {
  rmSync(folder, { recursive: true, force: true });
}
