/** Rows read ahead: order per key is kept whatever lanes come and go, and a long queue of one lane is not looked up by key. */

import t from 'tap';
import { SPOOL_SQL } from '../../../../edge-components/drivers/sqlite/spool-schema.ts';
import type { Database, DatabasePool } from '../../../../runtime/contracts/database.ts';
import type { DeliveryOutcome, StoredMessage } from '../../../../runtime/contracts/spool.ts';
import { fakeClock } from '../../../support/fake-clock.ts';
import { openPool, openSpools, until } from '../../../support/open-pool.ts';
import { seededRandom } from '../../../support/seeded-random.ts';

const KEYS = 40;
const QUEUE = { name: 'q', maxMessages: 10_000, maxBytes: 1e7, whenFull: 'reject', ttlMs: 0 } as const;

for (const seed of [1, 2, 3]) {
  t.test(`order per key, lanes of seed ${seed}`, async (t) => {
    const random = seededRandom(seed);
    const pick = (n: number): number => Math.floor(random.float() * n);
    const clock = fakeClock();
    const databases = openPool(t.testdir(), { clock });
    const source = openSpools(databases, clock, { parallelKeys: 8 });
    const spool = await source.open(QUEUE);
    const numbers = new Map<string, number>();
    const append = (priority: number): Promise<unknown> => {
      const key = `k${pick(KEYS)}`;
      const n = (numbers.get(key) ?? 0) + 1;
      numbers.set(key, n);
      const size = pick(10) === 0 ? 5000 : 10;
      const payload = Buffer.from(JSON.stringify({ key, n, text: 'x'.repeat(size) }));
      return spool.append({ key, priority, payload, headers: {} });
    };
    // With half of the seeds a part in the middle has a higher lane than what waits before and behind it.
    const first = seed % 2 === 1 ? 700 : 300;
    const laneOf = (n: number): number => (seed % 2 === 0 && n >= 100 && n < 200 ? 8 : 4);
    await Promise.all(Array.from({ length: first }, (_, n) => append(laneOf(n))));
    let appended = first;
    const seen = new Map<string, number>();
    const wrong: string[] = [];
    const waiting: Promise<unknown>[] = [];
    spool.drain(async ({ payload }: StoredMessage): Promise<DeliveryOutcome> => {
      await new Promise((resolve) => setImmediate(resolve));
      if (pick(20) === 0 && appended < first + 200) {
        // Sometimes a lane above or below joins, behind what waits.
        appended += 1;
        waiting.push(append([1, 4, 4, 8][pick(4)] ?? 4));
      }
      if (pick(50) === 0) return { retry: 'not now' };
      const { key, n } = JSON.parse(Buffer.from(payload).toString()) as { key: string; n: number };
      if (n !== (seen.get(key) ?? 0) + 1) wrong.push(`${key}: ${n} after ${seen.get(key)}`);
      seen.set(key, n);
      return 'delivered';
    });
    let done = false;
    const clockwork = (async () => {
      while (!done) {
        await clock.advance(100);
        await new Promise((resolve) => setImmediate(resolve));
      }
    })();
    await until(() => spool.counts().delivered === appended);
    done = true;
    await clockwork;
    await Promise.all(waiting);
    t.equal(spool.counts().delivered, appended);
    t.same(wrong, []);
    await spool.close();
    await source.close();
    await databases.close();
  });
}

t.test('a long queue of one lane is read in runs', async (t) => {
  const clock = fakeClock();
  const databases = openPool(t.testdir(), { clock });
  const counts = { head: 0, ahead: 0 };
  const counting: DatabasePool = {
    ...databases,
    system: async (migrations) => {
      const database = await databases.system(migrations);
      const read: Database['read'] = (sql, params) => {
        if (sql === SPOOL_SQL.head) counts.head += 1;
        if (sql === SPOOL_SQL.ahead) counts.ahead += 1;
        return database.read(sql, params);
      };
      return new Proxy(database, {
        get: (target, name) => {
          const value = name === 'read' ? read : Reflect.get(target, name);
          return typeof value === 'function' ? value.bind(target) : value;
        },
      });
    },
  };
  const source = openSpools(counting, clock, { parallelKeys: 50 });
  const spool = await source.open(QUEUE);
  await Promise.all(
    Array.from({ length: 600 }, (_, n) =>
      spool.append({ key: `k${n % 100}`, priority: 4, payload: Buffer.from('a'), headers: {} }),
    ),
  );
  spool.drain(async () => 'delivered');
  await until(() => spool.counts().delivered === 600);
  t.ok(counts.ahead > 0 && counts.ahead < 30, `${counts.ahead} runs`);
  t.ok(counts.head < 100, `${counts.head} keys looked up`);
  await spool.close();
  await source.close();
  await databases.close();
});
