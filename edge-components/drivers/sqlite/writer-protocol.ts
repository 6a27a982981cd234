/** Messages between the main thread and the writer thread. Each crossing carries a list, in order. */

import type { Migration, SqlStep } from '../../../runtime/contracts/database.ts';
import type { WriteConnectionOptions, WriteOutcome } from './write-connection.ts';

/** `workerData.role` of the writer thread. */
export const WRITER_ROLE = 'skerry-writer';

export type WriterRequest =
  | {
      readonly kind: 'write';
      readonly id: number;
      readonly database: number;
      readonly steps: readonly SqlStep[];
    }
  | {
      readonly kind: 'open';
      readonly id: number;
      readonly database: number;
      readonly options: WriteConnectionOptions;
    }
  | {
      readonly kind: 'migrate';
      readonly id: number;
      readonly database: number;
      readonly migrations: readonly Migration[];
    }
  | { readonly kind: 'close'; readonly id: number; readonly database: number };

export interface WriterAnswer {
  readonly id: number;
  /** Of a write; for `open` one row with the report when the file had to be salvaged; an empty list otherwise. */
  readonly outcome: WriteOutcome;
}

/** Main thread to writer: requests, or the order to end. */
export type WriterMessage = readonly WriterRequest[] | 'stop';
