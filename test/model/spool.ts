/**
 * The spool against a plain array: seeded random appends, deliveries, refusals, wakes and restarts. After every step the
 * ledger balances, order per key holds, and in the end every accepted message was delivered, dropped or parked.
 */

import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { idOf } from '../../edge-components/drivers/sqlite/spool-record.ts';
import { diskBytes } from '../../edge-components/drivers/sqlite/spool-room.ts';
import { createSpoolSource } from '../../edge-components/drivers/sqlite/spool-source.ts';
import type { DatabasePool } from '../../runtime/contracts/database.ts';
import type { DeliveryOutcome, Spool, SpoolOptions, StoredMessage } from '../../runtime/contracts/spool.ts';
import { SpoolFullError } from '../../runtime/contracts/spool.ts';
import { countingIds } from '../support/counting-ids.ts';
import { fakeClock } from '../support/fake-clock.ts';
import { openPool, until } from '../support/open-pool.ts';
import { recordingLogger } from '../support/recording-logger.ts';
import { seededRandom } from '../support/seeded-random.ts';
import { cutPower } from './power-cut.ts';

interface Modelled {
  readonly id: string;
  readonly key: string;
  readonly text: string;
  state: 'pending' | 'delivered' | 'parked';
}

type Mode = 'up' | 'down' | 'picky' | 'stuck';

const KEYS = ['a', 'b', 'c', 'd'];

/** One run; rejects with the seed and what differs. */
export async function runSpool(directory: string, seed: number, steps: number): Promise<void> {
  const check = (holds: boolean, what: string): void => {
    if (!holds) throw new Error(`seed ${seed}: ${what}`);
  };
  const random = seededRandom(seed);
  const pick = (below: number): number => Math.floor(random.float() * below);
  const clock = fakeClock();
  const ids = countingIds();
  const options: SpoolOptions = {
    name: 'q',
    maxMessages: 30,
    maxBytes: 12_000,
    whenFull: 'reject',
    ttlMs: 0,
  };
  const model: Modelled[] = [];
  const bytes = (): number => pending().reduce((sum, item) => sum + item.text.length, 0);
  const pending = (): Modelled[] => model.filter(({ state }) => state !== 'delivered');
  let mode: Mode = 'down';
  let databases!: DatabasePool;
  let spool!: Spool;
  let life = 0;
  let folder = join(directory, 'life-0');
  mkdirSync(folder);

  const deliver = async (born: number, stored: StoredMessage): Promise<DeliveryOutcome> => {
    if (mode === 'stuck') await new Promise(() => undefined);
    if (born !== life) return { retry: 'from a process that is gone' };
    const item = model.find(({ id }) => id === stored.id);
    if (item === undefined) throw new Error(`${stored.id} was never accepted`);
    const older = model.find(({ key, state }) => key === stored.key && state === 'pending');
    check(older === undefined || older.id === stored.id, `${stored.id} passed ${older?.id} of its key`);
    check(Buffer.from(stored.payload).toString() === item.text, `${stored.id} has another payload`);
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
    databases = openPool(folder, { clock });
    const source = createSpoolSource({ databases, clock, ids, random, log: recordingLogger(), metrics });
    spool = await source.open(options);
    spool.drain((stored) => deliver(born, stored));
  };
  const append = async (): Promise<void> => {
    const text = `${pick(10) === 0 ? 'poison' : 'm'}${'x'.repeat(pick(120))}${model.length}`;
    const key = KEYS[pick(KEYS.length)] ?? '';
    // A delivery that the target confirmed is not yet heard of by the spool.
    await until(() => spool.counts().pending === pending().length, 20_000).catch(() => undefined);
    const fits =
      pending().length < options.maxMessages &&
      diskBytes(pending().length + 1, bytes() + text.length) <= options.maxBytes;
    const payload = Buffer.from(text);
    try {
      const appended = spool.append({ key, priority: pick(3), payload, headers: {} });
      // Ids are counted, so the model may know the id before the spool can deliver it.
      const id = await appended;
      model.push({ id, key, text, state: 'pending' });
      check(fits, 'it accepted a message without room for it');
    } catch (error) {
      if (!(error instanceof SpoolFullError)) throw error;
      check(!fits, 'it refused a message with room for it');
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
    }, 20_000).catch(() =>
      check(false, `the ledger is ${JSON.stringify(spool.counts())}, the model ${JSON.stringify(want())}`),
    );
  };

  /** Deliveries whose note was not on disk come again; what was accepted and not delivered must be there. */
  const recall = async (): Promise<void> => {
    const system = await databases.system();
    const rows = system.read('SELECT id, record, parked FROM skerry_spool_message');
    await system.close();
    const there = new Map(rows.map((row) => [idOf(row), row['parked'] === 1]));
    for (const item of model) {
      const parked = there.get(item.id);
      if (parked !== undefined) item.state = parked ? 'parked' : 'pending';
      else check(item.state === 'delivered', `${item.id} was ${item.state} and is gone`);
    }
  };

  await open();
  for (let step = 0; step < steps; step += 1) {
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
      const next = join(directory, `life-${life}`);
      cutPower(folder, next);
      await databases.close();
      folder = next;
      mode = 'down';
      await open();
      await recall();
    }
  }
  mode = 'up';
  spool.wake();
  for (let round = 0; round < 3; round += 1) await settle();
  check(!model.some(({ state }) => state === 'pending'), 'something never left');
  check(new Set(model.map(({ id }) => id)).size === model.length, 'an id was given twice');
  await spool.close();
  await databases.close();
}

const metrics = { count: () => undefined, observe: () => undefined, gauge: () => undefined };
