/** What the preloaded shim (`disk-shim.c`) wrote down, and the marks that the harness puts between its records. */

import { closeSync, openSync, readFileSync, writeSync } from 'node:fs';

export const RECORD = {
  create: 1,
  write: 2,
  truncate: 3,
  syncBegin: 4,
  syncEnd: 5,
  unlink: 6,
  rename: 7,
  mkdir: 8,
  send: 9,
  unsent: 10,
  accept: 11,
  mark: 100,
} as const;

/** One thing that happened, at its place in the order of all. */
export interface TraceEvent {
  readonly type: number;
  readonly a: number;
  readonly b: number;
  /** Path below the root, '' for the root itself. */
  readonly name: string;
  readonly data: Buffer;
}

const HEAD_BYTES = 32;

/** Reads a whole trace. An unfinished last record (the process was killed writing it) never took effect. */
export function readTrace(path: string, root: string): TraceEvent[] {
  const bytes = readFileSync(path);
  const events: TraceEvent[] = [];
  for (let at = 0; at + HEAD_BYTES <= bytes.length; ) {
    const nameLength = bytes.readUInt32LE(at + 24);
    const dataLength = bytes.readUInt32LE(at + 28);
    const nameAt = at + HEAD_BYTES;
    const dataAt = nameAt + nameLength;
    if (dataAt + dataLength > bytes.length) break;
    const type = bytes.readUInt32LE(at);
    const data = bytes.subarray(dataAt, dataAt + dataLength);
    events.push({
      type,
      a: Number(bytes.readBigInt64LE(at + 8)),
      b: Number(bytes.readBigInt64LE(at + 16)),
      name: below(bytes.toString('utf8', nameAt, dataAt), root),
      data: type === RECORD.rename ? Buffer.from(below(data.toString(), root)) : data,
    });
    at = dataAt + dataLength;
  }
  return events;
}

function below(path: string, root: string): string {
  return path.startsWith(root) ? path.slice(root.length).replace(/^\/+/, '') : path;
}

/** Appends marks of the harness to the trace; one write each, so they never mix with the records of the process. */
export class MarkWriter {
  readonly #file: number;

  constructor(path: string) {
    this.#file = openSync(path, 'a', 0o600);
  }

  add(mark: object): void {
    const data = Buffer.from(JSON.stringify(mark));
    const record = Buffer.alloc(HEAD_BYTES + data.length);
    record.writeUInt32LE(RECORD.mark, 0);
    record.writeUInt32LE(data.length, 28);
    data.copy(record, HEAD_BYTES);
    writeSync(this.#file, record);
  }

  close(): void {
    closeSync(this.#file);
  }
}
