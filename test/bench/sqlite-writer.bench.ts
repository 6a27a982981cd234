/**
 * The database writer against its own floor: one commit per row on the same disk. Prints writes per second, p50/p99
 * and the longest time the event loop was held up. Run by hand: `node test/bench/sqlite-writer.bench.ts`.
 */

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { monitorEventLoopDelay, performance } from 'node:perf_hooks';
import { createDatabasePool } from '../../edge-components/drivers/sqlite/database-pool.ts';
import { WriteConnection } from '../../edge-components/drivers/sqlite/write-connection.ts';
import { stateSqliteMetadata } from '../../edge-components/state/sqlite/metadata.ts';
import { StateSqlite } from '../../edge-components/state/sqlite/state-sqlite.ts';
import type { ComponentDeps } from '../../runtime/contracts/component.ts';
import { decodeMetadata } from '../../runtime/contracts/metadata.ts';
import { systemClock } from '../../runtime/platform/system-clock.ts';
import { systemIds } from '../../runtime/platform/system-ids.ts';
import { recordingLogger } from '../support/recording-logger.ts';

const CALLERS = Number(process.argv[2] ?? 32);
const TOTAL = Number(process.argv[3] ?? 40_000);
const directory = mkdtempSync(join(tmpdir(), 'skerry-bench-'));
const clock = systemClock();

function singleRowCommits(): number {
  const connection = new WriteConnection({
    path: join(directory, 'floor.db'),
    wal: true,
    busyTimeoutMs: 1000,
  });
  connection.apply([[{ sql: 'CREATE TABLE t (key TEXT PRIMARY KEY, value TEXT)' }]]);
  const rows = 1500;
  const start = performance.now();
  for (let row = 0; row < rows; row += 1) {
    const params = [`key-${row % 500}`, '{"temperature":21.5,"unit":"C"}'];
    connection.apply([[{ sql: 'INSERT OR REPLACE INTO t VALUES (?, ?)', params }]]);
  }
  const perSecond = (rows * 1000) / (performance.now() - start);
  connection.close();
  return perSecond;
}

async function stateSets(): Promise<{ perSecond: number; p50: number; p99: number; blockedMs: number }> {
  const databases = createDatabasePool({
    workerEntry: new URL('../support/writer-entry.ts', import.meta.url),
    systemPath: join(directory, 'system.db'),
    log: recordingLogger(),
    clock,
    onFatal: (error) => {
      throw error;
    },
  });
  const decoded = decodeMetadata(stateSqliteMetadata, { connectionString: join(directory, 'state.db') });
  if (!decoded.ok) throw new Error(decoded.faults.join());
  const deps = {
    databases,
    clock,
    ids: systemIds(clock),
    log: recordingLogger(),
  } as unknown as ComponentDeps;
  const store = new StateSqlite(decoded.value, deps);
  const signal = new AbortController().signal;
  await store.init(signal);
  const value = { bytes: Buffer.from('{"temperature":21.5,"unit":"C"}'), json: true };
  const options = { concurrency: '', consistency: '' };
  let started = 0;
  const latencies: number[] = [];
  const caller = async (): Promise<void> => {
    while (started < TOTAL) {
      const key = `app||key-${started % 500}`;
      started += 1;
      const from = performance.now();
      await store.set({ kind: 'upsert', key, value, options, metadata: {} });
      latencies.push(performance.now() - from);
    }
  };
  await Promise.all(Array.from({ length: CALLERS }, caller));
  started = 0;
  latencies.length = 0;
  const delay = monitorEventLoopDelay({ resolution: 1 });
  delay.enable();
  const start = performance.now();
  await Promise.all(Array.from({ length: CALLERS }, caller));
  const elapsed = performance.now() - start;
  delay.disable();
  await store.close();
  await databases.close();
  latencies.sort((a, b) => a - b);
  const at = (share: number): number => latencies[Math.floor(latencies.length * share)] ?? 0;
  return { perSecond: (TOTAL * 1000) / elapsed, p50: at(0.5), p99: at(0.99), blockedMs: delay.max / 1e6 };
}

const floor = singleRowCommits();
const grouped = await stateSets();
rmSync(directory, { recursive: true, force: true });
process.stdout.write(
  [
    `one commit per row: ${floor.toFixed(0)}/s`,
    `state.set, ${CALLERS} callers: ${grouped.perSecond.toFixed(0)}/s, p50 ${grouped.p50.toFixed(2)} ms, p99 ${grouped.p99.toFixed(2)} ms`,
    `ratio ${(grouped.perSecond / floor).toFixed(1)}; event loop held up for at most ${grouped.blockedMs.toFixed(1)} ms`,
    '',
  ].join('\n'),
);
