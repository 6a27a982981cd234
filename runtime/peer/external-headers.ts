/** Headers of a call to an outside host (HTTP reference, section 10.2): the request's, the trace, then what is fixed. */

import type { ExternalTarget } from '../building-blocks/invoke/external-http.ts';
import { httpRequestHeaders } from '../building-blocks/invoke/forward-headers.ts';
import type { InvokeRequest } from '../contracts/app-channel.ts';
import { type TraceContext, ZERO_TRACEPARENT } from '../contracts/trace.ts';
import { headerText, textHeader } from '../http-client/transport.ts';

const USER_AGENT = 'skerry';
const TRACE_NAMES = [
  ['traceparent', 'Traceparent'],
  ['tracestate', 'Tracestate'],
  ['baggage', 'Baggage'],
] as const;

/** The flat header list of a request to `target`. */
export function externalHeaders(
  target: ExternalTarget,
  request: InvokeRequest,
  trace: TraceContext,
  appToken: string,
): string[] {
  const fixed = fixedHeaders(target, appToken);
  const taken = new Set(fixed.map(([name]) => name.toLowerCase()));
  const headers: string[] = [];
  const add = (name: string, lower: string, value: string | undefined): void => {
    if (value !== undefined && value !== '' && !taken.has(lower)) headers.push(name, headerText(value));
  };

  const traced = trace.traceparent !== undefined && trace.traceparent !== ZERO_TRACEPARENT;
  const present = new Set<string>();
  for (const [name, value, lower] of httpRequestHeaders(request.headers)) {
    if (taken.has(lower) || (traced && (lower === 'traceparent' || lower === 'tracestate'))) continue;
    present.add(lower);
    headers.push(name, headerText(value));
  }
  add('Content-Type', 'content-type', request.contentType);
  // Some public APIs refuse a client that does not say who it is.
  if (!present.has('user-agent')) add('User-Agent', 'user-agent', USER_AGENT);
  for (const [lower, name] of TRACE_NAMES) if (!present.has(lower)) add(name, lower, trace[lower]);
  for (const [name, value] of fixed) headers.push(name, textHeader(value));
  return headers;
}

/** What the request cannot change: the resource's headers, and the app token where the target gets it. */
function fixedHeaders(target: ExternalTarget, appToken: string): (readonly [string, string])[] {
  if (!target.sendAppToken || appToken === '') return [...target.headers];
  return [...target.headers, ['Dapr-Api-Token', appToken]];
}
