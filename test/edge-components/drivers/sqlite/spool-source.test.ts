/** Store-and-forward queues: order, caps and policies, expiry, backoff, restarts, the ledger. */

import t from 'tap';
import { diskBytes } from '../../../../edge-components/drivers/sqlite/spool-room.ts';
import { createSpoolSource } from '../../../../edge-components/drivers/sqlite/spool-source.ts';
import type { DatabasePool } from '../../../../runtime/contracts/database.ts';
import type { Metrics } from '../../../../runtime/contracts/metrics.ts';
import type {
  DeliveryOutcome,
  Spool,
  SpoolMessage,
  SpoolOptions,
  SpoolSource,
  StoredMessage,
} from '../../../../runtime/contracts/spool.ts';
import { countingIds } from '../../../support/counting-ids.ts';
import { type FakeClock, fakeClock } from '../../../support/fake-clock.ts';
import { openPool, until } from '../../../support/open-pool.ts';
import { recordingLogger } from '../../../support/recording-logger.ts';
import { seededRandom } from '../../../support/seeded-random.ts';

const metrics: Metrics = { count: () => undefined, observe: () => undefined, gauge: () => undefined };
const OPTIONS: SpoolOptions = {
  name: 'app/out',
  maxMessages: 100,
  maxBytes: 1_000_000,
  whenFull: 'reject',
  ttlMs: 0,
};

function sourceOf(databases: DatabasePool, clock: FakeClock): SpoolSource {
  return createSpoolSource({
    databases,
    clock,
    ids: countingIds(),
    random: seededRandom(1),
    log: recordingLogger(),
    metrics,
  });
}

function setup(directory: string, clock = fakeClock()) {
  const databases = openPool(directory, { clock });
  return { clock, databases, source: sourceOf(databases, clock) };
}

const message = (text: string, more: Partial<SpoolMessage> = {}): SpoolMessage => ({
  key: '',
  priority: 0,
  payload: Buffer.from(text),
  headers: {},
  ...more,
});
const textOf = ({ payload }: StoredMessage) => Buffer.from(payload).toString();
const balanced = (spool: Spool) => {
  const { accepted, delivered, pending, dropped } = spool.counts();
  return accepted === delivered + pending + Object.values(dropped).reduce((sum, n) => sum + n, 0);
};

/** A target that notes what it gets and answers what it is told. */
function target(
  answer: (text: string, stored: StoredMessage) => DeliveryOutcome | Promise<DeliveryOutcome> = () =>
    'delivered',
) {
  const got: string[] = [];
  return {
    got,
    deliver: async (stored: StoredMessage): Promise<DeliveryOutcome> => {
      const outcome = await answer(textOf(stored), stored);
      if (outcome === 'delivered') got.push(textOf(stored));
      return outcome;
    },
  };
}

t.test('a message is on disk when append resolves, and gone when the target confirmed it', async (t) => {
  const directory = t.testdir();
  const { source, databases, clock } = setup(directory);
  const spool = await source.open(OPTIONS);
  const id = await spool.append(message('one', { key: 'k', headers: { operation: 'create', größe: 'ä' } }));
  t.match(spool.counts(), {
    accepted: 1,
    pending: 1,
    delivered: 0,
    pendingBytes: 27,
    oldestAcceptedAt: clock.now(),
  });
  const seen: StoredMessage[] = [];
  spool.drain(async (stored) => {
    seen.push(stored);
    return 'delivered';
  });
  await until(() => spool.counts().delivered === 1);
  t.match(seen, [
    {
      id,
      key: 'k',
      priority: 0,
      attempts: 0,
      headers: { operation: 'create', größe: 'ä' },
      acceptedAt: clock.now(),
    },
  ]);
  t.equal(textOf(seen[0] as StoredMessage), 'one');
  t.same(spool.counts(), {
    accepted: 1,
    delivered: 1,
    pending: 0,
    parked: 0,
    dropped: { expired: 0, full: 0, removed: 0, damaged: 0 },
    pendingBytes: 0,
  });
  t.throws(() => spool.drain(async () => 'delivered'), /already being drained/);
  await t.rejects(source.open(OPTIONS), /already open/);
  await t.rejects(
    spool.append(message('x', { priority: 10 })),
    /priority: expected an integer from 0 to 9, got 10/,
  );
  await spool.close();
  await t.rejects(spool.append(message('x')), /closed/);
  await databases.close();
});

t.test('order is kept per key, urgent keys go first, one attempt per key is under way', async (t) => {
  const { source, databases } = setup(t.testdir());
  const spool = await source.open(OPTIONS);
  await Promise.all([
    spool.append(message('a1', { key: 'a' })),
    spool.append(message('a2', { key: 'a', priority: 9 })),
    spool.append(message('b1', { key: 'b', priority: 1 })),
    spool.append(message('c1', { key: 'c', priority: 5 })),
  ]);
  const started: string[] = [];
  const gates = new Map<string, () => void>();
  spool.drain(async (stored) => {
    started.push(textOf(stored));
    await new Promise<void>((resolve) => gates.set(textOf(stored), resolve));
    return 'delivered';
  });
  t.same(
    started,
    ['a1', 'c1', 'b1'],
    'an urgent message pulls its key forward but passes no older one of it',
  );
  gates.get('a1')?.();
  await until(() => started.length === 4);
  t.equal(started[3], 'a2');
  for (const open of gates.values()) open();
  await until(() => spool.counts().delivered === 4);
  await spool.close();
  await databases.close();
});

