/**
 * The database pool against a Map: seeded random writes of several steps, refused ones among them, many at a time,
 * orderly restarts and power cuts. After every step the table holds what the Map does.
 */

import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Database, DatabasePool, SqlStep } from '../../runtime/contracts/database.ts';
import { openPool } from '../support/open-pool.ts';
import { seededRandom } from '../support/seeded-random.ts';
import { agree, cutPower } from './power-cut.ts';

const MIGRATION = {
  metadataTable: 'skerry_schema',
  key: 'model',
  levels: [['CREATE TABLE kv (key TEXT PRIMARY KEY, value TEXT NOT NULL)']],
};
const KEYS = 12;
const SET =
  'INSERT INTO kv (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value';

/** One run; rejects with the seed and the step that differs. */
export async function runStorage(directory: string, seed: number, steps: number): Promise<void> {
  const random = seededRandom(seed);
  const pick = (below: number): number => Math.floor(random.float() * below);
  const model = new Map<string, string>();
  let life = 0;
  let folder = join(directory, 'life-0');
  mkdirSync(folder);
  let pool!: DatabasePool;
  let database!: Database;
  const open = async (): Promise<void> => {
    pool = openPool(folder);
    database = await pool.system([MIGRATION]);
  };
  /** A write and what it makes of the model; `undefined` when it must be refused. */
  const draw = (before: ReadonlyMap<string, string>) => {
    let after: Map<string, string> | undefined = new Map(before);
    const list: SqlStep[] = [];
    for (let count = 1 + pick(4); count > 0; count -= 1) {
      const key = `k${pick(KEYS)}`;
      if (pick(3) > 0) {
        const value = `${pick(1e6)}${'x'.repeat(pick(20) === 0 ? 20_000 : pick(50))}`;
        list.push({ sql: SET, params: [key, value] });
        after?.set(key, value);
      } else {
        const must = pick(3) === 0;
        list.push({ sql: 'DELETE FROM kv WHERE key = ?', params: [key], ...(must ? { atLeast: 1 } : {}) });
        if (must && after?.has(key) !== true) after = undefined;
        after?.delete(key);
      }
    }
    return { list, after };
  };
  await open();
  for (let step = 0; step < steps; step += 1) {
    const action = pick(40);
    if (action < 36) {
      const writes: Promise<boolean>[] = [];
      const wanted: boolean[] = [];
      for (let count = 1 + pick(6); count > 0; count -= 1) {
        const { list, after } = draw(model);
        wanted.push(after !== undefined);
        if (after !== undefined) {
          model.clear();
          for (const [key, value] of after) model.set(key, value);
        }
        writes.push(
          database.write(list).then(
            () => true,
            () => false,
          ),
        );
      }
      agree(seed, step, 'accepted', await Promise.all(writes), wanted);
    } else if (action < 38) {
      await database.close();
      await pool.close();
      await open();
    } else {
      const old = pool;
      life += 1;
      const next = join(directory, `life-${life}`);
      cutPower(folder, next);
      await old.close();
      folder = next;
      await open();
    }
    const rows = database.read('SELECT key, value FROM kv ORDER BY key');
    const found = rows.map((row) => [row['key'], row['value']]);
    agree(
      seed,
      step,
      'the table',
      found,
      [...model].sort(([a], [b]) => (a < b ? -1 : 1)),
    );
  }
  await database.close();
  await pool.close();
}
