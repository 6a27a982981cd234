/**
 * `npm run bench:writes`: what messages cost the card. Bytes that the process caused to be written (`write_bytes` of the
 * kernel, the deletion of what was delivered included) per acknowledged message of 200 bytes: at one message a second, at
 * 500 with the lingering class, as fast as it goes; and what a node writes that has nothing to do.
 *
 * `--seconds N` per measurement, `--only TEXT` those with TEXT in their name, `--folder DIR` on the disk to measure (not a
 * tmpfs: that has no write_bytes).
 */

import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { RawHttp } from '../crash/raw-http.ts';
import { RawMqtt } from '../crash/raw-mqtt.ts';
import { component } from '../integration/support/resource-files.ts';
import { type MeasuredNode, startMeasured } from './support/measured-node.ts';

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '20' },
    only: { type: 'string', default: '' },
    folder: { type: 'string', default: tmpdir() },
  },
});
const SECONDS = Number(values.seconds);
const PAYLOAD = 'x'.repeat(200);
const LINGER = '50ms';
const PUBLISHERS = 32;
const IN_FLIGHT = 16;
/** A session keeps 10,000 messages; some are there from the measurement before. */
const SESSION_HOLDS = 9000;
/** After the load: deliveries under way end and are noted. */
const SETTLE_MS = 4000;
const say = (line: string): void => void process.stdout.write(`${line}\n`);
const folder = mkdtempSync(join(values.folder, 'skerry-writes-'));
let missed = 0;

/** One acknowledged message per call. */
interface Way {
  readonly name: string;
  /** More would push out older ones. */
  readonly most: number;
  send(n: number): Promise<void>;
  close(): void;
}

interface Opened {
  readonly node: MeasuredNode;
  readonly ways: readonly Way[];
}

