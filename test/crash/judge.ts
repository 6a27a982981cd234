/**
 * Opens a rebuilt disk with the parts that open it at start-up (database pool, state store, spool, broker) and compares
 * what it holds with what clients had been told by the time of the cut. Everything is asked for the way a client asks.
 */

import { existsSync, mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createBroker } from '../../edge-components/broker/broker.ts';
import { createDatabasePool } from '../../edge-components/drivers/sqlite/database-pool.ts';
import { lockFolder } from '../../edge-components/drivers/sqlite/folder-lock.ts';
import { recordOf } from '../../edge-components/drivers/sqlite/spool-record.ts';
import { createSpoolSource } from '../../edge-components/drivers/sqlite/spool-source.ts';
import { definition as stateSqlite } from '../../edge-components/state/sqlite/component.ts';
import type { Clock } from '../../runtime/contracts/clock.ts';
import type { Database, DatabasePool } from '../../runtime/contracts/database.ts';
import { errorText } from '../../runtime/contracts/error.ts';
import { decodeMetadata } from '../../runtime/contracts/metadata.ts';
import type { Spool } from '../../runtime/contracts/spool.ts';
import { systemClock } from '../../runtime/platform/system-clock.ts';
import { systemIds } from '../../runtime/platform/system-ids.ts';
import { systemRandom } from '../../runtime/platform/system-random.ts';
import { componentDeps } from '../support/component-deps.ts';
import { recordingLogger } from '../support/recording-logger.ts';
import { before, type History, latestTime } from './claims.ts';
import { judgeSessions } from './judge-sessions.ts';
import { FLEETING_MS } from './record.ts';
import { judgeQueue, judgeValue, type Known, type Verdict, withPrefix } from './verdict.ts';

const clock = systemClock();
const ids = systemIds(clock);
const random = systemRandom();
const LIMIT_MS = 30_000;
const HOURS_MS = 1000 * 1000;
/** Clocks of two processes, rounded to milliseconds. */
const EARLY_MS = 5;
const metrics = { count: () => undefined, observe: () => undefined, gauge: () => undefined };
const signal = new AbortController().signal;

/**
 * The time of the disk under judgement stands still at its last note, so that nothing expires while it is judged; what
 * would wait for hours (a will) happens at once.
 */
const standing: Clock = {
  now: () => clock.now(),
  monotonicMs: () => 0,
  startTimer: (ms, run, background) => clock.startTimer(ms >= HOURS_MS ? 0 : ms, run, background),
  sleep: (ms, signal) => clock.sleep(ms, signal),
};

// A session of the broker that was still sending when it was closed finds its file closed; the next disk is none of that.
process.on('unhandledRejection', (error) => {
  if ((error as { code?: string } | undefined)?.code !== 'SKERRY_CLOSED') throw error;
});

/** Judges disks one after the other; the writer thread is started once. */
export class Judge {
  readonly #dataDir: string;
  readonly #databases: DatabasePool;
  /** What the parts said about the disk in hand. */
  #log = recordingLogger();

