/**
 * Opens a rebuilt disk with the parts that open it at start-up (database pool, state store, spool, broker) and compares
 * what it holds with what clients had been told by the time of the cut. Everything is asked for the way a client asks.
 */

import { existsSync, mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createBroker, type RunningBroker } from '../../edge-components/broker/broker.ts';
import { decodeRecord } from '../../edge-components/drivers/cbor/record.ts';
import { createDatabasePool } from '../../edge-components/drivers/sqlite/database-pool.ts';
import { lockFolder } from '../../edge-components/drivers/sqlite/folder-lock.ts';
import { createSpoolSource } from '../../edge-components/drivers/sqlite/spool-source.ts';
import { definition as stateSqlite } from '../../edge-components/state/sqlite/component.ts';
import type { DatabasePool } from '../../runtime/contracts/database.ts';
import { decodeMetadata } from '../../runtime/contracts/metadata.ts';
import { systemClock } from '../../runtime/platform/system-clock.ts';
import { systemIds } from '../../runtime/platform/system-ids.ts';
import { systemRandom } from '../../runtime/platform/system-random.ts';
import { componentDeps } from '../support/component-deps.ts';
import { recordingLogger } from '../support/recording-logger.ts';
import { before, type History, largest } from './claims.ts';
import { numberIn } from './load.ts';
import { RawMqtt } from './raw-mqtt.ts';

/** What is wrong with a disk; an empty list is the only good answer. */
export interface Verdict {
  readonly lost: string[];
  readonly invented: string[];
  readonly stuck: string[];
  /** Databases that were set aside, and why: `skerry.db.damaged-1: reason`. */
  readonly aside: string[];
}

type Known = ReadonlyMap<string, History>;