t.test('no more than 16 keys at a time, all of a long queue in the end', async (t) => {
  const { source, databases } = setup(t.testdir());
  const spool = await source.open({ ...OPTIONS, maxMessages: 5000 });
  await Promise.all(
    Array.from({ length: 2000 }, (_, n) =>
      spool.append(message(String(n), { key: `k${n % 40}`, priority: n % 3 })),
    ),
  );
  let running = 0;
  let most = 0;
  const byKey = new Map<string, number[]>();
  spool.drain(async (stored) => {
    running += 1;
    most = Math.max(most, running);
    await new Promise(setImmediate);
    running -= 1;
    byKey.set(stored.key, [...(byKey.get(stored.key) ?? []), Number(textOf(stored))]);
    return 'delivered';
  });
  await until(() => spool.counts().delivered === 2000);
  t.equal(most, 16);
  t.equal(byKey.size, 40);
  for (const [key, list] of byKey)
    t.same(
      list,
      [...list].sort((a, b) => a - b),
      `order of ${key}`,
    );
  t.equal([...byKey.values()].flat().length, 2000, 'none twice');
  await spool.close();
  await databases.close();
});

t.test('policies of a full queue', async (t) => {
  const { source, databases } = setup(t.testdir());
  const open = (whenFull: SpoolOptions['whenFull']) =>
    source.open({ ...OPTIONS, name: whenFull, maxMessages: 2, maxBytes: diskBytes(2, 10), whenFull });
  const all = async (spool: Spool, delivered = 0) => {
    const { got, deliver } = target();
    spool.drain(deliver);
    await until(() => spool.counts().pending === 0 && spool.counts().delivered >= delivered);
    return got;
  };

  const reject = await open('reject');
  await Promise.all([reject.append(message('a')), reject.append(message('b'))]);
  await t.rejects(reject.append(message('c')), { name: 'SpoolFullError', message: "queue 'reject' is full" });
  t.match(reject.counts(), { accepted: 2, pending: 2 }, 'what was refused was never accepted');
  await t.rejects(reject.append(message('x'.repeat(300))), /can never fit/);
  t.same(await all(reject), ['a', 'b']);

  const newest = await open('drop-newest');
  await Promise.all(['a', 'b', 'c'].map((text) => newest.append(message(text))));
  t.match(newest.counts(), { accepted: 3, pending: 2, dropped: { full: 1 } });
  t.same(await all(newest), ['a', 'b']);

  const oldest = await open('drop-oldest');
  await oldest.append(message('urgent', { priority: 5 }));
  for (const text of ['a', 'b', 'c']) await oldest.append(message(text));
  t.match(oldest.counts(), { accepted: 4, pending: 2, dropped: { full: 2 } });
  await oldest.append(message('12345678'));
  t.match(
    oldest.counts(),
    { accepted: 5, pending: 1, dropped: { full: 4 }, pendingBytes: 8 },
    'as many as the bytes ask for',
  );
  t.same(await all(oldest), ['12345678']);

  const block = await open('block');
  const order: string[] = [];
  const appended = ['a', 'b', 'c', 'd'].map(async (text) =>
    order.push(await block.append(message(text)).then(() => text)),
  );
  await Promise.all(appended.slice(0, 2));
  await new Promise(setImmediate);
  t.match(block.counts(), { accepted: 2, pending: 2 });
  t.same(await all(block, 4), ['a', 'b', 'c', 'd']);
  await Promise.all(appended);
  t.same(order, ['a', 'b', 'c', 'd']);
  for (const spool of [reject, newest, oldest, block]) t.ok(balanced(spool));
  await databases.close();
});

t.test('drop-oldest under a flood gives up the oldest and keeps the ledger', async (t) => {
  const { source, databases } = setup(t.testdir());
  const spool = await source.open({ ...OPTIONS, maxMessages: 50, whenFull: 'drop-oldest' });
  await Promise.all(Array.from({ length: 1000 }, (_, n) => spool.append(message(String(n)))));
  t.match(spool.counts(), { accepted: 1000, pending: 50, dropped: { full: 950 } });
  const { got, deliver } = target();
  spool.drain(deliver);
  await until(() => spool.counts().pending === 0);
  t.same(
    got,
    Array.from({ length: 50 }, (_, n) => String(950 + n)),
  );
  await databases.close();
});

