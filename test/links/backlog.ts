/**
 * A node comes back after a long outage with a full queue of `pubsub.dapr`, over a link of 100 ms round trip that loses
 * packets: when does the first live message arrive, how fast is the backlog worked off, what does a message cost on the wire.
 */

import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { call } from '../integration/support/http-call.ts';
import { freePort } from '../integration/support/ports.ts';
import { fillQueue, type QueuedMessage } from '../support/fill-queue.ts';
import { HEALED, type Link } from './link.ts';
import { createWorld } from './world.ts';

export interface BacklogOptions {
  readonly folder: string;
  readonly link: Link;
  readonly messages: number;
  readonly keys: number;
  readonly delayMs: number;
  readonly loss: number;
  readonly say: (line: string) => void;
}

interface Stats {
  readonly received: number;
  readonly outOfOrder: number;
  readonly repeated: number;
  readonly requests: number;
  readonly live: number;
}

const TOPIC = 'up';
const BYTES = 256;
/** Messages come in while the node is away too; so long it looks into the dark before the link is up. */
const DARK_MS = 4000;
const LIVE_EVERY_MS = 100;
const PATIENCE_MS = 600_000;
const now = (): number => Number(process.hrtime.bigint()) / 1e6;

/** 0 when everything arrived in order. */
export async function runBacklog(options: BacklogOptions): Promise<number> {
  const { folder, link, messages, keys, say } = options;
  const port = await freePort();
  const world = await createWorld({
    folder: join(folder, 'world'),
    link,
    take: () => undefined,
    items: {
      pubsub: {
        baseUrl: `http://${await link.across(port)}`,
        queueMaxMessages: '2000000',
        queueMaxBytes: '2Gi',
      },
    },
  });
  const [command, args] = link.command('cloud', process.execPath, [
    join(import.meta.dirname, 'far-stub.ts'),
    String(port),
  ]);
  const stub = spawn(command, [...args], { stdio: ['ignore', 'ignore', 'inherit'] });
  const stats = async (): Promise<Stats> =>
    JSON.parse((await call(`http://${link.address('cloud')}:${port}/stats`)).text) as Stats;
  let live = 0;
  let over = false;
  try {
    fillQueue({
      path: join(folder, 'world/data-edge/skerry.db'),
      queue: 'edge/pubsub',
      messages,
      message: (n, id) => eventOf(n, id, keys),
    });
    await link.set({ ...HEALED, mode: 'silent' });
    await world.start('edge');
    await sleep(DARK_MS);
    const before = await link.counts();
    await link.set({ mode: 'up', delayMs: options.delayMs, loss: options.loss });
    const up = now();
    const cpuBefore = world.cpuSeconds('edge');
    const publishing = (async () => {
      while (!over) {
        live += 1;
        const url = `${world.base('edge')}/v1.0/publish/pubsub/up?metadata.partitionKey=live`;
        const answer = await call(url, { body: { key: 'live', n: live } }).catch(() => undefined);
        if (answer?.status !== 204) say(`a live message was not taken: ${answer?.status} ${answer?.text}`);
        await sleep(LIVE_EVERY_MS);
      }
    })();
    let firstLiveMs = 0;
    let seen = await stats();
    const done = (): number => seen.received - seen.live - seen.repeated;
    while (done() < messages && now() - up < PATIENCE_MS) {
      await sleep(20);
      seen = await stats();
      if (firstLiveMs === 0 && seen.live > 0) firstLiveMs = now() - up;
    }
    const seconds = (now() - up) / 1000;
    const cpu = world.cpuSeconds('edge') - cpuBefore;
    const counts = await link.counts();
    over = true;
    await publishing;
    const bytes = counts.up + counts.down - before.up - before.down;
    say(
      `${messages} messages of ${BYTES} bytes, ${keys} keys, ${2 * options.delayMs} ms round trip, ${options.loss * 100} % loss over a ${link.kind}: ` +
        `first live message ${Math.round(firstLiveMs)} ms after link-up; ${seen.received} in ${seconds.toFixed(1)} s, ` +
        `${Math.round(seen.received / seconds)}/s in ${seen.requests} requests; ${Math.round(bytes / seen.received)} bytes on the wire per message; ` +
        `${seen.outOfOrder} out of order, ${seen.repeated} repeated; ${cpu.toFixed(1)} s of processor time at the edge`,
    );
    return done() === messages && seen.outOfOrder === 0 ? 0 : 1;
  } finally {
    over = true;
    stub.kill('SIGKILL');
    await world.close();
  }
}

/** Number `n` of the queue, a CloudEvent with `BYTES` of data. */
function eventOf(n: number, id: string, keys: number): QueuedMessage {
  const key = `k${n % keys}`;
  const data = { key, n: Math.ceil(n / keys), text: '' };
  data.text = 'x'.repeat(Math.max(0, BYTES - JSON.stringify(data).length));
  const event = {
    specversion: '1.0',
    id,
    source: 'edge',
    type: 'com.dapr.event.sent',
    datacontenttype: 'application/json',
    topic: TOPIC,
    pubsubname: 'pubsub',
    time: '2026-01-01T00:00:00Z',
    data,
  };
  return {
    key: `${TOPIC}\n${key}`,
    payload: Buffer.from(JSON.stringify(event)),
    headers: { topic: TOPIC, contentType: 'application/cloudevents+json', 'm.partitionKey': key },
  };
}
