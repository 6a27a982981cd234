/**
 * The spool against a plain array: seeded random appends, deliveries, refusals, wakes and restarts. After every step the
 * ledger balances, order per key holds, and in the end every accepted message was delivered, dropped or parked.
 */

import t from 'tap';
import { DEPARTURE_WAIT_MS } from '../../edge-components/drivers/sqlite/spool-ledger.ts';
import {
  createSpoolSource,
  type OpenSpoolSource,
} from '../../edge-components/drivers/sqlite/spool-source.ts';
import type { DatabasePool } from '../../runtime/contracts/database.ts';
import type { DeliveryOutcome, Spool, SpoolOptions, StoredMessage } from '../../runtime/contracts/spool.ts';
import { SpoolFullError } from '../../runtime/contracts/spool.ts';
import { countingIds } from '../support/counting-ids.ts';
import { fakeClock } from '../support/fake-clock.ts';
import { openPool, until } from '../support/open-pool.ts';
import { recordingLogger } from '../support/recording-logger.ts';
import { seededRandom } from '../support/seeded-random.ts';

interface Modelled {
  readonly id: string;
  readonly key: string;
  readonly text: string;
  state: 'pending' | 'delivered' | 'parked';
}

type Mode = 'up' | 'down' | 'picky' | 'stuck';

const STEPS = 120;
const KEYS = ['a', 'b', 'c', 'd'];

async function run(t: Tap, directory: string, seed: number): Promise<void> {
  const random = seededRandom(seed);
  const pick = (below: number): number => Math.floor(random.float() * below);
  const clock = fakeClock();
  const ids = countingIds();
  const options: SpoolOptions = { name: 'q', maxMessages: 30, maxBytes: 2000, whenFull: 'reject', ttlMs: 0 };
  const model: Modelled[] = [];
  const bytes = (): number => pending().reduce((sum, item) => sum + item.text.length, 0);
  const pending = (): Modelled[] => model.filter(({ state }) => state !== 'delivered');
  let mode: Mode = 'down';
  let databases!: DatabasePool;
  let source!: OpenSpoolSource;
  let spool!: Spool;
  let life = 0;

  const deliver = async (born: number, stored: StoredMessage): Promise<DeliveryOutcome> => {
    if (mode === 'stuck') await new Promise(() => undefined);
    if (born !== life) return { retry: 'from a process that is gone' };
    const item = model.find(({ id }) => id === stored.id);
    if (item === undefined) throw new Error(`${stored.id} was never accepted`);
    const older = model.find(({ key, state }) => key === stored.key && state === 'pending');
    if (older !== undefined && older.id !== stored.id) t.fail(`${stored.id} passed ${older.id} of its key`);
    t.equal(Buffer.from(stored.payload).toString(), item.text);
    if (mode === 'down') return { retry: 'down' };
    if (mode === 'picky' && item.text.startsWith('poison')) {
      item.state = 'parked';
      return { park: 'poison' };
    }
    item.state = 'delivered';
    return 'delivered';
  };
  const open = async (): Promise<void> => {
    life += 1;
    const born = life;
    databases = openPool(directory, { clock });
    source = createSpoolSource({ databases, clock, ids, random, log: recordingLogger(), metrics });
    spool = await source.open(options);
    spool.drain((stored) => deliver(born, stored));
  };
  const append = async (): Promise<void> => {
    const text = `${pick(10) === 0 ? 'poison' : 'm'}${'x'.repeat(pick(120))}${model.length}`;
    const key = KEYS[pick(KEYS.length)] ?? '';
    const fits = pending().length < options.maxMessages && bytes() + text.length <= options.maxBytes;
    const payload = Buffer.from(text);
    try {
      const appended = spool.append({ key, priority: pick(3), payload, headers: {} });
      // Ids are counted, so the model may know the id before the spool can deliver it.
      const id = await appended;
      model.push({ id, key, text, state: 'pending' });
      t.ok(fits, 'accepted only with room');
    } catch (error) {
      if (!(error instanceof SpoolFullError)) throw error;
      t.notOk(fits, 'refused only when full');
    }
  };
  const settle = async (): Promise<void> => {
    await clock.advance(30_000);
    const want = () => ({
      accepted: model.length,
      delivered: model.filter(({ state }) => state === 'delivered').length,
      parked: model.filter(({ state }) => state === 'parked').length,
      pending: pending().length,
      pendingBytes: bytes(),
    });
    await until(() => {
      const counts = spool.counts();
      return Object.entries(want()).every(([name, value]) => counts[name as keyof typeof counts] === value);
    }, 20_000).catch(() => t.match(spool.counts(), want(), `ledger of seed ${seed}`));
    // Departures wait a little for a commit that is made anyway; what a crash finds waiting would come again.
    await clock.advance(DEPARTURE_WAIT_MS);
    await source.desk?.list({ limit: 1 });
  };

  await open();
  for (let step = 0; step < STEPS; step += 1) {
    const action = pick(60);
    if (action < 38) {
      // The target stands still meanwhile, so that the model knows a message before it is delivered.
      const was: Mode = mode;
      mode = 'down';
      await append();
      mode = was;
    } else if (action < 50) {
      mode = (['up', 'down', 'picky'] as const)[pick(3)] ?? 'up';
      spool.wake();
    } else if (action < 56) {
      await settle();
    } else if (action < 58) {
      // An orderly restart.
      await spool.close();
      await databases.close();
      await open();
    } else {
      // A crash: whatever is under way is never heard of again.
      await settle();
      mode = 'stuck';
      spool.wake();
      life += 1;
      await databases.close();
      mode = 'down';
      await open();
    }
  }
  mode = 'up';
  spool.wake();
  for (let round = 0; round < 3; round += 1) await settle();
  t.equal(model.filter(({ state }) => state === 'pending').length, 0, 'everything left in the end');
  t.equal(new Set(model.map(({ id }) => id)).size, model.length, 'every id once');
  await spool.close();
  await databases.close();
}

type Tap = typeof t;
const metrics = { count: () => undefined, observe: () => undefined, gauge: () => undefined };

for (const seed of [1, 2, 3]) {
  t.test(`seed ${seed}`, async (t) => run(t as unknown as Tap, t.testdir(), seed));
}
