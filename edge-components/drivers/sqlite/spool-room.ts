/**
 * What the messages of a queue take on the disk, for its cap in bytes. A message lies in the file with its row and its
 * index entries, and for a while a second time in the write-ahead log, which is folded into the file and used again
 * when it holds `LOG_BYTES`. The log is shared by all of the node's data; what counts here is a queue's own part of it.
 */

/** Id, key, numbers, the entries in four indexes and what B-tree pages leave free. */
export const ROW_BYTES = 200;

/** Size at which the write-ahead log begins anew. */
export const LOG_BYTES = 4 * 1024 * 1024;

/** Bytes of the file and of the log together, at most, for `messages` with `bytes` of payload and headers. */
export function diskBytes(messages: number, bytes: number): number {
  const stored = bytes + messages * ROW_BYTES;
  return stored + Math.min(stored, LOG_BYTES);
}
