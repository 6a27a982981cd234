/**
 * `npm run bench:spool`: a node that comes back with a million messages of 256 bytes waiting: time until ready, memory
 * against an empty start, then the drain to a receiver that keeps order, with live messages in between.
 */

import { spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { freePorts } from '../integration/support/node-process.ts';
import { packageFolder } from '../integration/support/package-folder.ts';
import { component } from '../integration/support/resource-files.ts';
import { fillQueue } from '../support/fill-queue.ts';

const { values } = parseArgs({
  options: { messages: { type: 'string', default: '1000000' }, keys: { type: 'string', default: '100' } },
});
const COUNT = Number(values.messages);
const KEYS = Number(values.keys);
const BYTES = 256;
const say = (line: string): void => void process.stdout.write(`${line}\n`);
const now = (): number => Number(process.hrtime.bigint() / 1_000_000n);

const payloadOf = (key: string, n: number): Buffer => Buffer.from(JSON.stringify({ key, n }).padEnd(BYTES));

function fill(path: string): void {
  fillQueue({
    path,
    queue: 'bench/cloud',
    messages: COUNT,
    message: (n) => {
      const key = `k${n % KEYS}`;
      return {
        key,
        payload: payloadOf(key, Math.ceil(n / KEYS)),
        headers: { operation: 'create', contentType: 'application/json' },
        bytes: BYTES + 50,
      };
    },
  });
}

interface Started {
  readonly readyMs: number;
  readonly base: string;
  pss(): number;
  stop(): Promise<void>;
}

async function start(folder: string, dataDir: string, targetPort: number): Promise<Started> {
  const resources = join(folder, 'resources');
  mkdirSync(resources, { recursive: true });
  const resource = component('cloud', 'bindings.dapr', {
    baseUrl: `http://127.0.0.1:${targetPort}`,
    path: 'publish/pubsub/readings',
    queueMaxMessages: '2000000',
    queueMaxBytes: '2Gi',
  });
  writeFileSync(join(resources, 'cloud.yaml'), resource);
  const ports = await freePorts();
  const started = now();
  const child = spawn(
    join(packageFolder(), 'daprd'),
    [
      '--app-id=bench',
      `--dapr-http-port=${ports.http}`,
      `--dapr-grpc-port=${ports.grpc}`,
      `--dapr-internal-grpc-port=${ports.internal}`,
      '--enable-metrics=false',
      `--resources-path=${resources}`,
      `--data-dir=${dataDir}`,
      '--log-level=warn',
    ],
    { stdio: ['ignore', 'inherit', 'inherit'] },
  );
  const base = `http://127.0.0.1:${ports.http}`;
  for (;;) {
    const answer = await fetch(`${base}/v1.0/healthz`).catch(() => undefined);
    if (answer?.status === 204) break;
    await sleep(10);
  }
  return {
    readyMs: now() - started,
    base,
    pss: () => {
      const text = readFileSync(`/proc/${child.pid}/smaps_rollup`, 'utf8');
      return Number(/^Pss: +(\d+)/m.exec(text)?.[1] ?? 0) / 1024;
    },
    stop: async () => {
      child.kill('SIGTERM');
      await new Promise((resolve) => child.once('close', resolve));
    },
  };
}

/** A receiver that is away until told, then counts, checks order per key and notes when a live message came. */
function receiver() {
  let away = true;
  const seen = new Map<string, number>();
  const state = { received: 0, outOfOrder: 0, repeated: 0, liveAt: 0, requests: 0 };
  const take = (text: string): void => {
    const { key, n } = JSON.parse(text) as { key: string; n: number };
    state.received += 1;
    if (key.startsWith('live')) state.liveAt ||= now();
    const last = seen.get(key) ?? 0;
    if (n <= last) state.repeated += 1;
    else if (n !== last + 1) state.outOfOrder += 1;
    seen.set(key, Math.max(last, n));
  };
  const server = createServer((request, response) => {
    if (away) {
      request.socket.destroy();
      return;
    }
    const parts: Buffer[] = [];
    request.on('data', (part: Buffer) => parts.push(part));
    request.on('end', () => {
      if (request.method === 'POST') {
        state.requests += 1;
        const text = Buffer.concat(parts).toString();
        if (text.startsWith('['))
          for (const entry of JSON.parse(text) as { event: object }[]) take(JSON.stringify(entry.event));
        else take(text);
      }
      response.statusCode = 204;
      response.end();
    });
  });
  return {
    server,
    state,
    open: () => {
      away = false;
    },
  };
}

const folder = mkdtempSync(join(tmpdir(), 'skerry-backlog-'));
const target = receiver();
await new Promise<void>((resolve) => target.server.listen(0, '127.0.0.1', resolve));
const port = (target.server.address() as AddressInfo).port;
try {
  mkdirSync(join(folder, 'full'), { recursive: true });
  const empty = await start(folder, join(folder, 'empty'), port);
  await sleep(2000);
  const emptyPss = empty.pss();
  await empty.stop();
  say(`empty start: ready in ${empty.readyMs} ms, ${emptyPss.toFixed(1)} MB PSS`);
  const path = join(folder, 'full/skerry.db');
  fill(path);
  say(`${COUNT} messages: file of ${Math.round(statSync(path).size / 1e6)} MB`);
  const node = await start(folder, join(folder, 'full'), port);
  await sleep(2000);
  const pss = node.pss();
  say(
    `with the backlog: ready in ${node.readyMs} ms, ${pss.toFixed(1)} MB PSS (${(pss - emptyPss).toFixed(1)} MB more)`,
  );
  const linkUp = now();
  target.open();
  let live = 0;
  const publishing = setIntervalLike(100, async () => {
    live += 1;
    const body = JSON.stringify({
      operation: 'create',
      data: { key: 'live', n: live },
      metadata: { partitionKey: 'live', priority: '4' },
    });
    await fetch(`${node.base}/v1.0/bindings/cloud`, { method: 'POST', body });
  });
  const limit = now() + 300_000;
  while (target.state.received < COUNT + live && now() < limit) {
    const before = target.state.received;
    await sleep(1000);
    if (target.state.received >= COUNT) publishing.stop();
    if (process.env['VERBOSE'] !== undefined) say(`${target.state.received - before}/s`);
  }
  publishing.stop();
  const seconds = (now() - linkUp) / 1000;
  const { received, outOfOrder, repeated, liveAt, requests } = target.state;
  say(
    `drain: ${received} of ${COUNT + live} in ${seconds.toFixed(1)} s, ${Math.round(received / seconds)}/s in ${requests} requests; first live message ${liveAt - linkUp} ms after link-up; ` +
      `${outOfOrder} out of order, ${repeated} repeated; ${node.pss().toFixed(1)} MB PSS`,
  );
  await sleep(15_000);
  say(`file after draining: ${Math.round(statSync(path).size / 1e6)} MB`);
  await node.stop();
} finally {
  target.server.close();
  target.server.closeAllConnections();
  rmSync(folder, { recursive: true, force: true });
}

function setIntervalLike(ms: number, work: () => Promise<void>): { stop(): void } {
  let over = false;
  void (async () => {
    while (!over) {
      await work();
      await sleep(ms);
    }
  })();
  return {
    stop: () => {
      over = true;
    },
  };
}
