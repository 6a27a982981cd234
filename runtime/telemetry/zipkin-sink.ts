/** Zipkin API v2: batches as JSON, tags and endpoints as the OpenTelemetry exporter derives them. */

import type { Clock } from '../contracts/clock.ts';
import type { FinishedSpan } from '../contracts/trace.ts';
import { createHttpPost, type HttpTarget } from './http-post.ts';
import { SCOPE } from './otlp-message.ts';
import type { SpanSink } from './span-queue.ts';
import type { TraceResource } from './trace-resource.ts';

const TIMEOUT_MS = 30_000;
/** The Zipkin API has no word about sending again: what it refuses is lost. */
const RETRYABLE: ReadonlySet<number> = new Set();
/** Attributes that name the other side, best first (OpenTelemetry specification, Zipkin exporter). */
const REMOTE_NAMES = ['server.address', 'net.peer.name', 'db.name'];

export interface ZipkinOptions {
  readonly target: HttpTarget;
  readonly resource: TraceResource;
  readonly clock: Clock;
}

export function createZipkinSink(options: ZipkinOptions): SpanSink {
  const { target, clock } = options;
  const http = createHttpPost({
    target,
    headers: { 'Content-Type': 'application/json' },
    timeoutMs: TIMEOUT_MS,
    retryable: RETRYABLE,
    clock,
  });
  return {
    target: `Zipkin at ${target.host}:${target.port}`,
    timeoutMs: TIMEOUT_MS,
    send: (spans, signal) => http.post(encodeZipkin(spans, options.resource), signal),
    close: async () => http.close(),
  };
}

/** Encodes a batch. */
export function encodeZipkin(spans: readonly FinishedSpan[], resource: TraceResource): Uint8Array {
  return Buffer.from(JSON.stringify(spans.map((span) => zipkinSpan(span, resource))));
}

function zipkinSpan(span: FinishedSpan, resource: TraceResource): object {
  const tags: Record<string, string> = {};
  for (const key in span.attributes) tags[key] = String(span.attributes[key]);
  Object.assign(tags, resource, { 'otel.scope.name': SCOPE });
  if (span.error !== undefined) Object.assign(tags, { 'otel.status_code': 'ERROR', error: span.error });
  const remote =
    span.kind === 'server'
      ? undefined
      : REMOTE_NAMES.map((name) => span.attributes[name]).find((name) => name !== undefined);
  return {
    timestamp: Math.round(span.startMs * 1000),
    // Zipkin takes 0 for unknown.
    duration: Math.max(1, Math.round((span.endMs - span.startMs) * 1000)),
    traceId: span.traceId,
    id: span.spanId,
    ...(span.parentSpanId === '' ? {} : { parentId: span.parentSpanId }),
    name: span.name,
    kind: span.kind.toUpperCase(),
    localEndpoint: { serviceName: resource['service.name'] },
    ...(remote === undefined ? {} : { remoteEndpoint: { serviceName: String(remote) } }),
    tags,
  };
}
