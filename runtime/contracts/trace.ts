/** W3C trace context as it travels through the runtime (Dapr HTTP reference, section 22). */

export const ZERO_TRACEPARENT = '00-00000000000000000000000000000000-0000000000000000-00';

/** Trace headers that belong to a call; absent members are not sent. */
export interface TraceContext {
  readonly traceparent?: string;
  readonly tracestate?: string;
  readonly baggage?: string;
}

export interface Span {
  /** What goes to the app, other sidecars, components and, when `onResponse`, back to the caller. */
  readonly context: TraceContext;
  /** A child span of this one (bulk entries, deliveries). */
  child(name: string): Span;
  setAttribute(name: string, value: string | number | boolean): void;
  /** Ends the span; `error` marks it failed. */
  end(error?: string): void;
}

export interface Tracer {
  /** False when `samplingRate` is exactly "0": no trace headers on responses, spans carry only what the request had. */
  readonly enabled: boolean;
  /** Starts a server span that continues `incoming`. */
  start(name: string, incoming: TraceContext, attributes?: Readonly<Record<string, string>>): Span;
}