  constructor(disk: string, workerEntry: URL) {
    this.#dataDir = join(disk, 'node/data');
    this.#databases = createDatabasePool({
      workerEntry,
      systemPath: join(this.#dataDir, 'skerry.db'),
      log: recordingLogger(),
      clock,
      onFatal: (error) => {
        throw error;
      },
    });
  }

  async close(): Promise<void> {
    await this.#databases.close();
  }

  /** Judges the disk at its place as the remains of a cut before event number `cut`. */
  async judge(known: Known, cut: number): Promise<Verdict> {
    const verdict: Verdict = { lost: [], invented: [], stuck: [], aside: [], told: [] };
    this.#log = recordingLogger();
    try {
      mkdirSync(this.#dataDir, { recursive: true });
      const lock = lockFolder(this.#dataDir);
      try {
        await inTime('state', this.#judgeState(known, cut, verdict));
        await inTime('spool', this.#judgeSpool(known, cut, verdict));
        await inTime('broker', this.#judgeBroker(known, cut, verdict));
      } finally {
        lock.release();
      }
      const names = readdirSync(this.#dataDir).filter((name) => name.includes('.damaged-'));
      verdict.aside.push(...names.map((name) => `${name}: ${reasonIn(join(this.#dataDir, name))}`));
    } catch (error) {
      const said = this.#log.lines.filter(({ level }) => level !== 'info' && level !== 'debug').slice(-5);
      verdict.stuck.push(error instanceof Error ? (error.stack ?? error.message) : String(error));
      verdict.stuck.push(...said.map((line) => JSON.stringify(line)));
    }
    return verdict;
  }

  async #judgeState(known: Known, cut: number, verdict: Verdict): Promise<void> {
    const decoded = decodeMetadata(stateSqlite.metadata, { connectionString: 'skerry:system' });
    if (!decoded.ok) throw new Error(decoded.faults.join('; '));
    const store = stateSqlite.create(decoded.value, componentDeps({ databases: this.#databases, clock }));
    await store.init(signal);
    const read = async (key: string): Promise<number | undefined> => {
      const record = await store.get({ key: `crash||${key}`, consistency: '', metadata: {} }, signal);
      if (record === undefined) return undefined;
      return numberOf(Buffer.from(record.value).toString());
    };
    try {
      for (const history of withPrefix(known, 'state:')) {
        await orTold(verdict, history.key, async () =>
          judgeValue(history, cut, await read(history.key.slice(6)), verdict),
        );
      }
      for (const history of withPrefix(known, 'tx:')) {
        await orTold(verdict, history.key, async () => {
          const values = await Promise.all(
            ['a', 'b', 'c'].map((part) => read(`${history.key.slice(3)}-${part}`)),
          );
          judgeValue(history, cut, values[0], verdict);
          if (new Set(values).size > 1) verdict.invented.push(`${history.key} is half done: ${values}`);
        });
      }
    } finally {
      await store.close();
    }
  }

  async #judgeSpool(known: Known, cut: number, verdict: Verdict): Promise<void> {
    const source = createSpoolSource({
      databases: this.#databases,
      clock: standing,
      ids,
      random,
      log: this.#log,
      metrics,
    });
    const open = (name: string, ttlMs: number): Promise<Spool> =>
      source.open({ name, maxMessages: 100_000, maxBytes: 1e9, whenFull: 'reject', ttlMs });
    const spools = [await open('crash/cloud', 0), await open('crash/fleeting', FLEETING_MS)];
    const system = await this.#databases.system();
    try {
      const pending = new Map<string, number[]>();
      for (const spool of spools) readQueue(system, spool, pending, verdict);
      for (const history of withPrefix(known, 'spool:'))
        judgeQueue(history, cut, pending.get(history.key) ?? [], new Set(before(history.got, cut)), verdict);
      const expired = spools[1]?.counts().dropped['expired'] ?? 0;
      for (const history of withPrefix(known, 'fleet:'))
        judgeFleeting(
          history,
          { cut, now: latestTime(known, cut) },
          pending.get(history.key) ?? [],
          expired,
          verdict,
        );
    } finally {
      await system.close();
      for (const spool of spools) await spool.close();
      await source.close();
    }
  }

  async #judgeBroker(known: Known, cut: number, verdict: Verdict): Promise<void> {
    const broker = createBroker({
      databases: this.#databases,
      clock: standing,
      ids,
      log: this.#log,
      metrics,
      options: { tcp: { host: '127.0.0.1', port: 0 } },
    });
    await broker.start();
    try {
      await judgeSessions(broker, known, cut, verdict);
    } finally {
      await broker.close();
      const told = this.#log.lines.filter(({ message }) => message.includes('is damaged'));
      verdict.told.push(...told.map(({ fields }) => `mqtt: ${JSON.stringify(fields)}`));
    }
  }
}

/** A value that is told to be damaged is lost, but not taken for right. */
async function orTold(verdict: Verdict, key: string, judge: () => Promise<void>): Promise<void> {
  try {
    await judge();
  } catch (error) {
    if (!/is damaged/.test(errorText(error))) throw error;
    verdict.lost.push(`${key}: ${errorText(error)}`);
    verdict.told.push(errorText(error));
  }
}

/** No part takes for ever: a disk that makes one wait is a finding, not a harness that stands still. */
async function inTime(part: string, work: Promise<void>): Promise<void> {
  const late = Promise.withResolvers<never>();
  const limit = clock.startTimer(LIMIT_MS, () => late.reject(new Error(`the ${part} never answered`)));
  try {
    await Promise.race([work, late.promise]);
  } finally {
    limit.cancel();
  }
}

/** The `n` of a JSON object; NaN for anything else. */
function numberOf(text: string): number {
  try {
    return (JSON.parse(text) as { n: number }).n;
  } catch {
    return Number.NaN;
  }
}

/** Adds the messages of one queue to `pending`, by the key in each, and compares the ledger with them. */
function readQueue(system: Database, spool: Spool, pending: Map<string, number[]>, verdict: Verdict): void {
  const { name } = spool.options;
  const rows = system.read(
    `SELECT id, record, crc, bytes FROM skerry_spool_message
     WHERE queue = (SELECT id FROM skerry_spool_queue WHERE name = ?) ORDER BY sequence`,
    [name],
  );
  const counts = spool.counts();
  const dropped = Object.values(counts.dropped).reduce((a, b) => a + b, 0);
  if (counts.accepted !== counts.delivered + counts.pending + dropped || counts.pending !== rows.length)
    verdict.invented.push(`${name}: no balance: ${JSON.stringify(counts)}, ${rows.length} rows`);
  const bytes = rows.reduce((sum, row) => sum + Number(row['bytes']), 0);
  if (bytes !== counts.pendingBytes)
    verdict.invented.push(`${name}: ${bytes} bytes, ledger ${counts.pendingBytes}`);
  for (const row of rows) {
    try {
      const { payload } = recordOf(row);
      const { key, n } = JSON.parse(Buffer.from(payload).toString()) as { key: string; n: number };
      pending.set(key, [...(pending.get(key) ?? []), n]);
    } catch (error) {
      verdict.invented.push(`${name}: a garbled message`);
      // The queue parks it with this reason.
      if (/checksum/.test(errorText(error))) verdict.told.push(`${name}: ${errorText(error)}`);
    }
  }
}

/** Messages with a time to live: what is not there any more is in the ledger as expired, and its time was over. */
function judgeFleeting(
  history: History,
  { cut, now }: { readonly cut: number; readonly now: number },
  pending: readonly number[],
  expired: number,
  verdict: Verdict,
): void {
  judgeQueue({ ...history, acked: new Map() }, cut, pending, new Set(), verdict);
  const missing = before(history.acked, cut).filter((n) => !pending.includes(n));
  if (missing.length > expired)
    verdict.lost.push(`${history.key}: ${missing.length} are missing, ${expired} expired`);
  for (const n of missing) {
    if (now - (history.at.get(n) ?? 0) < FLEETING_MS - EARLY_MS)
      verdict.lost.push(`${history.key}: message ${n} expired early`);
  }
}

function reasonIn(folder: string): string {
  const file = join(folder, 'report.json');
  if (!existsSync(file)) return 'no report';
  return String((JSON.parse(readFileSync(file, 'utf8')) as { reason?: unknown }).reason);
}
