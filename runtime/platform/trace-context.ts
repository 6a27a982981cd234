/**
 * W3C trace context (HTTP reference, section 22). Without an exporter and without a sampling rate spans are passive: an
 * incoming `traceparent` travels on unchanged, and a missing one shows as all zeros. With a sampling rate every span
 * gets an id of its own; the parent's sampling decision holds, a trace that begins here is decided by its id.
 */

import type { Random } from '../contracts/random.ts';
import {
  type FinishedSpan,
  type Span,
  type SpanKind,
  type TraceContext,
  type Tracer,
  ZERO_TRACEPARENT,
} from '../contracts/trace.ts';

export interface TracerOptions {
  /** `samplingRate` as written in the Configuration. */
  readonly samplingRate: string;
  readonly random: Random;
  readonly now: () => number;
  /** A clock with fractions of a millisecond, to tell spans of the same millisecond apart; absent: `now`. */
  readonly monotonicMs?: () => number;
  /** Receives sampled spans when they end; absent: nothing is exported. */
  readonly exporter?: (span: FinishedSpan) => void;
  /** Asked when a sampled span begins: true when there is no room for it, so that nobody describes it in vain. */
  readonly refused?: () => boolean;
}

interface Parent {
  readonly traceId: string;
  readonly spanId: string;
  readonly flags: number;
}

const TRACEPARENT = /^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?$/;
const ZERO_TRACE_ID = '0'.repeat(32);
const ZERO_SPAN_ID = '0'.repeat(16);
const SAMPLED = 1;
const DEFAULT_RATE = 0.0001;

/** W3C Trace Context, section 3.2: no version ff, nothing behind the flags in version 00, no id of zeros alone. */
function parseTraceparent(text: string | undefined): Parent | undefined {
  const match = text === undefined ? null : TRACEPARENT.exec(text);
  if (match === null) return undefined;
  const [, version, traceId = '', spanId = '', flags = '', rest] = match;
  if (version === 'ff' || (version === '00' && rest !== undefined)) return undefined;
  if (traceId === ZERO_TRACE_ID || spanId === ZERO_SPAN_ID) return undefined;
  return { traceId, spanId, flags: Number.parseInt(flags, 16) };
}

const STATE_KEY = /^(?:[a-z0-9][a-z0-9_\-*/]{0,255}|[a-z0-9][a-z0-9_\-*/]{0,240}@[a-z][a-z0-9_\-*/]{0,13})$/;
const STATE_VALUE = /^[\x20-\x2b\x2d-\x3c\x3e-\x7e]{0,255}[\x21-\x2b\x2d-\x3c\x3e-\x7e]$/;
const MAX_STATES = 32;

/** W3C Trace Context, section 3.3: a list that breaks its rules is left out as a whole. */
function validTracestate(text: string): boolean {
  const keys = new Set<string>();
  for (const member of text.split(',')) {
    if (member === '') continue;
    const equals = member.indexOf('=');
    const key = member.slice(0, Math.max(equals, 0)).replace(/^[ \t]+/, '');
    const value = member.slice(equals + 1).replace(/[ \t]+$/, '');
    if (equals < 0 || !STATE_KEY.test(key) || !STATE_VALUE.test(value) || keys.has(key)) return false;
    keys.add(key);
  }
  return keys.size <= MAX_STATES;
}

function formatTraceparent(traceId: string, spanId: string, flags: number): string {
  return `00-${traceId}-${spanId}-${flags < 16 ? '0' : ''}${flags.toString(16)}`;
}

/** Hexadecimal ids of so many bytes. */
type NextId = (bytes: number) => string;

const POOL_BYTES = 1024;

/** Ids cut from a pool: asking the system for every one would cost more than the span. */
function idSource(random: Random): NextId {
  let pool = Buffer.alloc(0);
  let at = 0;
  return (bytes) => {
    if (at + bytes > pool.length) {
      pool = Buffer.from(random.bytes(POOL_BYTES));
      at = 0;
    }
    at += bytes;
    return pool.toString('hex', at - bytes, at);
  };
}

/** A span that only hands on what came in. */
function passiveSpan(context: TraceContext): Span {
  const span: Span = { context, child: () => span, setAttribute: () => {}, end: () => {} };
  return span;
}

const ZERO_SPAN = passiveSpan(Object.freeze({ traceparent: ZERO_TRACEPARENT }));

