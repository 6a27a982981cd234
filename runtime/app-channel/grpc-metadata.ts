/**
 * Metadata of calls to a gRPC app (gRPC reference, sections 3 and 5.2): names in lower case, permanent HTTP headers
 * behind `dapr-`, trace and token of this sidecar.
 */

import type { HeaderList } from '../contracts/app-channel.ts';
import { isPermanentHeader } from '../contracts/grpc-wire/header-names.ts';
import type { TraceContext } from '../contracts/trace.ts';
import { metadataOfTrace } from '../grpc-client/trace-metadata.ts';

const REPLACED = new Set([
  'traceparent',
  'tracestate',
  'grpc-trace-bin',
  'destination-app-id',
  'dapr-app-id',
  'te',
  'user-agent',
]);

/** Metadata of an invocation. What comes `fromGrpc` is metadata already: no HTTP header among it needs a prefix. */
export function invokeMetadata(
  headers: HeaderList,
  trace: TraceContext,
  token: string | undefined,
  fromGrpc = false,
): HeaderList {
  const metadata: (readonly [string, string])[] = [];
  for (const [name, value] of headers) {
    const lower = name.toLowerCase();
    if (
      REPLACED.has(lower) ||
      lower.charCodeAt(0) === 0x3a ||
      (lower === 'dapr-api-token' && token !== undefined)
    )
      continue;
    if (fromGrpc) {
      if (lower !== 'dapr-authority') metadata.push([lower.replace(/^dapr-(?=grpc-)/, ''), value]);
    } else metadata.push([isPermanentHeader(lower) ? `dapr-${lower}` : lower, value]);
  }
  return withTraceAndToken(metadata, trace, token);
}

/** Metadata of an event: what the component told about it. */
export function eventMetadata(
  entries: Readonly<Record<string, string>>,
  trace: TraceContext,
  token: string | undefined,
): HeaderList {
  return withTraceAndToken(Object.entries(entries), trace, token);
}

/** A call without a trace tells so with zeros; with tracing turned off it tells nothing. */
function withTraceAndToken(metadata: HeaderList, trace: TraceContext, token: string | undefined): HeaderList {
  const all = [...metadata];
  const { traceparent, tracestate, baggage } = trace;
  if (traceparent !== undefined && traceparent !== '') {
    all.push(...metadataOfTrace({ traceparent, ...(tracestate === undefined ? {} : { tracestate }) }));
  }
  if (baggage !== undefined && baggage !== '' && !all.some(([name]) => name === 'baggage'))
    all.push(['baggage', baggage]);
  if (token !== undefined) all.push(['dapr-api-token', token]);
  return all;
}
