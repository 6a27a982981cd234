/**
 * Finds a message by its id without an index on ids, which every message would pay for with two pages on the card. Ids
 * are UUIDs of version 7 and grow with the sequence, so halving finds almost all of them; ids given while the clock
 * jumped are found by looking at all, a little at a time.
 */

import type { Database, SqlValue } from '../../../runtime/contracts/database.ts';
import { idOf } from './spool-record.ts';
import { SPOOL_SQL } from './spool-schema.ts';

type Row = Readonly<Record<string, SqlValue>>;

const NEAR = 64;
const ROWS_PER_TURN = 2000;

/** The row of a message that is there. */
export async function messageById(database: Database, id: string): Promise<Row | undefined> {
  const sequence = byHalving(database, id) ?? (await byLooking(database, id));
  return sequence === undefined ? undefined : database.read(SPOOL_SQL.bySequence, [sequence])[0];
}

function byHalving(database: Database, id: string): number | undefined {
  const ends = database.read(SPOOL_SQL.ends)[0];
  let low = Number(ends?.['first'] ?? 0);
  let high = Number(ends?.['last'] ?? 0);
  while (high - low > NEAR) {
    const middle = Math.floor((low + high) / 2);
    const row = database.read(SPOOL_SQL.from, [middle, 1])[0];
    if (row === undefined) return undefined;
    const there = idOf(row);
    if (there === id) return Number(row['sequence']);
    if (there < id) low = Number(row['sequence']);
    else high = middle;
  }
  const near = database.read(SPOOL_SQL.from, [low, NEAR * 2]).find((row) => idOf(row) === id);
  return near === undefined ? undefined : Number(near['sequence']);
}

async function byLooking(database: Database, id: string): Promise<number | undefined> {
  for (let from = 0; ; ) {
    const rows = database.read(SPOOL_SQL.from, [from, ROWS_PER_TURN]);
    const found = rows.find((row) => idOf(row) === id);
    if (found !== undefined) return Number(found['sequence']);
    const last = rows.at(-1);
    if (last === undefined || rows.length < ROWS_PER_TURN) return undefined;
    from = Number(last['sequence']) + 1;
    await new Promise(setImmediate);
  }
}
