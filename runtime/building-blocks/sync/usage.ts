/**
 * What each flow carried today, kept in the node's database once a minute and at the end (days are those of UTC), and what
 * flows with a budget of bytes an hour have spent of it.
 */

import type { Clock, Timer } from '../../contracts/clock.ts';
import type { Database, DatabasePool, Migration, SqlStep } from '../../contracts/database.ts';
import { errorText } from '../../contracts/error.ts';
import type { Logger } from '../../contracts/logger.ts';
import type { Metrics } from '../../contracts/metrics.ts';
import type { BudgetRow, BudgetStore } from './hour-budget.ts';

export interface Carried {
  readonly up: number;
  readonly down: number;
}

export interface Usage {
  open(): Promise<void>;
  add(flow: string, way: 'up' | 'down', messages: number, bytes: number): void;
  today(flow: string): { readonly bytes: Carried; readonly messages: Carried };
  /** Where the budget of a flow (and way) is kept. */
  budget(flow: string): BudgetStore;
  close(): Promise<void>;
}

interface Row {
  day: string;
  bytes: { up: number; down: number };
  messages: { up: number; down: number };
  dirty: boolean;
}

const FLUSH_MS = 60_000;
/** Time that passes for a budget is noted so often where nothing else is written. */
const NOTE_EVERY = 10;
const MIGRATION: Migration = {
  metadataTable: 'skerry_schema',
  key: 'sync-usage',
  levels: [
    [
      'CREATE TABLE skerry_sync_usage (flow TEXT NOT NULL PRIMARY KEY, day TEXT NOT NULL, up_bytes INTEGER NOT NULL, ' +
        'down_bytes INTEGER NOT NULL, up_messages INTEGER NOT NULL, down_messages INTEGER NOT NULL) WITHOUT ROWID',
    ],
    [
      'CREATE TABLE skerry_sync_budget (flow TEXT NOT NULL PRIMARY KEY, elapsed_ms INTEGER NOT NULL, spent TEXT NOT NULL) ' +
        'WITHOUT ROWID',
    ],
  ],
};

export function createUsage(deps: {
  readonly databases: DatabasePool;
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: Metrics;
}): Usage {
  const rows = new Map<string, Row>();
  const budgets = new Map<string, () => BudgetRow | undefined>();
  let flushes = 0;
  let database: Database | undefined;
  let timer: Timer | undefined;
  const today = (): string =>
    Temporal.Instant.fromEpochMilliseconds(deps.clock.now()).toString().slice(0, 10);
  const rowOf = (flow: string): Row => {
    const day = today();
    let row = rows.get(flow);
    if (row === undefined || row.day !== day) {
      row = { day, bytes: { up: 0, down: 0 }, messages: { up: 0, down: 0 }, dirty: false };
      rows.set(flow, row);
    }
    return row;
  };
  const budgetStep = (flow: string, { elapsedMs, spent }: BudgetRow): SqlStep => ({
    sql: 'INSERT OR REPLACE INTO skerry_sync_budget VALUES (?, ?, ?)',
    params: [flow, elapsedMs, JSON.stringify(spent)],
  });
  const flush = async (): Promise<void> => {
    const changed = [...rows].filter(([, row]) => row.dirty);
    flushes += 1;
    if (database === undefined || (changed.length === 0 && flushes % NOTE_EVERY !== 0)) return;
    for (const [, row] of changed) row.dirty = false;
    const steps = changed.map(
      ([flow, { day, bytes, messages }]): SqlStep => ({
        sql: 'INSERT OR REPLACE INTO skerry_sync_usage VALUES (?, ?, ?, ?, ?, ?)',
        params: [flow, day, bytes.up, bytes.down, messages.up, messages.down],
      }),
    );
    for (const [flow, rowNow] of budgets) {
      const row = rowNow();
      if (row !== undefined) steps.push(budgetStep(flow, row));
    }
    if (steps.length > 0) await database.write(steps);
  };
  const arm = (): void => {
    timer = deps.clock.startTimer(
      FLUSH_MS,
      () => {
        flush().catch((error) => deps.log.warn(`what was carried today is not kept: ${errorText(error)}`));
        arm();
      },
      true,
    );
  };

  return {
    open: async () => {
      database = await deps.databases.system([MIGRATION]);
      for (const row of database.read('SELECT * FROM skerry_sync_usage WHERE day = ?', [today()])) {
        rows.set(String(row['flow']), {
          day: String(row['day']),
          bytes: { up: Number(row['up_bytes']), down: Number(row['down_bytes']) },
          messages: { up: Number(row['up_messages']), down: Number(row['down_messages']) },
          dirty: false,
        });
      }
      arm();
    },
    add: (flow, way, messages, bytes) => {
      const row = rowOf(flow);
      row.bytes[way] += bytes;
      row.messages[way] += messages;
      row.dirty = true;
      deps.metrics.count('sync_bytes_total', { flow, way }, bytes);
      deps.metrics.count('sync_messages_total', { flow, way }, messages);
    },
    today: (flow) => {
      const { bytes, messages } = rowOf(flow);
      return { bytes: { ...bytes }, messages: { ...messages } };
    },
    budget: (flow) => ({
      read: () => {
        const row = database?.read('SELECT elapsed_ms, spent FROM skerry_sync_budget WHERE flow = ?', [
          flow,
        ])[0];
        if (row === undefined) return undefined;
        return { elapsedMs: Number(row['elapsed_ms']), spent: JSON.parse(String(row['spent'])) };
      },
      write: async (row) => {
        try {
          await database?.write([budgetStep(flow, row)]);
        } catch (error) {
          deps.log.warn(`what ${flow} has spent of its budget is not kept: ${errorText(error)}`);
          throw error;
        }
      },
      along: (row) => void budgets.set(flow, row),
    }),
    close: async () => {
      timer?.cancel();
      // Flows have kept theirs when they closed.
      budgets.clear();
      await flush();
      await database?.close();
      database = undefined;
    },
  };
}
