/** Reading parts of a file that may be damaged or missing. */

import { closeSync, fstatSync, openSync, readSync } from 'node:fs';

/** Calls `use` with the open file and its size; undefined when it cannot be opened. */
export function withFile<T>(path: string, use: (file: number, size: number) => T): T | undefined {
  let file: number;
  try {
    file = openSync(path, 'r');
  } catch {
    return undefined;
  }
  try {
    return use(file, fstatSync(file).size);
  } finally {
    closeSync(file);
  }
}

/** `length` bytes from `at`; zeros where the file has none. */
export function readAt(file: number, at: number, length: number): Buffer {
  // Not from the shared pool: its own memory begins at a multiple of eight.
  const bytes = Buffer.from(new ArrayBuffer(length));
  for (let done = 0; done < length; ) {
    const read = readSync(file, bytes, done, length - done, at + done);
    if (read === 0) break;
    done += read;
  }
  return bytes;
}
