/** Asks a broker on a rebuilt disk for sessions, their queues, retained messages and wills, the way clients ask. */

import type { RunningBroker } from '../../edge-components/broker/broker.ts';
import { systemClock } from '../../runtime/platform/system-clock.ts';
import { before, type History, largest, latestTime } from './claims.ts';
import { numberIn } from './load-rig.ts';
import { RawMqtt } from './raw-mqtt.ts';
import { judgeQueue, judgeValue, type Known, type Verdict, withPrefix } from './verdict.ts';

const clock = systemClock();

interface Session {
  readonly present: boolean;
  readonly messages: ReadonlyMap<string, readonly number[]>;
}

const LIMIT_MS = 10_000;

/**
 * Takes over a session and reads all that waits in it. The end is told by a message of its own, to a topic that the
 * session subscribes to here: a subscription that damage took is a loss, not a session without an end.
 */
async function readSession(port: number, clientId: string): Promise<Session> {
  const messages = new Map<string, number[]>();
  const done = Promise.withResolvers<void>();
  const end = `judge/${clientId}`;
  const { client, connack } = await RawMqtt.open(
    port,
    new Map(),
    { clientId, clean: false },
    ({ topic, payload }) => {
      if (topic === end) done.resolve();
      else messages.set(topic, [...(messages.get(topic) ?? []), numberIn(payload)]);
      return true;
    },
  );
  const present = (connack.body[0] as number) === 1;
  const limit = clock.startTimer(LIMIT_MS, () =>
    done.reject(new Error(`session ${clientId} never came to its end`)),
  );
  try {
    if (present) {
      await client.subscribe([end], 1);
      await client.publish(end, '0', 1);
      await done.promise;
    }
  } finally {
    limit.cancel();
    client.destroy();
  }
  return { present, messages };
}

/** Compares sessions, retained messages and wills of a broker that has just started. */
export async function judgeSessions(
  broker: RunningBroker,
  known: Known,
  cut: number,
  verdict: Verdict,
): Promise<void> {
  const port = Number(new URL(broker.status().listeners[0] ?? '').port);
  const { client } = await RawMqtt.open(port, new Map(), { clientId: 'judge', clean: true });
  try {
    await judgeRetained(broker, client, known, cut, verdict);

    await judgeRoamers(port, client, known, cut, verdict);

    const finished = await finishExact(port, known, cut, verdict);
    await client.publish('news/end', '0', 1);
    for (const name of ['late', 'reader', 'exact'])
      await judgeNews(port, name, { known, cut, finished }, verdict);

    await judgeJobs(port, known, cut, verdict);
  } finally {
    client.destroy();
  }
}

interface Case {
  readonly known: Known;
  readonly cut: number;
  /** Numbers that the exact sender finished on this disk. */
  readonly finished: ReadonlySet<number>;
}

/** One session and the news that wait in it. */
async function judgeNews(port: number, name: string, one: Case, verdict: Verdict): Promise<void> {
  const { known, cut, finished } = one;
  const agreed = known.get(`sub:${name}`);
  if (agreed === undefined || before(agreed.acked, cut).length === 0) return;

  const { present, messages } = await readSession(port, name);
  if (!present) {
    verdict.lost.push(`the session ${name}`);
    return;
  }
  if (!messages.has('news/end')) verdict.lost.push(`the subscription of ${name}`);
  // Readers subscribed later than the first messages came.
  const since = name === 'late' ? 0 : (agreed.acked.get(1) ?? 0);
  for (const history of withPrefix(known, 'news:')) {
    const who = history.key.slice(5);
    const got = name === 'late' ? undefined : known.get(`${name === 'exact' ? name : 'read'}:${who}`);
    const queued = messages.get(`news/${who}`) ?? [];
    const due = who === EXACT_SENDER ? { ...history, acked: always(finished) } : history;
    const received = new Set(before(got?.got ?? new Map(), cut));
    judgeQueue(sinceOnly(due, since), cut, queued, received, verdict, name === 'late');
    if (name !== 'exact' || got === undefined) continue;
    // PUBREL left: its PUBLISH may never come again ([MQTT-4.3.3-1]).
    for (const n of before(got.acked, cut))
      if (queued.includes(n)) verdict.invented.push(`${got.key}: message ${n} came again after PUBREL`);
  }
  if (name !== 'late') return;
  judgeWills(known, cut, messages, verdict);
  judgeDelayedWills(known, cut, messages, verdict);
  const now = latestTime(known, cut);
  for (const history of withPrefix(known, 'brief:')) {
    const queued = messages.get(`brief/${history.key.slice(6)}`) ?? [];
    // Less time had elapsed at the cut than the wall clock says of it.
    const young = (n: number): boolean => now - (history.at.get(n) ?? 0) < BRIEF_MS;
    const acked = new Map([...history.acked].filter(([n]) => young(n)));
    judgeQueue({ ...history, acked }, cut, queued, new Set(), verdict);
  }
}

function always(numbers: ReadonlySet<number>): Map<number, number> {
  return new Map([...numbers].map((n) => [n, 0]));
}

const EXACT_SENDER = 'x0';
/** A second less what clocks of two processes may differ by. */
const BRIEF_MS = 990;

/**
 * Goes on where the sender of QoS 2 was cut off: what had no PUBREC is sent again under its packet id, the rest is
 * released. Every number that was ever tried then waits once, no more and no less.
 */
