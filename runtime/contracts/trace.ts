/** W3C trace context as it travels through the runtime (Dapr HTTP reference, section 22). */

export const ZERO_TRACEPARENT = '00-00000000000000000000000000000000-0000000000000000-00';

/** Trace headers that belong to a call; absent members are not sent. */
export interface TraceContext {
  readonly traceparent?: string;
  readonly tracestate?: string;
  readonly baggage?: string;
}

export type SpanKind = 'client' | 'server' | 'producer';

export interface Span {
  /** What goes to the app, other sidecars, components and, when `onResponse`, back to the caller. */
  readonly context: TraceContext;
  /** The span will be exported: only then is it worth describing. Absent means no. */
  readonly recording?: boolean;
  /** Name it started with; absent: it has none. */
  readonly name?: string;
  /** A child span of this one (bulk entries, deliveries). */
  child(name: string, kind?: SpanKind): Span;
  setAttribute(name: string, value: string | number | boolean): void;
  /** A better name, once the call is understood. */
  rename?(name: string): void;
  /** Ends the span; `error` marks it failed. */
  end(error?: string): void;
}

export interface Tracer {
  /** False when `samplingRate` is exactly "0": no trace headers on responses, spans carry only what the request had. */
  readonly enabled: boolean;
  /** Starts a span that continues `incoming`; a client span unless told otherwise, as Dapr's are. */
  start(name: string, incoming: TraceContext, kind?: SpanKind): Span;
}

/** A span that was sampled and has ended, on its way to the exporters. */
export interface FinishedSpan {
  readonly name: string;
  readonly kind: SpanKind;
  readonly traceId: string;
  readonly spanId: string;
  /** Empty without a parent. */
  readonly parentSpanId: string;
  readonly traceState: string;
  /** Trace flags of the span. */
  readonly flags: number;
  /** Wall clock with fractions of a millisecond. */
  readonly startMs: number;
  readonly endMs: number;
  readonly attributes: Readonly<Record<string, string | number | boolean>>;
  /** How many attributes a limit has cost; absent: none. */
  readonly droppedAttributes?: number;
  /** Set when the span failed; may be empty. */
  readonly error?: string;
}