const clock = systemClock();
const ids = systemIds(clock);
const random = systemRandom();
const metrics = { count: () => undefined, observe: () => undefined, gauge: () => undefined };
const signal = new AbortController().signal;

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
    const verdict: Verdict = { lost: [], invented: [], stuck: [], aside: [] };
    this.#log = recordingLogger();
    try {
      mkdirSync(this.#dataDir, { recursive: true });
      const lock = lockFolder(this.#dataDir);
      try {
        await this.#judgeState(known, cut, verdict);
        await this.#judgeSpool(known, cut, verdict);
        await this.#judgeBroker(known, cut, verdict);
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
      for (const history of withPrefix(known, 'state:'))
        judgeValue(history, cut, await read(history.key.slice(6)), verdict);
      for (const history of withPrefix(known, 'tx:')) {
        const values = await Promise.all(
          ['a', 'b', 'c'].map((part) => read(`${history.key.slice(3)}-${part}`)),
        );
        judgeValue(history, cut, values[0], verdict);
        if (new Set(values).size > 1) verdict.invented.push(`${history.key} is half done: ${values}`);
      }
    } finally {
      await store.close();
    }
  }

  async #judgeSpool(known: Known, cut: number, verdict: Verdict): Promise<void> {
    const source = createSpoolSource({
      databases: this.#databases,
      clock,
      ids,
      random,
      log: this.#log,
      metrics,
    });
    const spool = await source.open({
      name: 'crash/cloud',
      maxMessages: 100_000,
      maxBytes: 1e9,
      whenFull: 'reject',
      ttlMs: 0,
    });
    const system = await this.#databases.system();
    try {
      const rows = system.read('SELECT record, bytes FROM skerry_spool_message ORDER BY sequence');
      const counts = spool.counts();
      const dropped = Object.values(counts.dropped).reduce((a, b) => a + b, 0);
      if (counts.accepted !== counts.delivered + counts.pending + dropped || counts.pending !== rows.length)
        verdict.invented.push(`the ledger does not balance: ${JSON.stringify(counts)}, ${rows.length} rows`);
      const bytes = rows.reduce((sum, row) => sum + Number(row['bytes']), 0);
      if (bytes !== counts.pendingBytes)
        verdict.invented.push(`${bytes} bytes, ledger ${counts.pendingBytes}`);
      const pending = new Map<string, number[]>();
      for (const row of rows) {
        try {
          const { payload } = decodeRecord(row['record'] as Uint8Array);
          const { key, n } = JSON.parse(Buffer.from(payload).toString()) as { key: string; n: number };
          pending.set(key, [...(pending.get(key) ?? []), n]);
        } catch {
          verdict.invented.push('spool: a garbled message');
        }
      }
      for (const history of withPrefix(known, 'spool:'))
        judgeQueue(history, cut, pending.get(history.key) ?? [], new Set(before(history.got, cut)), verdict);
    } finally {
      await system.close();
      await spool.close();
      await source.close();
    }
  }

  async #judgeBroker(known: Known, cut: number, verdict: Verdict): Promise<void> {
    const broker = createBroker({
      databases: this.#databases,
      clock,
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
    }
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

function withPrefix(known: Known, prefix: string): History[] {
  return [...known.values()].filter(({ key }) => key.startsWith(prefix));
}

/** A value that is replaced again and again: not older than acknowledged, not newer than tried. */
function judgeValue(history: History, cut: number, value: number | undefined, verdict: Verdict): void {
  const { key, deletes } = history;
  const acked = largest(before(history.acked, cut));
  const tried = before(history.tried, cut);
  if (value === undefined) {
    const removed = tried.some((n) => n >= acked && deletes.has(n));
    if (acked > 0 && !removed) verdict.lost.push(`${key}: absent, ${acked} was acknowledged`);
  } else if (value < acked) verdict.lost.push(`${key}: ${value}, ${acked} was acknowledged`);
  else if (!tried.includes(value) || deletes.has(value))
    verdict.invented.push(`${key}: ${value} was never set`);
}

/** Messages in a queue: everything acknowledged and not received, nothing never tried, each once, in order. */
function judgeQueue(
  { key, tried, acked }: History,
  cut: number,
  queued: readonly number[],
  received: ReadonlySet<number>,
  verdict: Verdict,
  inOrder = true,
): void {
  const there = new Set(queued);
  for (const n of before(acked, cut))
    if (!there.has(n) && !received.has(n)) verdict.lost.push(`${key}: message ${n}`);
  for (const n of there)
    if ((tried.get(n) ?? Number.POSITIVE_INFINITY) >= cut) verdict.invented.push(`${key}: message ${n}`);
  if (there.size !== queued.length) verdict.invented.push(`${key}: a message twice: ${queued}`);
  if (inOrder && queued.some((n, index) => n < (queued[index - 1] ?? 0)))
    verdict.invented.push(`${key}: out of order: ${queued}`);
}

interface Session {
  readonly present: boolean;
  readonly messages: ReadonlyMap<string, readonly number[]>;
}

function reasonIn(folder: string): string {
  const file = join(folder, 'report.json');
  if (!existsSync(file)) return 'no report';
  return String((JSON.parse(readFileSync(file, 'utf8')) as { reason?: unknown }).reason);
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

async function judgeSessions(
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
    await client.publish('news/end', '0', 1);
    for (const name of ['late', 'reader']) {
      const agreed = known.get(`sub:${name}`);
      if (agreed === undefined || before(agreed.acked, cut).length === 0) continue;
      const { present, messages } = await readSession(port, name);
      if (!present) {
        verdict.lost.push(`the session ${name}`);
        continue;
      }
      if (!messages.has('news/end')) verdict.lost.push(`the subscription of ${name}`);
      for (const history of withPrefix(known, 'news:')) {
        const who = history.key.slice(5);
        const got = name === 'reader' ? before(known.get(`read:${who}`)?.got ?? new Map(), cut) : [];
        // The reader subscribed later than the first messages came.
        const since = agreed.acked.get(1) ?? 0;
        const due = name === 'reader' ? sinceOnly(history, since) : history;
        judgeQueue(due, cut, messages.get(`news/${who}`) ?? [], new Set(got), verdict, name === 'late');
      }
      if (name === 'late') judgeWills(known, cut, messages, verdict);
    }
  } finally {
    client.destroy();
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
