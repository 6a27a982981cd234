/** Tracing of API requests (Dapr HTTP reference, section 22): the span of a request and the headers of its answer. */

import type { IncomingHttpHeaders } from 'node:http';
import { type Span, type TraceContext, type Tracer, ZERO_TRACEPARENT } from '../contracts/trace.ts';
import { decodeBytes } from './path.ts';
import { hasHeader, plainReply, type Reply } from './respond.ts';

const MAX_TRACESTATE = 512;

/** Stands in for the span of a request that is never traced. */
const UNTRACED: Span = Object.freeze({
  context: Object.freeze({}),
  child: () => UNTRACED,
  setAttribute: () => {},
  end: () => {},
});

/** A header that may be given once; a repeated one is joined the way node:http does. */
const one = (value: string | string[] | undefined): string | undefined =>
  Array.isArray(value) ? value.join(',') : value;

export interface RequestTrace {
  readonly span: Span;
  /** Whether the answer carries trace headers. */
  readonly shown: boolean;
  readonly baggage: string | undefined;
  /** Set when the request is refused for its baggage. */
  readonly refusal: Reply | undefined;
}

const NEVER: RequestTrace = { span: UNTRACED, shown: false, baggage: undefined, refusal: undefined };

/** Whether a path belongs to a health check, which is neither traced nor decorated. */
export function isHealthPath(rawPath: string): boolean {
  return (rawPath.includes('%') ? decodeBytes(rawPath) : rawPath).includes('/healthz');
}

/** Starts the span of a request. */
export function traceRequest(tracer: Tracer, rawPath: string, headers: IncomingHttpHeaders): RequestTrace {
  if (isHealthPath(rawPath)) return NEVER;
  const baggage = one(headers['baggage']);
  if (!tracer.enabled) {
    // Without tracing, trace headers travel only as plain headers of an invocation; baggage still reaches bindings.
    return {
      span: tracer.start(rawPath, baggage === undefined ? {} : { baggage }),
      shown: false,
      baggage,
      refusal: undefined,
    };
  }
  if (baggage !== undefined) {
    const fault = baggageFault(baggage);
    if (fault !== undefined) {
      return { ...NEVER, refusal: plainReply(400, `invalid baggage header: ${fault}`) };
    }
  }
  const traceparent = one(headers['traceparent']);
  const tracestate = one(headers['tracestate']);
  let incoming: TraceContext = NOTHING;
  if (traceparent !== undefined || tracestate !== undefined || baggage !== undefined) {
    incoming = {
      ...(traceparent === undefined ? {} : { traceparent }),
      ...(tracestate === undefined ? {} : { tracestate }),
      ...(baggage === undefined ? {} : { baggage }),
    };
  }
  return { span: tracer.start(rawPath, incoming), shown: true, baggage, refusal: undefined };
}

const NOTHING: TraceContext = Object.freeze({});

/** Adds trace headers to the head of an answer unless the handler set its own. */
export function addTraceHeaders(trace: RequestTrace, headers: string[]): void {
  if (!trace.shown) return;
  if (trace.baggage !== undefined && !hasHeader(headers, 'baggage')) headers.push('Baggage', trace.baggage);
  if (hasHeader(headers, 'traceparent')) return;
  const { traceparent, tracestate } = trace.span.context;
  headers.push('Traceparent', traceparent ?? ZERO_TRACEPARENT);
  if (
    tracestate !== undefined &&
    tracestate !== '' &&
    tracestate.length <= MAX_TRACESTATE &&
    !hasHeader(headers, 'tracestate')
  ) {
    headers.push('Tracestate', tracestate);
  }
}

/** Ends the span; a sampled one gets the attributes that Dapr records. */
export function endTrace(
  trace: RequestTrace,
  method: string,
  path: string,
  headers: IncomingHttpHeaders,
  status: number,
): void {
  if (!trace.shown) return;
  const { span } = trace;
  if (span.context.traceparent?.endsWith('1') === true) {
    span.setAttribute('dapr.protocol', 'http');
    span.setAttribute('dapr.api', `${method} ${path}`);
    span.setAttribute('dapr.status_code', String(status));
    span.setAttribute('http.request.method', method);
    for (const name of Object.keys(headers)) {
      if (name.startsWith('dapr-') && !name.endsWith('-bin') && name !== 'dapr-api-token') {
        span.setAttribute(name, one(headers[name]) ?? '');
      }
    }
  }
  span.end(status >= 400 ? `Code(${status})` : undefined);
}

const KEY = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
const VALUE = /^[\x21\x23-\x2b\x2d-\x3a\x3c-\x5b\x5d-\x7e]*$/;
const MAX_BAGGAGE = 8192;
const MAX_MEMBERS = 180;

/** What is wrong with a baggage header (W3C Baggage, section 3.3), or `undefined`. */
export function baggageFault(baggage: string): string | undefined {
  if (baggage === '') return undefined;
  if (baggage.length > MAX_BAGGAGE) return `baggage-string too large: ${baggage.length}`;
  const members = baggage.split(',');
  if (members.length > MAX_MEMBERS) return `too many list-members in baggage-string: ${members.length}`;
  const faults = members.map(memberFault).filter((fault) => fault !== undefined);
  return faults.length === 0 ? undefined : faults.join('\n');
}

function memberFault(member: string): string | undefined {
  const [pair = '', ...properties] = member.split(';');
  const equals = pair.indexOf('=');
  if (equals < 0) return `invalid baggage list-member: ${JSON.stringify(member)}`;
  const key = pair.slice(0, equals).trim();
  if (!KEY.test(key)) return `invalid key: ${JSON.stringify(key)}`;
  const value = pair.slice(equals + 1).trim();
  if (!VALUE.test(value)) return `invalid value: ${JSON.stringify(value)}`;
  for (const property of properties) {
    const [name = '', ...rest] = property.split('=');
    if (!KEY.test(name.trim()) || !VALUE.test(rest.join('=').trim()))
      return `invalid baggage list-member: ${JSON.stringify(member)}`;
  }
  return undefined;
}
