/**
 * The broker's sessions against plain lists: seeded random publishes of all qualities, retained and expiring ones,
 * subscriptions, visits in which a client acknowledges a part of what it gets, sessions that end after their time or are
 * begun anew, a shared subscription (`share-group.ts`), orderly restarts and power cuts.
 */

import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { createBroker, type RunningBroker } from '../../edge-components/broker/broker.ts';
import { filterMatches } from '../../edge-components/drivers/mqtt/topic.ts';
import type { DatabasePool } from '../../runtime/contracts/database.ts';
import {
  ack,
  connect,
  packet,
  publish,
  readPublish,
  subscribe,
} from '../edge-components/broker/raw-client.ts';
import { countingIds } from '../support/counting-ids.ts';
import { fakeClock } from '../support/fake-clock.ts';
import { openPool } from '../support/open-pool.ts';
import { recordingLogger } from '../support/recording-logger.ts';
import { seededRandom } from '../support/seeded-random.ts';
import { agree, cutPower } from './power-cut.ts';
import { SHARE_TOPICS, ShareGroupModel } from './share-group.ts';
import { Visit } from './visit.ts';

interface Waiting {
  readonly text: string;
  readonly qos: number;
  readonly expiresAt: number;
}

interface Modelled {
  readonly name: string;
  readonly subscriptions: Map<string, number>;
  queue: Waiting[];
  known: boolean;
  /** Moment at which it ends unless its client comes back. */
  endsAt: number;
}

const NAMES = ['a', 'b', 'c'];
const TOPICS = ['t/1', 't/2', 'u/1', 'u/1/x'];
const FILTERS = ['t/1', 't/+', '#', 'u/#', '+/1'];
const MAX_QUEUED = 12;
const FOR_EVER = 0xffffffff;
/** Never a sum of the steps in which time passes. */
const LIFETIMES = [FOR_EVER, FOR_EVER, 15, 30];
const NEVER = Number.POSITIVE_INFINITY;
const metrics = { count: () => undefined, observe: () => undefined, gauge: () => undefined };

/** Whatever runs by itself goes on. */
async function turns(count: number): Promise<void> {
  for (let turn = 0; turn < count; turn += 1) await new Promise((resolve) => setImmediate(resolve));
}

