/**
 * A node comes back after a long outage with a full queue of `pubsub.dapr`, over a link of 100 ms round trip that loses
 * packets: when does the first live message arrive, how fast is the backlog worked off, what does a message cost on the wire.
 *
 * With `week` the outage lasts that long for the node: its clocks jump (`support/jump-clock.ts`), the wall clock by a month more,
 * as clocks without a battery do, and its power is cut. What may wait longer is all there, what may not is dropped and counted.
 */

import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { call } from '../integration/support/http-call.ts';
import { freePort } from '../integration/support/ports.ts';
import { fillQueue, type QueuedMessage } from '../support/fill-queue.ts';
import { HEALED, type Link } from './link.ts';
import { createWorld, type World } from './world.ts';

export interface BacklogOptions {
  readonly folder: string;
  readonly link: Link;
  readonly messages: number;
  readonly keys: number;
  readonly delayMs: number;
  readonly loss: number;
  readonly week: boolean;
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
const DAY_MS = 86_400_000;
const WEEK_MS = 7 * DAY_MS;
const WALL_JUMP_MS = WEEK_MS + 30 * DAY_MS;
/** Longer than the week, and shorter: these must not outlive it. */
const TTL_MS = 8 * DAY_MS;
const SHORT_TTL_MS = 6 * DAY_MS;
const SHORT_LIVED = 1000;
/** After the power cut: until the outage is no news to the node (a request that waits for its answer ends after 5 s). */
const ESTABLISHED_MS = 15_000;
const EXPIRY_PATIENCE_MS = 60_000;
const LIVE_EVERY_MS = 100;
const PATIENCE_MS = 600_000;
const now = (): number => Number(process.hrtime.bigint()) / 1e6;

/** 0 when everything arrived in order. */
export async function runBacklog(options: BacklogOptions): Promise<number> {
  const { folder, link, messages, keys, week, say } = options;
  const queued = messages + (week ? SHORT_LIVED : 0);
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
        ...(week ? { queueTTL: `${TTL_MS}ms` } : {}),
      },
    },
    ...(week ? { edgeEnv: CLOCK } : {}),
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
      messages: queued,
      message: (n, id) => ({
        ...eventOf(n, id, keys, n > messages),
        ...(week ? { deadline: n > messages ? SHORT_TTL_MS : TTL_MS } : {}),
      }),
    });
    await link.set({ ...HEALED, mode: 'silent' });
    await world.start('edge');
    await sleep(DARK_MS);
    if (week) await letWeekPass(world, say);
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
    const kept = week ? await keptAccount(world, say) : true;
    return done() === messages && seen.outOfOrder === 0 && kept ? 0 : 1;
  } finally {
    over = true;
    stub.kill('SIGKILL');
    await world.close();
  }
}

const CLOCK = {
  NODE_OPTIONS: `--import=${new URL('../support/jump-clock.ts', import.meta.url)}`,
  JUMP_ELAPSED_MS: String(WEEK_MS),
  JUMP_WALL_MS: String(WALL_JUMP_MS),
};

interface Account {
  readonly accepted: number;
  readonly delivered: number;
  readonly pending: number;
  readonly dropped: Readonly<Record<string, number>>;
}

async function account(world: World): Promise<Account> {
  const { text } = await call(`${world.base('edge')}/v1.0/skerry/spool`);
  const { queues } = JSON.parse(text) as { queues: readonly (Account & { readonly name: string })[] };
  const found = queues.find(({ name }) => name === 'edge/pubsub');
  if (found === undefined) throw new Error(`there is no queue: ${text}`);
  return found;
}

/** The clocks jump, what did not live so long goes, and then so does the power. */
async function letWeekPass(world: World, say: BacklogOptions['say']): Promise<void> {
  world.signal('edge', 'SIGUSR2');
  const jumped = now();
  while (((await account(world)).dropped['expired'] ?? 0) < SHORT_LIVED) {
    if (now() - jumped > EXPIRY_PATIENCE_MS) throw new Error('what did not live so long is still there');
    await sleep(100);
  }
  const { pending } = await account(world);
  say(`a week later, in the dark: ${SHORT_LIVED} of ${SHORT_TTL_MS / DAY_MS} days expired, ${pending} wait`);
  await world.kill('edge');
  await world.start('edge');
  await sleep(ESTABLISHED_MS);
}

/** Nothing but the short-lived was dropped. */
async function keptAccount(world: World, say: BacklogOptions['say']): Promise<boolean> {
  const limit = now() + EXPIRY_PATIENCE_MS;
  let seen = await account(world);
  while (seen.pending > 0 && now() < limit) {
    await sleep(100);
    seen = await account(world);
  }
  const { accepted, delivered, pending, dropped } = seen;
  const lost = Object.values(dropped).reduce((sum, count) => sum + count, 0);
  say(
    `accepted ${accepted} = delivered ${delivered} + pending ${pending} + dropped ${JSON.stringify(dropped)}`,
  );
  return pending === 0 && dropped['expired'] === SHORT_LIVED && lost === SHORT_LIVED;
}

/** Number `n` of the queue, a CloudEvent with `BYTES` of data; those that will not live have keys of their own. */
function eventOf(n: number, id: string, keys: number, short: boolean): QueuedMessage {
  const key = short ? `short${n}` : `k${n % keys}`;
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
