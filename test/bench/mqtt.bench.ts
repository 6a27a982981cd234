/**
 * The broker beside Mosquitto in one run: `node test/bench/mqtt.bench.ts [seconds]`. Durable QoS 1 (PUBACK after fsync;
 * Mosquitto with `autosave_on_changes true` and an interval of 1 s, its nearest setting, which answers before its fsync),
 * QoS 0 fan-out, and 10,000 idle MQTT 5 clients. Only ratios of one run mean something; CPU time per message says more
 * than rates on a shared machine. SKERRY_PACKAGE names another package folder, SKERRY_TEST_MOSQUITTO another Mosquitto.
 */

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  closeSync,
  existsSync,
  fdatasyncSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import type { LoadPlan, LoadResult } from './support/mqtt-load.ts';

const SECONDS = Number(process.argv[2] ?? 8);
const IDLE = Number(process.argv[3] ?? 10_000);
const ROOT = join(import.meta.dirname, '../..');
const PACKAGE = process.env['SKERRY_PACKAGE'] ?? join(ROOT, `build/out/linux-${process.arch}`);
const MOSQUITTO = process.env['SKERRY_TEST_MOSQUITTO'] ?? '/usr/sbin/mosquitto';
const print = (line: string): void => void process.stdout.write(`${line}\n`);

interface Broker {
  readonly name: string;
  readonly port: number;
  readonly pid: number;
  stop(): Promise<void>;
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as { port: number };
  server.close();
  return port;
}

async function listening(port: number, child: ChildProcess): Promise<void> {
  for (;;) {
    if (child.exitCode !== null) throw new Error(`the broker ended with code ${child.exitCode}`);
    const socket = connect(port, '127.0.0.1');
    const open = await new Promise<boolean>((resolve) => {
      socket.once('connect', () => resolve(true));
      socket.once('error', () => resolve(false));
    });
    socket.destroy();
    if (open) return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

async function started(name: string, port: number, command: string, args: string[]): Promise<Broker> {
  const child = spawn(command, args, { stdio: ['ignore', 'ignore', 'inherit'] });
  await listening(port, child);
  return {
    name,
    port,
    pid: child.pid ?? 0,
    stop: async () => {
      child.kill();
      await once(child, 'exit');
    },
  };
}

async function skerry(folder: string): Promise<Broker> {
  const port = await freePort();
  const [http, grpc, internal] = [await freePort(), await freePort(), await freePort()];
  return started('skerry', port, join(PACKAGE, 'daprd'), [
    ...['--app-id', 'bench', '--data-dir', join(folder, 'skerry'), '--log-level', 'error'],
    ...['--dapr-http-port', `${http}`, '--dapr-grpc-port', `${grpc}`, '--enable-metrics=false'],
    ...['--dapr-internal-grpc-port', `${internal}`, '--mqtt-port', `${port}`],
    ...['--mqtt-max-connections', '20000', '--mqtt-max-queued-messages', '1000000'],
  ]);
}

async function mosquitto(folder: string): Promise<Broker | undefined> {
  if (!existsSync(MOSQUITTO)) return undefined;
  const port = await freePort();
  const data = join(folder, 'mosquitto');
  mkdirSync(data, { mode: 0o777 });
  const lines = [
    `listener ${port} 127.0.0.1`,
    'allow_anonymous true',
    'persistence true',
    `persistence_location ${data}/`,
    'autosave_on_changes true',
    'autosave_interval 1',
    'max_queued_messages 0',
    'max_queued_bytes 0',
    'max_inflight_messages 64',
    'log_type none',
    `user ${process.env['USER'] ?? 'root'}`,
  ];
  writeFileSync(join(data, 'conf'), `${lines.join('\n')}\n`);
  return started('mosquitto', port, MOSQUITTO, ['-c', join(data, 'conf')]);
}

async function load({ port, pid }: Broker, plan: Partial<LoadPlan>): Promise<LoadResult> {
  const full = { port, pid, payload: 256, rate: 0, seconds: SECONDS, publishers: 1, session: false, ...plan };
  const child = spawn(
    process.execPath,
    [join(import.meta.dirname, 'support/mqtt-load.ts'), JSON.stringify(full)],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  );
  const chunks: Buffer[] = [];
  child.stdout.on('data', (chunk: Buffer) => chunks.push(chunk));
  await once(child, 'close');
  return JSON.parse(Buffer.concat(chunks).toString()) as LoadResult;
}

/** Median of one sync of the disk in ms: with one message in flight, 32 publishers share one. */
function syncMs(folder: string): number {
  const file = openSync(join(folder, 'sync'), 'w');
  const times = Array.from({ length: 101 }, (_, index) => {
    const start = performance.now();
    writeSync(file, Buffer.alloc(16_384), 0, 16_384, index * 16_384);
    fdatasyncSync(file);
    return performance.now() - start;
  });
  closeSync(file);
  return times.sort((a, b) => a - b)[50] ?? 0;
}

const pss = (pid: number): number =>
  Math.round(Number(/^Pss:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8'))?.[1]) / 1024);

async function idle({ port, pid }: Broker): Promise<number> {
  const child = spawn(
    process.execPath,
    [join(import.meta.dirname, 'support/mqtt-idle.ts'), `${port}`, `${IDLE}`],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  );
  await once(child.stdout, 'data');
  await new Promise((resolve) => setTimeout(resolve, 5000));
  const megabytes = pss(pid);
  child.kill();
  await once(child, 'exit');
  return megabytes;
}

const PLANS: Readonly<Record<string, Partial<LoadPlan>>> = {
  'QoS 1, 32 publishers, 16 in flight': {
    publishers: 32,
    subscribers: 1,
    qos: 1,
    inFlight: 16,
    session: true,
  },
  'QoS 1, 32 publishers, 1 in flight': { publishers: 32, subscribers: 1, qos: 1, inFlight: 1, session: true },
  'QoS 0, 1 to 10': { subscribers: 10, qos: 0, inFlight: 1 },
};

const folder = mkdtempSync(join(tmpdir(), 'skerry-bench-'));
const brokers = [await skerry(folder), await mosquitto(folder)].filter((one) => one !== undefined);
try {
  for (const [name, plan] of Object.entries(PLANS)) {
    print(`one sync of the disk: ${syncMs(folder).toFixed(1)} ms`);
    const rates: number[] = [];
    for (const broker of brokers) {
      const result = await load(broker, plan);
      const rate = Math.round(result.delivered / result.seconds);
      rates.push(rate);
      print(
        `${name}: ${broker.name} published ${Math.round(result.published / result.seconds)}/s, delivered ${rate}/s, ` +
          `${result.cpuPerMessage.toFixed(1)} us CPU per message, backlog ${result.backlog}`,
      );
    }
    const [ours = 0, theirs] = rates;
    if (theirs !== undefined) print(`${name}: ratio ${(ours / theirs).toFixed(2)}`);
  }
  for (const broker of brokers) {
    const empty = pss(broker.pid);
    print(`${IDLE} idle MQTT 5 clients: ${broker.name} ${await idle(broker)} MB PSS (before: ${empty} MB)`);
  }
} finally {
  for (const broker of brokers) await broker.stop();
  rmSync(folder, { recursive: true, force: true });
}