/** One run; rejects with the seed and the step that differs. */
export async function runSessions(directory: string, seed: number, steps: number): Promise<void> {
  const random = seededRandom(seed);
  const pick = (below: number): number => Math.floor(random.float() * below);
  const clock = fakeClock();
  const sessions = NAMES.map(
    (name): Modelled => ({ name, subscriptions: new Map(), queue: [], known: false, endsAt: NEVER }),
  );
  const retained = new Map<string, Waiting>();
  let life = 0;
  let folder = join(directory, 'life-0');
  mkdirSync(folder);
  let pool!: DatabasePool;
  let broker!: RunningBroker;
  let sent = 0;
  let step = 0;

  const open = async (): Promise<void> => {
    pool = openPool(folder, { clock });
    const limits = { maxQueuedPerClient: { messages: MAX_QUEUED } };
    const parts = { databases: pool, clock, ids: countingIds(), log: recordingLogger(), metrics };
    broker = createBroker({ ...parts, options: limits });
    await broker.start();
  };
  /** With `expiry` a session that outlives its connection; `present`: whether it should be there. */
  const enter = async (name: string, expiry: number, present?: boolean, clean = false): Promise<Visit> => {
    const visit = new Visit(await broker.connect());
    const properties = expiry === 0 ? [] : ([[17, expiry]] as const);
    visit.send(connect(name, { clean: clean || expiry === 0, properties }));
    const { body } = await visit.take(2);
    if (present !== undefined)
      agree(seed, step, `session ${name} is there`, body[0] === 1, present && !clean);
    return visit;
  };
  const teller = (): Promise<Visit> => enter('teller', 0);
  const end = (session: Modelled): void => {
    session.subscriptions.clear();
    session.queue = [];
    session.known = false;
    session.endsAt = NEVER;
  };
  /** A message that the broker accepted, in the queues of the sessions that wanted it. */
  const queueEverywhere = (topic: string, text: string, qos: number, expiresAt: number): void => {
    for (const session of sessions) {
      const granted = [...session.subscriptions].filter(([filter]) => filterMatches(filter, topic));
      const best = Math.min(qos, Math.max(-1, ...granted.map(([, wanted]) => wanted)));
      if (best <= 0) continue;
      session.queue.push({ text, qos: best, expiresAt });
      if (session.queue.length > MAX_QUEUED) session.queue.shift();
    }
  };
  const tell = async (visit: Visit): Promise<void> => {
    const topic = TOPICS[pick(TOPICS.length)] as string;
    const qos = pick(3);
    const keep = pick(5) === 0;
    const seconds = pick(4) === 0 ? 20 : undefined;
    sent += 1;
    const text = keep && pick(4) === 0 ? '' : `m${sent}`;
    const properties = seconds === undefined ? [] : ([[2, seconds]] as const);
    visit.send(publish(topic, text, qos, qos === 0 ? 0 : 7, properties, keep ? 1 : 0));
    if (qos === 1) await visit.take(4);
    else if (qos === 2) {
      await visit.take(5);
      visit.send(ack(0x62, 7));
      await visit.take(7);
    } else await visit.settled();
    const expiresAt = seconds === undefined ? NEVER : clock.monotonicMs() + seconds * 1000;
    if (keep && text === '') retained.delete(topic);
    else if (keep) retained.set(topic, { text, qos, expiresAt });
    queueEverywhere(topic, text, qos, expiresAt);
  };
  /** Reads what waits and acknowledges the first `count` of it. */
  const read = async (visit: Visit, session: Modelled, count: number): Promise<void> => {
    const due = session.queue.filter(({ expiresAt }) => expiresAt > clock.monotonicMs());
    const ids: number[] = [];
    const found: string[] = [];
    for (const { qos } of due) {
      const one = readPublish(await visit.takePublish(false));
      ids.push(one.id);
      found.push(`${one.payload} ${one.qos}`);
      if (qos !== one.qos) break;
    }
    agree(
      seed,
      step,
      `what ${session.name} gets`,
      found,
      due.map(({ text, qos }) => `${text} ${qos}`),
    );
    for (const [at, { qos }] of due.slice(0, count).entries())
      visit.send(ack(qos === 1 ? 0x40 : 0x50, ids[at] as number));
    await visit.settled();
    // PUBRELs come once they are on disk.
    for (const { qos } of due.slice(0, count)) if (qos === 2) visit.send(packet(0xc0));
    for (let turn = 0; turn < 20; turn += 1) await visit.settled();
    session.queue = due.slice(count);
  };
  const subscribeTo = async (visit: Visit, session: Modelled): Promise<void> => {
    const filter = FILTERS[pick(FILTERS.length)] as string;
    if (session.subscriptions.has(filter)) {
      session.subscriptions.delete(filter);
      visit.send(packet(0xa2, [0, 9], [0], Buffer.from([0, filter.length]), Buffer.from(filter)));
      await visit.take(11);
      return;
    }
    const qos = pick(3);
    session.subscriptions.set(filter, qos);
    visit.send(subscribe(9, [[filter, qos]]));
    await visit.take(9);
    const wanted = [...retained]
      .filter(([topic, { expiresAt }]) => filterMatches(filter, topic) && expiresAt > clock.monotonicMs())
      .map(([topic, one]) => `${topic} ${one.text} ${Math.min(qos, one.qos)}`);
    const found: string[] = [];
    for (const _ of wanted) {
      const one = readPublish(await visit.takePublish(true));
      found.push(`${one.topic} ${one.payload} ${one.qos}`);
      if (one.qos > 0) visit.send(ack(one.qos === 1 ? 0x40 : 0x50, one.id));
    }
    agree(seed, step, `retained for ${filter}`, found.sort(), wanted.sort());
    for (let turn = 0; turn < 20; turn += 1) await visit.settled();
  };

  const shares = new ShareGroupModel({
    pick,
    now: () => clock.monotonicMs(),
    check: (what, found, wanted) => agree(seed, step, what, found, wanted),
    enter,
    limit: MAX_QUEUED,
    lifetimes: LIFETIMES,
  });
  /** One message for the share group, of which each member would do. */
  const tellShared = async (visit: Visit): Promise<void> => {
    if (!shares.hasRoom) return;
    const topic = SHARE_TOPICS[pick(SHARE_TOPICS.length)] as string;
    const qos = 1 + pick(2);
    const seconds = pick(4) === 0 ? 20 : undefined;
    sent += 1;
    visit.send(publish(topic, `m${sent}`, qos, 7, seconds === undefined ? [] : [[2, seconds]]));
    await visit.take(qos === 1 ? 4 : 5);
    if (qos === 2) {
      visit.send(ack(0x62, 7));
      await visit.take(7);
    }
    const expiresAt = seconds === undefined ? NEVER : clock.monotonicMs() + seconds * 1000;
    queueEverywhere(topic, `m${sent}`, qos, expiresAt);
    shares.published(`m${sent}`, qos, expiresAt);
  };

  await open();
  for (; step < steps; step += 1) {
    for (const session of sessions) if (session.endsAt <= clock.monotonicMs()) end(session);
    shares.expire();
    const action = pick(52);
    if (action >= 47) {
      await shares.visit(async () => {
        const visit = await teller();
        for (let count = pick(3); count > 0; count -= 1) await tellShared(visit);
        await visit.leave(true);
      });
    } else if (action >= 40) {
      const visit = await teller();
      for (let count = 1 + pick(3); count > 0; count -= 1) await tellShared(visit);
      await visit.leave(true);
    } else if (action < 18) {
      const visit = await teller();
      for (let count = 1 + pick(4); count > 0; count -= 1) await tell(visit);
      await visit.leave(true);
    } else if (action < 32) {
      const session = sessions[pick(sessions.length)] as Modelled;
      const clean = pick(12) === 0;
      const expiry = LIFETIMES[pick(LIFETIMES.length)] as number;
      const visit = await enter(session.name, expiry, session.known, clean);
      if (clean) end(session);
      session.known = true;
      session.endsAt = NEVER;
      const change = pick(3) === 0;
      await read(visit, session, change ? NEVER : pick(session.queue.length + 2));
      if (change) await subscribeTo(visit, session);
      await visit.leave(pick(2) === 0);
      if (expiry !== FOR_EVER) session.endsAt = clock.monotonicMs() + expiry * 1000;
      await turns(50);
    } else if (action < 34) {
      await clock.advance(8000);
    } else {
      // The time that passed is noted with a write; without one it would not count, which is allowed and not modelled.
      const visit = await teller();
      visit.send(publish('tick', `at ${step}`, 1, 7, [], 1));
      await visit.take(4);
      await visit.leave(true);
      retained.set('tick', { text: `at ${step}`, qos: 1, expiresAt: NEVER });
      for (const session of sessions) {
        const qos = session.subscriptions.get('#') ?? 0;
        if (qos > 0) session.queue.push({ text: `at ${step}`, qos: Math.min(1, qos), expiresAt: NEVER });
        if (session.queue.length > MAX_QUEUED) session.queue.shift();
      }
      const [oldBroker, oldPool] = [broker, pool];
      if (pick(2) === 0) {
        life += 1;
        const next = join(directory, `life-${life}`);
        // What was acknowledged a moment ago is deleted with the next write; until then it may come again.
        await clock.advance(100);
        await turns(50);
        await pool.system().then((database) => database.write([{ sql: 'DELETE FROM mqtt_message WHERE 0' }]));
        cutPower(folder, next);
        folder = next;
      }
      await oldBroker.close();
      await oldPool.close();
      await open();
    }
  }
  await shares.census();
  await broker.close();
  await pool.close();
}