t.test('backoff doubles with full jitter up to 30 s, counts attempts, and wake cuts it short', async (t) => {
  const clock = fakeClock();
  const databases = openPool(t.testdir(), { clock });
  const random = { float: () => 1, bytes: (length: number) => new Uint8Array(length) };
  const source = createSpoolSource({
    databases,
    clock,
    ids: countingIds(),
    random,
    log: recordingLogger(),
    metrics,
  });
  const spool = await source.open(OPTIONS);
  for (const key of ['a', 'b', 'c']) await spool.append(message(key, { key }));
  const attempts: string[] = [];
  let away = true;
  spool.drain(async (stored) => {
    attempts.push(`${textOf(stored)}${stored.attempts}`);
    return away ? { retry: 'no link' } : 'delivered';
  });
  await until(() => clock.pending > 0);
  await clock.advance(0);
  t.same(attempts, ['a0', 'b0', 'c0'], 'the first round goes in parallel');
  attempts.length = 0;
  for (const delay of [250, 500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000]) {
    await clock.advance(delay - 1);
    t.equal(attempts.length, 0, `nothing within ${delay} ms`);
    await clock.advance(1);
    t.equal(attempts.length, 1, 'then one alone');
    attempts.length = 0;
  }
  await until(() => spool.counts().lastError === 'no link');
  spool.wake();
  await clock.advance(0);
  t.same(attempts, ['a10']);
  await clock.advance(500);
  t.same(attempts, ['a10', 'a11'], 'wake started the backoff anew');
  away = false;
  spool.wake();
  await until(() => spool.counts().delivered === 3);
  t.same(attempts.slice(2), ['a12', 'b1', 'c1']);
  await spool.close();
  await databases.close();
});

t.test(
  'a delivery that throws is tried again; a poison message is parked and lets others pass',
  async (t) => {
    const { source, databases, clock } = setup(t.testdir());
    const spool = await source.open(OPTIONS);
    for (const text of ['poison', 'good', 'throws']) await spool.append(message(text));
    let thrown = 0;
    const { got, deliver } = target((text) => {
      if (text === 'poison') return { park: 'unknown operation' };
      if (text === 'throws' && thrown++ === 0) throw new Error('broken pipe');
      return 'delivered';
    });
    spool.drain(deliver);
    await until(() => thrown === 1);
    await clock.advance(250);
    await until(() => spool.counts().delivered === 2);
    t.same(got, ['good', 'throws']);
    t.match(spool.counts(), { accepted: 3, delivered: 2, pending: 1, parked: 1, lastError: 'broken pipe' });
    t.match(await source.list(), [{ name: 'app/out', counts: { pending: 1, parked: 1 } }]);
    await databases.close();
  },
);

t.test('time to live is elapsed time: it survives restarts and ignores the wall clock', async (t) => {
  const directory = t.testdir();
  const first = setup(directory);
  const options = { ...OPTIONS, ttlMs: 100_000 };
  let spool = await first.source.open(options);
  await spool.append(message('early'));
  await first.clock.advance(60_000);
  first.clock.setWallClock(4_000_000_000_000);
  await spool.append(message('late'));
  await spool.close();
  await first.databases.close();

  const second = setup(directory, fakeClock(0));
  spool = await second.source.open(options);
  t.match(spool.counts(), { accepted: 2, pending: 2 });
  await second.clock.advance(39_000);
  await new Promise(setImmediate);
  t.match(spool.counts(), { pending: 2 }, 'not early');
  await second.clock.advance(2000);
  await until(() => spool.counts().dropped['expired'] === 1);
  await second.clock.advance(60_000);
  await until(() => spool.counts().dropped['expired'] === 2);
  t.match(spool.counts(), { accepted: 2, delivered: 0, pending: 0, pendingBytes: 0 });
  t.ok(balanced(spool));
  await second.databases.close();
});

t.test('a delivery in flight at a crash is repeated with the same id', async (t) => {
  const directory = t.testdir();
  const first = setup(directory);
  const spool = await first.source.open(OPTIONS);
  const id = await spool.append(message('x'));
  spool.drain(() => new Promise(() => undefined));
  await first.databases.close();
  const second = setup(directory);
  const again = await second.source.open(OPTIONS);
  const ids: string[] = [];
  again.drain(async (stored) => {
    ids.push(stored.id);
    return 'delivered';
  });
  await until(() => again.counts().delivered === 1);
  t.same(ids, [id]);
  await second.databases.close();
});

t.test('close waits for the attempt under way and keeps what is pending', async (t) => {
  const { source, databases, clock } = setup(t.testdir());
  const spool = await source.open({ ...OPTIONS, maxMessages: 2, whenFull: 'block' });
  await Promise.all([spool.append(message('a')), spool.append(message('b'))]);
  const blocked = spool.append(message('c'));
  let aborted = false;
  spool.drain(
    (_, signal) =>
      new Promise((resolve) => {
        signal.addEventListener('abort', () => {
          aborted = true;
          resolve({ retry: 'stopped' });
        });
      }),
  );
  let closed = false;
  const closing = spool.close().then(() => {
    closed = true;
  });
  await t.rejects(blocked, /closed/);
  await clock.advance(4999);
  t.notOk(closed || aborted);
  await clock.advance(1);
  await closing;
  t.ok(aborted, 'after the grace time the attempt is told to end');
  t.match((await source.list())[0]?.counts, { accepted: 2, pending: 2 });
  await databases.close();
});
