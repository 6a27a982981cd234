/** Spans as lines of the log, in Dapr's words (`spec.tracing.stdout`). */

import type { Logger } from '../contracts/logger.ts';
import type { SpanSink } from './span-queue.ts';

const NO_PARENT = '0'.repeat(16);

/** The way Go prints a time. */
function goTime(ms: number): string {
  const micros = Math.round((ms - Math.floor(ms)) * 1000) * 1000;
  const instant = Temporal.Instant.fromEpochMilliseconds(Math.floor(ms)).add({ nanoseconds: micros });
  return `${instant.toString({ smallestUnit: 'microsecond' }).replace('T', ' ').slice(0, -1)} +0000 UTC`;
}

export function createStdoutSink(log: Logger): SpanSink {
  return {
    target: 'the log',
    timeoutMs: 1000,
    send: async (spans) => {
      for (const { name, traceId, parentSpanId, spanId, startMs, endMs } of spans) {
        log.info(
          `[${name}] Trace: ${traceId} Span: ${parentSpanId || NO_PARENT}/${spanId} Time: [${goTime(startMs)} ->  ${goTime(endMs)}] Annotations: []`,
        );
      }
    },
    close: async () => {},
  };
}
