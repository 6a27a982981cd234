/** Tracing of API requests (Dapr HTTP reference, section 22): the span of a request and the headers of its answer. */

import type { IncomingHttpHeaders } from 'node:http';
import { baggageFault } from '../contracts/baggage.ts';
import { type Span, type TraceContext, type Tracer, ZERO_TRACEPARENT } from '../contracts/trace.ts';
import type { ApiRequest } from './api-request.ts';
import { decodeBytes } from './path.ts';
import { hasHeader, plainReply, type Reply } from './respond.ts';
import { describeRequest, failureOfStatus } from './span-attributes.ts';

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

/** A header without commas of its own; the first one counts. */
const first = (value: string | string[] | undefined): string | undefined =>
  Array.isArray(value) ? value[0] : value?.split(',', 1)[0];

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
  const traceparent = first(headers['traceparent']);
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
  if (trace.baggage !== undefined && trace.baggage !== '' && !hasHeader(headers, 'baggage'))
    headers.push('Baggage', trace.baggage);
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

/** Ends the span; a recorded one is described as Dapr does. */
export function endTrace(trace: RequestTrace, request: ApiRequest, status: number): void {
  if (!trace.shown) return;
  const { span } = trace;
  if (span.recording === true) describeRequest(span, request, status);
  span.end(failureOfStatus(status));
}
