/** OTLP over gRPC: one unary call for each batch. */

import type { ConnectionOptions } from 'node:tls';
import type { Clock } from '../contracts/clock.ts';
import { GrpcCode } from '../contracts/grpc-code.ts';
import { GrpcStatusError } from '../contracts/grpc-wire/status.ts';
import { createGrpcClient } from '../grpc-client/client.ts';
import { gzipped } from './gzipped.ts';
import { encodeOtlp } from './otlp-message.ts';
import { ExportError, type SpanSink } from './span-queue.ts';
import type { TraceResource } from './trace-resource.ts';

const EXPORT = '/opentelemetry.proto.collector.trace.v1.TraceService/Export';
/** OTLP specification, "Failures": what may be sent again. */
const RETRYABLE: ReadonlySet<number> = new Set([
  GrpcCode.Canceled,
  GrpcCode.DeadlineExceeded,
  GrpcCode.Aborted,
  GrpcCode.OutOfRange,
  GrpcCode.Unavailable,
  GrpcCode.DataLoss,
]);

export interface OtlpGrpcOptions {
  /** `host:port`. */
  readonly target: string;
  /** Absent: plaintext. */
  readonly tls?: ConnectionOptions;
  readonly headers: Readonly<Record<string, string>>;
  readonly gzip: boolean;
  readonly timeoutMs: number;
  readonly resource: TraceResource;
  readonly clock: Clock;
}

export function createOtlpGrpcSink(options: OtlpGrpcOptions): SpanSink {
  const { target, tls, gzip, timeoutMs } = options;
  const client = createGrpcClient({
    target,
    clock: options.clock,
    ...(tls === undefined ? {} : { tls }),
    limits: { connectTimeoutMs: timeoutMs },
  });
  const metadata = Object.entries(options.headers).map(
    ([name, value]) => [name.toLowerCase(), value] as const,
  );
  return {
    target: `the OTLP collector at ${target}`,
    timeoutMs,
    send: async (spans, signal) => {
      try {
        const batch = encodeOtlp(spans, options.resource);
        const message = gzip ? await gzipped(batch) : batch;
        await client.unary(EXPORT, message, { metadata, signal, timeoutMs, gzipped: gzip });
      } catch (error) {
        if (!(error instanceof GrpcStatusError)) throw error;
        throw new ExportError(error.message, RETRYABLE.has(error.code));
      }
    },
    close: () => client.close(),
  };
}