function startPassive(incoming: TraceContext): Span {
  const { traceparent, tracestate, baggage } = incoming;
  if (tracestate !== undefined && !validTracestate(tracestate)) {
    const { tracestate: _broken, ...rest } = incoming;
    return startPassive(rest);
  }
  if (traceparent === undefined && tracestate === undefined && baggage === undefined) return ZERO_SPAN;
  const parent = parseTraceparent(traceparent);
  if (parent === undefined) {
    // State without a trace says nothing.
    return passiveSpan({ traceparent: ZERO_TRACEPARENT, ...(baggage === undefined ? {} : { baggage }) });
  }
  return passiveSpan({
    ...incoming,
    traceparent: formatTraceparent(parent.traceId, parent.spanId, parent.flags),
  });
}

/** Decides by the lower half of the trace id, so that every sidecar with the same rate decides alike. */
function idBelow(traceId: string, rate: number): boolean {
  return Number.parseInt(traceId.slice(16, 29), 16) / 2 ** 52 < rate;
}

/** The wall clock with the resolution of the monotonic one; follows the wall clock when that is set. */
function preciseClock(now: () => number, monotonicMs: () => number): () => number {
  let base = now() - monotonicMs();
  return () => {
    const monotonic = monotonicMs();
    const wall = now();
    if (Math.abs(base + monotonic - wall) > 2) base = wall - monotonic;
    return base + monotonic;
  };
}

type Export = (span: FinishedSpan) => void;
type SpanIds = Pick<FinishedSpan, 'traceId' | 'spanId' | 'parentSpanId' | 'flags' | 'kind'>;

/** A sampled span with an exporter behind it. */
class RecordedSpan implements Span {
  readonly context: TraceContext;
  readonly recording = true;
  readonly child: Span['child'];
  readonly #ids: SpanIds;
  readonly #attributes: Record<string, string | number | boolean> = {};
  readonly #export: Export;
  readonly #clock: () => number;
  readonly #startMs: number;
  #name: string;
  #ended = false;

  constructor(
    name: string,
    context: TraceContext,
    ids: SpanIds,
    child: Span['child'],
    clock: () => number,
    write: Export,
  ) {
    this.#name = name;
    this.context = context;
    this.#ids = ids;
    this.child = child;
    this.#clock = clock;
    this.#startMs = clock();
    this.#export = write;
  }

  get name(): string {
    return this.#name;
  }

  setAttribute(key: string, value: string | number | boolean): void {
    this.#attributes[key] = value;
  }

  rename(name: string): void {
    this.#name = name;
  }

  end(error?: string): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#export({
      ...this.#ids,
      name: this.#name,
      traceState: this.context.tracestate ?? '',
      startMs: this.#startMs,
      endMs: this.#clock(),
      attributes: this.#attributes,
      ...(error === undefined ? {} : { error }),
    });
  }
}

/** Makes the tracer of a sidecar. */
export function createTracer(options: TracerOptions): Tracer {
  const { exporter, refused } = options;
  const given = options.samplingRate.trim();
  const parsed = given === '' ? Number.NaN : Number(given);
  const rate = Number.isFinite(parsed) ? parsed : DEFAULT_RATE;
  if (rate === 0) return { enabled: false, start: (_name, incoming) => passiveSpan(incoming) };
  if (given === '' && exporter === undefined)
    return { enabled: true, start: (_name, incoming) => startPassive(incoming) };

  const clock = preciseClock(options.now, options.monotonicMs ?? options.now);
  const nextId = idSource(options.random);
  const start = (name: string, incoming: TraceContext, kind: SpanKind = 'client'): Span => {
    const parent = parseTraceparent(incoming.traceparent);
    const ids = nextIds(parent, kind, rate, nextId);
    const context = contextOf(ids, incoming, parent !== undefined);
    const child = (childName: string, childKind?: SpanKind): Span => start(childName, context, childKind);
    return exporter === undefined || (ids.flags & SAMPLED) === 0 || refused?.() === true
      ? { context, child, setAttribute: () => {}, end: () => {} }
      : new RecordedSpan(name, context, ids, child, clock, exporter);
  };
  return { enabled: true, start };
}

function nextIds(parent: Parent | undefined, kind: SpanKind, rate: number, nextId: NextId): SpanIds {
  const spanId = nextId(8);
  if (parent !== undefined)
    return { traceId: parent.traceId, spanId, parentSpanId: parent.spanId, flags: parent.flags, kind };
  const traceId = nextId(16);
  const flags = rate >= 1 || idBelow(traceId, rate) ? SAMPLED : 0;
  return { traceId, spanId, parentSpanId: '', flags, kind };
}

function contextOf(ids: SpanIds, { tracestate, baggage }: TraceContext, continued: boolean): TraceContext {
  return {
    traceparent: formatTraceparent(ids.traceId, ids.spanId, ids.flags),
    ...(tracestate !== undefined && continued && validTracestate(tracestate) ? { tracestate } : {}),
    ...(baggage === undefined ? {} : { baggage }),
  };
}
