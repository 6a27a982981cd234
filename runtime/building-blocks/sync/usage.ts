/** What each flow carried today, kept in the node's database once a minute and at the end. Days are those of UTC. */

import type { Clock, Timer } from '../../contracts/clock.ts';
import type { Database, DatabasePool, Migration } from '../../contracts/database.ts';
import { errorText } from '../../contracts/error.ts';
import type { Logger } from '../../contracts/logger.ts';
import type { Metrics } from '../../contracts/metrics.ts';

export interface Carried {
  readonly up: number;
  readonly down: number;
}

export interface Usage {
  open(): Promise<void>;
  add(flow: string, way: 'up' | 'down', messages: number, bytes: number): void;
  today(flow: string): { readonly bytes: Carried; readonly messages: Carried };
  close(): Promise<void>;
}

interface Row {
  day: string;
  bytes: { up: number; down: number };
  messages: { up: number; down: number };
  dirty: boolean;
}

const FLUSH_MS = 60_000;
const MIGRATION: Migration = {
  metadataTable: 'skerry_schema',
  key: 'sync-usage',
  levels: [
    [
      'CREATE TABLE skerry_sync_usage (flow TEXT NOT NULL PRIMARY KEY, day TEXT NOT NULL, up_bytes INTEGER NOT NULL, ' +
        'down_bytes INTEGER NOT NULL, up_messages INTEGER NOT NULL, down_messages INTEGER NOT NULL) WITHOUT ROWID',
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
  const flush = async (): Promise<void> => {
    const changed = [...rows].filter(([, row]) => row.dirty);
    if (changed.length === 0 || database === undefined) return;
    for (const [, row] of changed) row.dirty = false;
    await database.write(
      changed.map(([flow, { day, bytes, messages }]) => ({
        sql: 'INSERT OR REPLACE INTO skerry_sync_usage VALUES (?, ?, ?, ?, ?, ?)',
        params: [flow, day, bytes.up, bytes.down, messages.up, messages.down],
      })),
    );
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
    close: async () => {
      timer?.cancel();
      await flush();
      await database?.close();
      database = undefined;
    },
  };
}