async function finishExact(
  port: number,
  known: Known,
  cut: number,
  verdict: Verdict,
): Promise<ReadonlySet<number>> {
  const history = known.get(`news:${EXACT_SENDER}`);
  const made = known.get(`session:${EXACT_SENDER}`);
  const finished = new Set(before(history?.acked ?? new Map(), cut));
  if (history === undefined || made === undefined || before(made.acked, cut).length === 0) return finished;
  const { client, connack } = await RawMqtt.open(port, new Map(), { clientId: EXACT_SENDER, clean: false });
  try {
    if (connack.body[0] !== 1) verdict.lost.push(`the session ${EXACT_SENDER}`);
    client.releases = false;
    const release = known.get(`release:${EXACT_SENDER}`);
    const complete = new Set(before(release?.acked ?? new Map(), cut));
    const released = new Set(before(release?.tried ?? new Map(), cut));
    const open = before(history.tried, cut).filter((n) => !complete.has(n));
    for (const n of open.sort((a, b) => a - b)) {
      const id = history.ids.get(n) as number;
      if (!released.has(n)) await client.publishAs(id, `news/${EXACT_SENDER}`, String(n), true);
      await client.release(id);
      finished.add(n);
    }
  } finally {
    client.destroy();
  }
  return finished;
}

/** Jobs wait in one of the sessions that share them. */
async function judgeJobs(port: number, known: Known, cut: number, verdict: Verdict): Promise<void> {
  const waiting = new Map<string, number[]>();
  for (const name of ['sh0', 'sh1']) {
    const agreed = known.get(`sub:${name}`);
    if (agreed === undefined || before(agreed.acked, cut).length === 0) continue;
    const { present, messages } = await readSession(port, name);
    if (!present) verdict.lost.push(`the session ${name}`);
    for (const [topic, numbers] of messages) waiting.set(topic, [...(waiting.get(topic) ?? []), ...numbers]);
  }
  for (const history of withPrefix(known, 'jobs:')) {
    const received = new Set(before(history.got, cut));
    judgeQueue(history, cut, waiting.get(`jobs/${history.key.slice(5)}`) ?? [], received, verdict, false);
  }
}

/** The history with only those acknowledgements that belong to tries after `since`. */
function sinceOnly(history: History, since: number): History {
  const acked = new Map([...history.acked].filter(([n]) => (history.tried.get(n) ?? 0) > since));
  return { ...history, acked };
}

function judgeWills(
  known: Known,
  cut: number,
  messages: ReadonlyMap<string, readonly number[]>,
  verdict: Verdict,
): void {
  for (const { key, tried, acked, off } of withPrefix(known, 'will:')) {
    const spoken = messages.get(`wills/${key.slice(5)}`) ?? [];
    for (const n of before(acked, cut))
      if (!spoken.includes(n) && (off.get(n) ?? Number.POSITIVE_INFINITY) >= cut)
        verdict.lost.push(`${key}: will ${n}`);
    for (const n of spoken)
      if ((tried.get(n) ?? Number.POSITIVE_INFINITY) >= cut) verdict.invented.push(`${key}: will ${n}`);
  }
}

/** Wills with a delay: the next connection took the earlier ones back, the last one is spoken. */
function judgeDelayedWills(
  known: Known,
  cut: number,
  messages: ReadonlyMap<string, readonly number[]>,
  verdict: Verdict,
): void {
  for (const { key, tried, acked, off } of withPrefix(known, 'later:')) {
    const spoken = messages.get(`wills/${key.slice(6)}`) ?? [];
    const last = largest(before(acked, cut));
    const newest = largest(before(tried, cut));
    if (spoken.some((n) => n < last || n > newest))
      verdict.invented.push(`${key}: wills ${spoken}, ${last} is the last one of a connection`);
    const due = last > 0 && newest === last && !before(off, cut).includes(last);
    if (due && !spoken.includes(last)) verdict.lost.push(`${key}: will ${last}`);
  }
}

async function judgeRetained(
  broker: RunningBroker,
  client: RawMqtt,
  known: Known,
  cut: number,
  verdict: Verdict,
): Promise<void> {
  const kept = new Map<string, number>();
  const expected = broker.status().retainedMessages;
  const done = Promise.withResolvers<void>();
  client.onPublish = ({ topic, payload }) => {
    if (topic.startsWith('keep/')) kept.set(`keep:${topic.slice(5)}`, numberIn(payload));
    if (kept.size >= expected) done.resolve();
    return true;
  };
  await client.subscribe(['keep/#'], 0);
  const limit = clock.startTimer(LIMIT_MS, () =>
    done.reject(new Error(`${kept.size} of ${expected} retained`)),
  );
  if (expected > 0) await done.promise;
  limit.cancel();
  for (const history of withPrefix(known, 'keep:')) judgeValue(history, cut, kept.get(history.key), verdict);
}

async function judgeRoamers(
  port: number,
  client: RawMqtt,
  known: Known,
  cut: number,
  verdict: Verdict,
): Promise<void> {
  for (const history of withPrefix(known, 'roam:')) {
    const name = history.key.slice(5);
    const acked = before(history.acked, cut);
    if (acked.length === 0) continue;
    const left = known.get(`unroam:${name}`);
    const leaving = left === undefined ? [] : before(left.tried, cut);
    const gone = left === undefined ? [] : before(left.acked, cut);
    const newest = largest(before(history.tried, cut));
    for (let n = Math.max(1, newest - 3); n <= newest; n += 1)
      await client.publish(`r/${name}/${n}`, String(n), 1);
    const { present, messages } = await readSession(port, name);
    if (!present) {
      verdict.lost.push(`the session ${name}`);
      continue;
    }
    for (let n = Math.max(1, newest - 3); n <= newest; n += 1) {
      const there = messages.has(`r/${name}/${n}`);
      if (!there && acked.includes(n) && !leaving.includes(n))
        verdict.lost.push(`${history.key}: subscription ${n}`);
      if (there && gone.includes(n)) verdict.invented.push(`${history.key}: subscription ${n} is back`);
    }
  }
}
