/**
 * What travels with a queued message: request metadata are kept among its headers under `m.`, beside what the component
 * itself keeps there, and its key and priority come from them.
 */

import type { SpoolMessage } from '../../../runtime/contracts/spool.ts';

type Metadata = Readonly<Record<string, string>>;

const PREFIX = 'm.';
const DEFAULT_PRIORITY = 4;

/** Own headers, and the metadata under `m.`. */
export function queuedHeaders(own: Metadata, metadata: Metadata): Metadata {
  const headers: Record<string, string> = { ...own };
  for (const [name, value] of Object.entries(metadata)) headers[PREFIX + name] = value;
  return headers;
}

/** The metadata that `queuedHeaders` put there. */
export function queuedMetadata(headers: Metadata): Metadata {
  const metadata: Record<string, string> = {};
  for (const [name, value] of Object.entries(headers)) {
    if (name.startsWith(PREFIX)) metadata[name.slice(PREFIX.length)] = value;
  }
  return metadata;
}

/** Metadata without the items that are for this side only. */
export function withoutItems(metadata: Metadata, own: ReadonlySet<string>): Metadata {
  return Object.fromEntries(Object.entries(metadata).filter(([name]) => !own.has(name)));
}

/** The order key: the item named by `keyFrom`, else `partitionKey`; empty without one. */
export function orderKey(metadata: Metadata, keyFrom: string): string {
  return metadata[keyFrom === '' ? 'partitionKey' : keyFrom] ?? '';
}

/** The item `priority` when it is one (0 to 9), else 4. */
export function priorityOf(metadata: Metadata): SpoolMessage['priority'] {
  const priority = Number(metadata['priority'] ?? DEFAULT_PRIORITY);
  return Number.isInteger(priority) && priority >= 0 && priority <= 9 ? priority : DEFAULT_PRIORITY;
}
