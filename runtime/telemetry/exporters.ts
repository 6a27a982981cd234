/**
 * The exporters that a Configuration asks for, each behind its own queue. Loaded only when there is one: a sidecar
 * without tracing pays nothing for it.
 */

import { readFile } from 'node:fs/promises';
import type { Clock } from '../contracts/clock.ts';
import type { Logger } from '../contracts/logger.ts';
import type { Metrics } from '../contracts/metrics.ts';
import type { ConfigurationResource } from '../contracts/resource.ts';
import type { FinishedSpan } from '../contracts/trace.ts';
import type { HttpTarget } from './http-post.ts';
import { createOtlpGrpcSink } from './otlp-grpc-sink.ts';
import { createOtlpHttpSink } from './otlp-http-sink.ts';
import { limitedSpan, spanLimits } from './span-limits.ts';
import { type QueueLimits, SpanQueue, type SpanSink } from './span-queue.ts';
import { createStdoutSink } from './stdout-sink.ts';
import { type TraceResource, traceResource } from './trace-resource.ts';
import { createZipkinSink } from './zipkin-sink.ts';

type Tracing = ConfigurationResource['tracing'];
type Env = Readonly<Record<string, string | undefined>>;

export interface ExporterOptions {
  readonly tracing: Tracing;
  readonly appId: string;
  readonly env: Env;
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: Pick<Metrics, 'count'>;
}

export interface Exporters {
  readonly add: (span: FinishedSpan) => void;
  /** True, and the span counted as dropped, when no queue has room for it. */
  readonly refused: () => boolean;
  /** Sends what waits, within `limitMs`. */
  close(limitMs: number): Promise<void>;
}

/** After this long a batch is given up, attempts and waits between them together. */
const EXPORT_LIMIT_MS = 60_000;
const OTLP_GRPC_PORT = 4317;
const OTLP_HTTP_PORT = 4318;

/** Opens them; rejects when an address or a certificate is of no use. Collectors need not be up. */
export async function createExporters(options: ExporterOptions): Promise<Exporters> {
  const { tracing, env, clock } = options;
  const resource = traceResource(options.appId, env);
  const sinks: SpanSink[] = [];
  if (tracing.stdout) sinks.push(createStdoutSink(options.log.child('dapr.runtime.trace')));
  if (tracing.zipkinEndpoint !== '') {
    sinks.push(createZipkinSink({ target: zipkinTarget(tracing.zipkinEndpoint), resource, clock }));
  }
  if (tracing.otel.endpointAddress !== '' && tracing.otel.protocol !== '')
    sinks.push(await otlpSink(tracing.otel, resource, clock));
  const limits = queueLimits(env);
  const perSpan = spanLimits(env);
  const queues = sinks.map(
    (sink) => new SpanQueue({ sink, limits, clock, log: options.log, metrics: options.metrics }),
  );
  return {
    add: (span) => {
      const limited = limitedSpan(span, perSpan);
      for (const queue of queues) queue.add(limited);
    },
    refused: () => {
      if (!queues.every((queue) => queue.full)) return false;
      for (const queue of queues) queue.refuse();
      return true;
    },
    close: async (limitMs) => {
      await Promise.all(queues.map((queue) => queue.close(limitMs)));
    },
  };
}

async function otlpSink(otel: Tracing['otel'], resource: TraceResource, clock: Clock): Promise<SpanSink> {
  const { host, port, path } = splitEndpoint(otel.endpointAddress, otel.protocol);
  const { headers, timeoutMs } = otel;
  const common = { headers, timeoutMs, resource, clock, gzip: otel.gzip === true };
  const pems = otel.isSecure ? await certificates(otel) : undefined;
  if (otel.protocol === 'grpc') {
    const target = `${host.includes(':') ? `[${host}]` : host}:${port}`;
    return createOtlpGrpcSink({ ...common, target, ...(pems === undefined ? {} : { tls: pems }) });
  }
  const target: HttpTarget = {
    host,
    port,
    path: otel.path ?? (path === '' ? '/v1/traces' : path),
    ...(pems === undefined ? {} : { tls: { verify: true, ...pems } }),
  };
  return createOtlpHttpSink({ ...common, target });
}

/** `host[:port][/path]`, with or without a scheme. */
function splitEndpoint(
  endpoint: string,
  protocol: string,
): { readonly host: string; readonly port: number; readonly path: string } {
  const plain = endpoint.replace(/^[a-z][a-z0-9+.-]*:\/\//i, '');
  // A scheme without a port of its own keeps every port that is written.
  const text = `otlp://${plain}`;
  if (plain === '' || !URL.canParse(text))
    throw new Error(`spec.tracing.otel.endpointAddress: expected host:port, got ${JSON.stringify(endpoint)}`);
  const url = new URL(text);
  const standard = protocol === 'grpc' ? OTLP_GRPC_PORT : OTLP_HTTP_PORT;
  return {
    host: url.hostname.replace(/^\[(.*)\]$/, '$1'),
    port: url.port === '' ? standard : Number(url.port),
    path: url.pathname === '/' ? '' : url.pathname,
  };
}

function zipkinTarget(endpoint: string): HttpTarget {
  const url = URL.canParse(endpoint) ? new URL(endpoint) : undefined;
  if (url === undefined || (url.protocol !== 'http:' && url.protocol !== 'https:')) {
    throw new Error(
      `spec.tracing.zipkin.endpointAddress: expected an http or https URL, got ${JSON.stringify(endpoint)}`,
    );
  }
  const secure = url.protocol === 'https:';
  return {
    host: url.hostname.replace(/^\[(.*)\]$/, '$1'),
    port: url.port === '' ? (secure ? 443 : 80) : Number(url.port),
    path: `${url.pathname}${url.search}`,
    ...(secure ? { tls: { verify: true } } : {}),
  };
}

async function certificates(otel: Tracing['otel']): Promise<{ ca?: string; cert?: string; key?: string }> {
  const pems: { ca?: string; cert?: string; key?: string } = {};
  if (otel.caFile !== undefined) pems.ca = await readPem(otel.caFile);
  if (otel.certFile !== undefined) pems.cert = await readPem(otel.certFile);
  if (otel.keyFile !== undefined) pems.key = await readPem(otel.keyFile);
  return pems;
}

async function readPem(file: string): Promise<string> {
  return readFile(file, 'utf8').catch((error: Error) => {
    throw new Error(`the certificate of the OTLP exporter cannot be read: ${error.message}`);
  });
}

/** The OTEL_BSP_* variables, with the limits of the OpenTelemetry specification as defaults. */
function queueLimits(env: Env): QueueLimits {
  const positive = (name: string, fallback: number): number => {
    const value = Number(env[name]?.trim() || Number.NaN);
    return Number.isInteger(value) && value > 0 ? value : fallback;
  };
  const maxSpans = positive('OTEL_BSP_MAX_QUEUE_SIZE', 2048);
  const batchSpans = positive('OTEL_BSP_MAX_EXPORT_BATCH_SIZE', 512);
  return {
    maxSpans,
    batchSpans: batchSpans > maxSpans ? Math.min(512, maxSpans) : batchSpans,
    delayMs: positive('OTEL_BSP_SCHEDULE_DELAY', 5000),
    exportMs: positive('OTEL_BSP_EXPORT_TIMEOUT', EXPORT_LIMIT_MS),
  };
}
