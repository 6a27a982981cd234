/** OTLP over HTTP with protobuf bodies: one POST for each batch. */

import type { Clock } from '../contracts/clock.ts';
import { gzipped } from './gzipped.ts';
import { createHttpPost, type HttpTarget } from './http-post.ts';
import { encodeOtlp } from './otlp-message.ts';
import type { SpanSink } from './span-queue.ts';
import type { TraceResource } from './trace-resource.ts';

/** OTLP specification, "Retryable Response Codes". */
const RETRYABLE: ReadonlySet<number> = new Set([429, 502, 503, 504]);

export interface OtlpHttpOptions {
  readonly target: HttpTarget;
  readonly headers: Readonly<Record<string, string>>;
  readonly gzip: boolean;
  readonly timeoutMs: number;
  readonly resource: TraceResource;
  readonly clock: Clock;
}

export function createOtlpHttpSink(options: OtlpHttpOptions): SpanSink {
  const { target, gzip, timeoutMs, clock } = options;
  const http = createHttpPost({
    target,
    headers: {
      'Content-Type': 'application/x-protobuf',
      ...(gzip ? { 'Content-Encoding': 'gzip' } : {}),
      ...options.headers,
    },
    timeoutMs,
    retryable: RETRYABLE,
    clock,
  });
  return {
    target: `the OTLP collector at ${target.host}:${target.port}`,
    timeoutMs,
    send: async (spans, signal) => {
      const body = encodeOtlp(spans, options.resource);
      await http.post(gzip ? await gzipped(body) : body, signal);
    },
    close: async () => http.close(),
  };
}
