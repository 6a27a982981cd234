/**
 * Opens SQLite files for the whole process: each file once, counted, with its writes on the one writer thread and its
 * reads on a connection of this thread. The node's own file is one of them.
 *
 * `:memory:` databases and read-only ones need no writer and live on this thread alone.
 */

import { join, resolve } from 'node:path';
import type { Clock } from '../../../runtime/contracts/clock.ts';
import {
  type Database,
  DatabaseError,
  type DatabaseOptions,
  type DatabasePool,
  type Migration,
} from '../../../runtime/contracts/database.ts';
import type { Logger } from '../../../runtime/contracts/logger.ts';
import { openMemoryDatabase } from './memory-database.ts';
import { PooledFile } from './pooled-file.ts';
import { ReadConnection } from './read-connection.ts';
import type { SalvageReport } from './salvage.ts';
import { WriterClient, type WriterLimits } from './writer-client.ts';

export interface DatabasePoolOptions {
  /** Module that runs `runWriterWorker()` when `isWriterThread()`; the bundle passes itself. */
  readonly workerEntry: URL;
  readonly systemPath: string;
  readonly log: Logger;
  readonly clock: Clock;
  /** The writer thread died: acknowledged writes are safe, but nothing can be written any more and the process must end. */
  readonly onFatal: (error: Error) => void;
  readonly limits?: WriterLimits;
}

const DEFAULT_BUSY_TIMEOUT_MS = 5000;

/** Makes the pool; the writer thread starts with the first file. */
export function createDatabasePool(options: DatabasePoolOptions): DatabasePool {
  const files = new Map<string, PooledFile>();
  let writer: WriterClient | undefined;
  let closed = false;

  const startWriter = (): WriterClient => {
    writer ??= new WriterClient(
      options.workerEntry,
      options.clock,
      (error) => {
        options.log.fatal('The database writer failed; nothing can be stored any more', {
          error: error.message,
        });
        options.onFatal(error);
      },
      options.limits,
    );
    return writer;
  };

  const fileAt = async (path: string, request: DatabaseOptions): Promise<PooledFile> => {
    for (let known = files.get(path); known !== undefined; known = files.get(path)) {
      if (known.closing === undefined) return known;
      await known.closing;
    }
    const file = new PooledFile({
      path,
      wal: request.wal ?? true,
      busyTimeoutMs: request.busyTimeoutMs ?? DEFAULT_BUSY_TIMEOUT_MS,
      writer: startWriter(),
      clock: options.clock,
      own: path === resolve(options.systemPath),
      durability: request.durability ?? 'sync',
      salvaged: (report) => tellSalvage(options.log, report),
      damaged: (error) => {
        options.log.fatal('The database is damaged; the next start salvages what can be read', {
          error: error.message,
        });
        // The next start knows what to do; running on with half a database would not end well.
        if (path === resolve(options.systemPath)) options.onFatal(error);
      },
      away: (reason) => {
        if (reason === undefined) options.log.info('The database file is back', { database: path });
        else
          options.log.error('The database file is out of reach; writes are refused until it is back', {
            database: path,
            error: reason,
          });
      },
      replaced: (error) => {
        // What the broker and the queues have in memory belongs to the file that is gone; a new start reads this one.
        const end = path === resolve(options.systemPath);
        const fields = { database: path, error: error.message };
        if (end)
          options.log.fatal('The database file was deleted or replaced; a new start is needed', fields);
        else options.log.error('The database file was deleted or replaced; it is opened anew', fields);
        if (end) options.onFatal(error);
        return !end;
      },
      forget: () => void files.delete(path),
    });
    files.set(path, file);
    return file;
  };

  const openFile = async (request: DatabaseOptions, signal?: AbortSignal): Promise<Database> => {
    const path = resolve(request.path);
    const file = await fileAt(path, request);
    if (request.wal !== undefined && request.wal !== file.wal) {
      const kept = file.wal ? 'with' : 'without';
      options.log.warn(`Database '${path}' is already open ${kept} WAL; that is kept`);
    }
    return file.share(request.migrations ?? [], signal);
  };

  const open = async (request: DatabaseOptions, signal?: AbortSignal): Promise<Database> => {
    signal?.throwIfAborted();
    if (closed) throw new DatabaseError('SKERRY_CLOSED', 'the database pool is closed');
    if (request.path === ':memory:') return openMemoryDatabase(request.migrations ?? []);
    if (request.readOnly === true) return openReadOnly(request);
    return openFile(request, signal);
  };

  return {
    open,
    system: (migrations: readonly Migration[] = []) => open({ path: options.systemPath, migrations }),
    acknowledgedWrites: () => writer?.acknowledged ?? 0,
    async close() {
      if (closed) return;
      closed = true;
      await Promise.all([...files.values()].map((file) => file.closeNow()));
      await writer?.stop();
    },
  };
}

const TOLD_KEYS = 20;

/** The loss in the log; the whole of it is in the report. */
function tellSalvage(log: Logger, report: SalvageReport): void {
  const file = join(report.setAside, 'report.json');
  log.error('A damaged database was set aside; what could be read of it was salvaged', {
    database: report.path,
    reason: report.reason,
    set_aside: report.setAside,
    report: file,
    lost_wal_frames: report.lostFrames,
  });
  for (const { name, kept, damagedPages, lost, lostMore, note } of report.tables) {
    if (damagedPages === 0 && lost.length === 0 && note === undefined) continue;
    log.error(`Of table ${name} ${kept} rows were kept`, {
      damaged_pages: damagedPages,
      rows_lost_by_name: lost.length + lostMore,
      lost: JSON.stringify(lost.slice(0, TOLD_KEYS)),
      ...(note === undefined ? {} : { note }),
    });
  }
}

function openReadOnly(request: DatabaseOptions): Database {
  const path = resolve(request.path);
  const connection = new ReadConnection(path, request.busyTimeoutMs ?? DEFAULT_BUSY_TIMEOUT_MS);
  let open = true;
  return {
    write: () =>
      Promise.reject(new DatabaseError('SQLITE_READONLY', `database file '${path}' is open read-only`)),
    read(sql, params) {
      if (!open) throw new DatabaseError('SKERRY_CLOSED', `database file '${path}' is closed`);
      return connection.read(sql, params);
    },
    async close() {
      if (open) connection.close();
      open = false;
    },
  };
}
