/**
 * W3C trace context (HTTP reference, section 22). Without an exporter and without a sampling rate spans are passive: an
 * incoming `traceparent` travels on unchanged, and a missing one shows as all zeros. With a sampling rate every span
 * gets an id of its own.
 */

import type { Random } from '../contracts/random.ts';
import { type Span, type TraceContext, type Tracer, ZERO_TRACEPARENT } from '../contracts/trace.ts';

const TRACEPARENT = /^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})/;

export interface FinishedSpan {
  readonly name: string;
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId: string;
  readonly startMs: number;
  readonly endMs: number;
  readonly attributes: Readonly<Record<string, string | number | boolean>>;
  readonly error?: string;
}

export interface TracerOptions {
  /** `samplingRate` as written in the Configuration. */
  readonly samplingRate: string;
  readonly random: Random;
  readonly now: () => number;
  /** Receives sampled spans when they end; absent: nothing is exported. */
  readonly exporter?: (span: FinishedSpan) => void;
}

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

/** A span that only hands on what came in. */
function passiveSpan(context: TraceContext): Span {
  const span: Span = { context, child: () => span, setAttribute: () => {}, end: () => {} };
  return span;
}

export function createTracer(options: TracerOptions): Tracer {
  const given = options.samplingRate.trim();
  const parsed = given === '' ? Number.NaN : Number(given);
  const rate = Number.isFinite(parsed) ? Math.min(1, Math.max(0, parsed)) : 0.0001;
  if (given !== '' && parsed === 0)
    return { enabled: false, start: (_name, incoming) => passiveSpan(incoming) };

  const active = (given !== '' && Number.isFinite(parsed)) || options.exporter !== undefined;
  if (!active) {
    const zero = passiveSpan({ traceparent: ZERO_TRACEPARENT });
    return {
      enabled: true,
      start: (_name, incoming) => {
        if (
          incoming.traceparent === undefined &&
          incoming.baggage === undefined &&
          incoming.tracestate === undefined
        )
          return zero;
        const valid = incoming.traceparent !== undefined && TRACEPARENT.test(incoming.traceparent);
        return passiveSpan({
          ...incoming,
          traceparent: valid ? (incoming.traceparent ?? '') : ZERO_TRACEPARENT,
        });
      },
    };
  }

  const start = (
    name: string,
    incoming: TraceContext,
    attributes: Readonly<Record<string, string>> = {},
  ): Span => {
    const parent = incoming.traceparent === undefined ? null : TRACEPARENT.exec(incoming.traceparent);
    const traceId = parent?.[2] ?? hex(options.random.bytes(16));
    const sampled =
      parent === null ? options.random.float() < rate : (Number.parseInt(parent[4] ?? '00', 16) & 1) === 1;
    const spanId = hex(options.random.bytes(8));
    const context: TraceContext = {
      traceparent: `00-${traceId}-${spanId}-${sampled ? '01' : '00'}`,
      ...(incoming.tracestate === undefined || parent === null ? {} : { tracestate: incoming.tracestate }),
      ...(incoming.baggage === undefined ? {} : { baggage: incoming.baggage }),
    };
    const startMs = options.now();
    const values: Record<string, string | number | boolean> = { ...attributes };
    let ended = false;
    return {
      context,
      child: (childName) => start(childName, context),
      setAttribute: (key, value) => {
        values[key] = value;
      },
      end: (error) => {
        if (ended || !sampled || options.exporter === undefined) return;
        ended = true;
        options.exporter({
          name,
          traceId,
          spanId,
          parentSpanId: parent?.[3] ?? '',
          startMs,
          endMs: options.now(),
          attributes: values,
          ...(error === undefined ? {} : { error }),
        });
      },
    };
  };
  return { enabled: true, start };
}
