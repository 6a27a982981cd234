/** The JSON of Dapr's state API, seen from a caller: values are spliced in as the JSON texts they are. */

import type { StateOperation, StateRecord } from '../../../runtime/contracts/state-store.ts';
import type { HttpAnswer } from '../../drivers/http/request.ts';

export const jsonOf = (value: unknown): string => JSON.stringify(value);

/** A key as the app knows it, without the prefix that the runtime puts before it. */
export function ownKey(key: string): string {
  const cut = key.indexOf('||');
  return cut < 0 ? key : key.slice(cut + 2);
}

/** One item of a save. */
export function writeItem(request: StateOperation, key: string): string {
  const { etag, options, metadata } = request;
  const parts = [`"key":${jsonOf(key)}`];
  if (request.kind === 'upsert') parts.push(`"value":${valueText(request.value.bytes)}`);
  if (etag !== undefined) parts.push(`"etag":${jsonOf(etag)}`);
  if (Object.keys(metadata).length > 0) parts.push(`"metadata":${jsonOf(metadata)}`);
  const chosen = Object.fromEntries(Object.entries(options).filter(([, value]) => value !== ''));
  if (Object.keys(chosen).length > 0) parts.push(`"options":${jsonOf(chosen)}`);
  return `{${parts.join(',')}}`;
}

export function transactionItem(operation: StateOperation, key: string): string {
  return `{"operation":"${operation.kind}","request":${writeItem(operation, key)}}`;
}

/** A value read: its bytes as they are, its ETag, and what came as `metadata.<name>` headers. */
export function recordOf(answer: HttpAnswer): StateRecord {
  const { etag } = answer.headers;
  const metadata: Record<string, string> = {};
  for (const [name, value] of Object.entries(answer.headers)) {
    if (!name.startsWith('metadata.') || typeof value !== 'string') continue;
    // Header names lose their case on the way; the one that Dapr defines is given back as it is written.
    const item = name.slice('metadata.'.length);
    metadata[item === 'ttlexpiretime' ? 'ttlExpireTime' : item] = value;
  }
  return {
    value: answer.body,
    ...(etag === undefined ? {} : { etag }),
    ...(Object.keys(metadata).length === 0 ? {} : { metadata }),
  };
}

/** Dapr's HTTP API carries JSON values only: other bytes are refused here, where the error can say so. */
function valueText(bytes: Uint8Array): string {
  const text = Buffer.from(bytes).toString('utf8');
  try {
    JSON.parse(text);
    return text;
  } catch {
    throw new Error(
      "expected a value that is JSON: the far sidecar is reached over HTTP (other values need metadata item 'grpcAddress')",
    );
  }
}
