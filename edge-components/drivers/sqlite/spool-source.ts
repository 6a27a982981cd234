/**
 * Store-and-forward queues in the node's database. What must not be lost when a target is away is appended here,
 * delivered in order per key when the target is back, and only then removed.
 */

import type { Clock } from '../../../runtime/contracts/clock.ts';
import type { Database, DatabasePool, SqlValue } from '../../../runtime/contracts/database.ts';
import type { Ids } from '../../../runtime/contracts/ids.ts';
import type { Logger } from '../../../runtime/contracts/logger.ts';
import type { Metrics } from '../../../runtime/contracts/metrics.ts';
import type { Random } from '../../../runtime/contracts/random.ts';
import type { SpoolOptions, SpoolSource } from '../../../runtime/contracts/spool.ts';
import { elapsedClock } from './elapsed-clock.ts';
import { spoolCounts } from './spool-counts.ts';
import { createSpoolDesk } from './spool-desk.ts';
import { SpoolDrain } from './spool-drain.ts';
import { SpoolGone } from './spool-gone.ts';
import { noCounters, SpoolLedger } from './spool-ledger.ts';
import { SpoolMessages } from './spool-messages.ts';
import { SpoolQueue } from './spool-queue.ts';
import { COUNTER_NAMES, SPOOL_MIGRATION, SPOOL_SQL, type SpoolCounters } from './spool-schema.ts';

export interface SpoolSourceOptions {
  readonly databases: DatabasePool;
  readonly clock: Clock;
  readonly ids: Ids;
  readonly random: Random;
  readonly log: Logger;
  readonly metrics: Metrics;
  /** Keys of one queue delivered at the same time (default 16). */
  readonly parallelKeys?: number;
}

type Row = Readonly<Record<string, SqlValue>>;

/** For acting on single messages of a queue that nobody has opened. */
const WITHOUT_BOUNDS: Omit<SpoolOptions, 'name'> = {
  maxMessages: Number.MAX_SAFE_INTEGER,
  maxBytes: Number.MAX_SAFE_INTEGER,
  whenFull: 'reject',
  ttlMs: 0,
};

/** What all queues of the node share. */
interface Shared {
  readonly database: Database;
  readonly elapsed: () => number;
  readonly gone: SpoolGone;
  sequence: number;
}

const PARALLEL_KEYS = 16;

/** The source with its life; queues are closed by their owners before it. */
export interface OpenSpoolSource extends SpoolSource {
  close(): Promise<void>;
}

/** Makes the source; the database is opened with the first queue. */
export function createSpoolSource(options: SpoolSourceOptions): OpenSpoolSource {
  const queues = new Map<string, SpoolQueue | undefined>();
  let shared: Promise<Shared> | undefined;

  const share = (): Promise<Shared> => {
    shared ??= openShared(options).catch((error) => {
      shared = undefined;
      throw error;
    });
    return shared;
  };

  const open = async (request: SpoolOptions): Promise<SpoolQueue> => {
    if (queues.has(request.name)) throw new Error(`queue '${request.name}' is already open`);
    queues.set(request.name, undefined);
    try {
      const at = await share();
      const queue = buildQueue(options, at, request, await queueRow(at, request.name), () => {
        queues.delete(request.name);
      });
      queues.set(request.name, queue);
      return queue;
    } catch (error) {
      queues.delete(request.name);
      throw error;
    }
  };

  const desk = createSpoolDesk({
    async database() {
      const { database } = await share();
      await Promise.all([...queues.values()].map((queue) => queue?.flush()));
      return database;
    },
    async withQueue(name, use) {
      const held = queues.get(name);
      if (held !== undefined) return use(held);
      const queue = await open({ ...WITHOUT_BOUNDS, name });
      try {
        return await use(queue);
      } finally {
        await queue.close();
      }
    },
  });

  return {
    desk,
    open,
    async list() {
      const { database } = await share();
      return database.read(SPOOL_SQL.queues).map((row) => {
        const name = String(row['name']);
        const counts =
          queues.get(name)?.counts() ??
          spoolCounts(database, Number(row['id']), countersOf(row), lastErrorOf(row));
        return { name, counts };
      });
    },
    async close() {
      const opened = shared;
      shared = undefined;
      await (await opened?.catch(() => undefined))?.database.close();
    },
  };
}