async function far(): Promise<{ server: Server; port: number }> {
  const server = createServer((request, response) => {
    request.resume();
    request.on('end', () => response.writeHead(request.url?.includes('healthz') ? 204 : 200).end());
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return { server, port: (server.address() as AddressInfo).port };
}

/** A number of connections, each with one request under way; a call waits for a free one. */
async function httpWay(name: string, port: number, path: string, body: (n: number) => string): Promise<Way> {
  const free: RawHttp[] = [];
  const all: RawHttp[] = [];
  return {
    name,
    most: Number.POSITIVE_INFINITY,
    send: async (n) => {
      let client = free.pop();
      if (client === undefined) {
        client = await RawHttp.open(port, new Map());
        all.push(client);
      }
      const answer = await client.send('POST', path, body(n));
      if (answer.status >= 300) throw new Error(`${path}: ${answer.status} ${answer.body}`);
      free.push(client);
    },
    close: () => {
      for (const client of all) client.close();
    },
  };
}

async function mqttWay(name: string, port: number, topic: string, online: boolean): Promise<Way> {
  const id = topic.replace('/', '-');
  const session = await RawMqtt.open(port, new Map(), { clientId: `${id}-session`, clean: false });
  await session.client.subscribe([topic], 1);
  if (!online) session.client.destroy();
  const publishers = await Promise.all(
    Array.from(
      { length: PUBLISHERS },
      async (_, n) => (await RawMqtt.open(port, new Map(), { clientId: `${id}-${n}`, clean: true })).client,
    ),
  );
  return {
    name,
    most: online ? Number.POSITIVE_INFINITY : SESSION_HOLDS,
    send: async (n) => void (await (publishers[n % PUBLISHERS] as RawMqtt).publish(topic, PAYLOAD, 1)),
    close: () => {
      for (const client of publishers) client.destroy();
      session.client.destroy();
    },
  };
}

async function open(name: string, linger: boolean, farPort: number): Promise<Opened> {
  const more: Record<string, string> = linger ? { linger: LINGER } : {};
  const node = await startMeasured({
    folder,
    name,
    resources: [
      component('store', 'state.sqlite', { connectionString: 'skerry:system', ...more }),
      component('near', 'bindings.dapr', { baseUrl: `http://127.0.0.1:${farPort}`, ...more }),
      component('away', 'bindings.dapr', { baseUrl: 'http://127.0.0.1:9', ...more }),
    ],
    flags: linger ? [`--mqtt-linger=${LINGER}`] : [],
  });
  const { http, mqtt } = node.ports;
  const binding = (): string => JSON.stringify({ operation: 'create', data: PAYLOAD });
  const state = (n: number): string => JSON.stringify([{ key: `key-${n % 1000}`, value: PAYLOAD }]);
  const ways = [
    await mqttWay('MQTT QoS 1, subscriber there', mqtt, 'a/near', true),
    await mqttWay('MQTT QoS 1, subscriber away', mqtt, 'a/away', false),
    await httpWay('queued binding, target there', http, '/v1.0/bindings/near', binding),
    await httpWay('queued binding, target away', http, '/v1.0/bindings/away', binding),
    await httpWay('state, 1000 keys', http, '/v1.0/state/store', state),
  ];
  return { node, ways };
}

async function paced(way: Way, seconds: number, rate: number): Promise<number> {
  const from = performance.now();
  const under: Promise<void>[] = [];
  let count = 0;
  while (performance.now() - from < seconds * 1000) {
    const due = Math.floor(((performance.now() - from) / 1000) * rate) + 1;
    for (; count < due; count += 1) under.push(way.send(count));
    await sleep(Math.min(10, 1000 / rate));
  }
  await Promise.all(under);
  return count;
}

async function flatOut(way: Way, seconds: number): Promise<number> {
  const until = performance.now() + seconds * 1000;
  let count = 0;
  await Promise.all(
    Array.from({ length: PUBLISHERS * IN_FLIGHT }, async (_, lane) => {
      for (let n = lane; performance.now() < until && n < way.most; n += PUBLISHERS * IN_FLIGHT) {
        await way.send(n);
        count += 1;
      }
    }),
  );
  return count;
}

async function measure(
  { node, ways }: Opened,
  load: string,
  most: number,
  run: (way: Way) => Promise<number>,
): Promise<void> {
  for (const way of ways) {
    const label = `${load}: ${way.name}`;
    if (!label.includes(values.only)) continue;
    const before = node.written();
    const from = performance.now();
    const count = await run(way);
    const seconds = (performance.now() - from) / 1000;
    await sleep(SETTLE_MS);
    const bytes = (node.written() - before) / Math.max(1, count);
    const met = bytes <= most;
    if (!met) missed += 1;
    say(
      `${label}: ${(count / seconds).toFixed(0)} msg/s, ${Math.round(bytes)} bytes a message ` +
        `(${(bytes / PAYLOAD.length).toFixed(1)} times its payload), at most ${most}: ${met ? 'met' : 'MISSED'}`,
    );
  }
}

function close({ ways, node }: Opened): Promise<void> {
  for (const way of ways) way.close();
  return node.stop();
}

async function main(): Promise<void> {
  const { server, port } = await far();
  const plain = await open('plain', false, port);
  await sleep(3000);
  await measure(plain, '1 msg/s', 16 * 1024, (way) => paced(way, SECONDS, 1));
  await measure(plain, 'full speed', 4 * PAYLOAD.length, (way) => flatOut(way, Math.min(10, SECONDS)));
  if ('idle'.includes(values.only)) {
    // What was written last is still on its way to the device.
    await sleep(8000);
    const before = plain.node.written();
    await sleep(SECONDS * 3000);
    const perDay = ((plain.node.written() - before) / (SECONDS * 3)) * 86_400;
    say(`idle, messages waiting, a target away: ${(perDay / 1e6).toFixed(2)} MB a day, at most 1`);
    if (perDay > 1e6) missed += 1;
  }
  await close(plain);
  const lingering = await open('lingering', true, port);
  await sleep(3000);
  await measure(lingering, '500 msg/s, lingering', 8 * PAYLOAD.length, (way) =>
    paced(way, Math.min(10, SECONDS), 500),
  );
  await close(lingering);
  server.close();
  say(missed === 0 ? 'all met' : `${missed} missed`);
  process.exitCode = missed === 0 ? 0 : 1;
}

try {
  await main();
} finally {
  rmSync(folder, { recursive: true, force: true });
}