async function openShared({ databases, clock, log }: SpoolSourceOptions): Promise<Shared> {
  const database = await databases.system([SPOOL_MIGRATION]);
  const unbalanced = database.read(SPOOL_SQL.unbalanced);
  if (unbalanced.length > 0) {
    // Counters and messages change in one transaction: only a wrong bit in a row, which no check notices, does this.
    log.error('The ledger of store-and-forward queues did not balance; it was counted anew', {
      queues: unbalanced.map((row) => row['name']).join(', '),
    });
    await database.write((SPOOL_MIGRATION.repair ?? []).map((sql) => ({ sql })));
  }
  const bases = database.read(SPOOL_SQL.bases)[0];
  const last = database.read(SPOOL_SQL.ends)[0]?.['last'];
  return {
    database,
    elapsed: elapsedClock(clock, Number(bases?.['elapsed'] ?? 0)),
    gone: new SpoolGone(database),
    sequence: Math.max(Number(bases?.['sequence'] ?? 0), Number(last ?? 0)),
  };
}

async function queueRow({ database, elapsed }: Shared, name: string): Promise<Row> {
  const known = database.read(SPOOL_SQL.queue, [name])[0];
  if (known !== undefined) return known;
  await database.write([{ sql: SPOOL_SQL.insertQueue, params: [name, elapsed()], atLeast: 1 }]);
  return database.read(SPOOL_SQL.queue, [name])[0] as Row;
}

function buildQueue(
  source: SpoolSourceOptions,
  shared: Shared,
  options: SpoolOptions,
  row: Row,
  closed: () => void,
): SpoolQueue {
  const { database, elapsed } = shared;
  const { clock, ids, random, metrics } = source;
  const queueId = Number(row['id']);
  const log = source.log.child('skerry.spool', { queue: options.name });
  const ledger = new SpoolLedger({
    database,
    queueId,
    queueName: options.name,
    counters: countersOf(row),
    lastError: lastErrorOf(row),
    clock,
    log,
    lastSequence: () => shared.sequence,
    elapsed,
    gone: shared.gone,
    committed: (delta) => {
      report(metrics, log, options.name, delta, ledger.counters);
      // Departures that waited for this commit may have held up the next deliveries.
      drain.pump();
    },
  });
  const messages = new SpoolMessages({
    database,
    queueId,
    ledger,
    elapsed,
    left: (bytes) => queue.left(bytes),
  });
  const drain = new SpoolDrain({
    queueName: options.name,
    messages,
    clock,
    random,
    log,
    parallelKeys: options.parallelKeys ?? source.parallelKeys ?? PARALLEL_KEYS,
  });
  const queue: SpoolQueue = new SpoolQueue({
    options: Object.freeze({ ...options }),
    queueId,
    database,
    ledger,
    messages,
    drain,
    clock,
    ids,
    elapsed,
    nextSequence: () => {
      shared.sequence += 1;
      return shared.sequence;
    },
    closed,
  });
  return queue;
}

function report(
  metrics: Metrics,
  log: Logger,
  spool: string,
  delta: SpoolCounters,
  counters: Readonly<SpoolCounters>,
): void {
  for (const state of COUNTER_NAMES) {
    const counted = state !== 'pending' && state !== 'pendingBytes';
    if (counted && delta[state] > 0) metrics.count('spool_messages', { spool, state }, delta[state]);
  }
  metrics.gauge('spool_pending_messages', { spool }, counters.pending);
  metrics.gauge('spool_pending_bytes', { spool }, counters.pendingBytes);
  if (delta.full > 0) log.warn('Messages were dropped because the queue is full', { count: delta.full });
  if (delta.expired > 0) log.warn('Messages were dropped because they expired', { count: delta.expired });
}

function countersOf(row: Row): SpoolCounters {
  const counters = noCounters();
  for (const name of COUNTER_NAMES) counters[name] = Number(row[name]);
  return counters;
}

function lastErrorOf(row: Row): string | undefined {
  const text = row['last_error'];
  return typeof text === 'string' ? text : undefined;
}
