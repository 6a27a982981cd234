/** `ExportTraceServiceRequest` of OTLP 1.x (opentelemetry-proto, trace/v1/trace.proto), as bytes. */

import type { FinishedSpan, SpanKind } from '../contracts/trace.ts';
import { ProtobufWriter } from './protobuf-writer.ts';
import type { TraceResource } from './trace-resource.ts';

/** Instrumentation scope of every span, as Dapr names it. */
export const SCOPE = 'dapr-diagnostics';
const SCHEMA = 'https://opentelemetry.io/schemas/1.25.0';
const KINDS: Readonly<Record<SpanKind, number>> = { server: 2, client: 3, producer: 4 };
const STATUS_ERROR = 2;
/** The parent's origin is known (0x100), and it is another process (0x200). */
const REMOTE_PARENT = 0x300;

function nanos(ms: number): bigint {
  const whole = Math.floor(ms);
  return BigInt(whole) * 1_000_000n + BigInt(Math.round((ms - whole) * 1e6));
}

function writeAttribute(
  out: ProtobufWriter,
  field: number,
  key: string,
  value: string | number | boolean,
): void {
  out.message(field, () => {
    out.message(2, () => {
      if (typeof value === 'string') out.string(1, value);
      else if (typeof value === 'boolean') out.integer(2, value ? 1 : 0);
      else if (Number.isSafeInteger(value) && value >= 0) out.integer(3, value);
      else out.double(4, value);
    });
    out.string(1, key);
  });
}

function writeSpan(out: ProtobufWriter, span: FinishedSpan): void {
  out.fixed32(16, REMOTE_PARENT | span.flags);
  const { error } = span;
  if (error !== undefined) {
    out.message(15, () => {
      out.integer(3, STATUS_ERROR);
      if (error !== '') out.string(2, error);
    });
  }
  if (span.droppedAttributes !== undefined) out.integer(10, span.droppedAttributes);
  for (const key in span.attributes)
    writeAttribute(out, 9, key, span.attributes[key] as string | number | boolean);
  out.fixed64(8, nanos(span.endMs));
  out.fixed64(7, nanos(span.startMs));
  out.integer(6, KINDS[span.kind]);
  out.string(5, span.name);
  if (span.parentSpanId !== '') out.hex(4, span.parentSpanId);
  if (span.traceState !== '') out.string(3, span.traceState);
  out.hex(2, span.spanId);
  out.hex(1, span.traceId);
}

/** Encodes a batch. */
export function encodeOtlp(spans: readonly FinishedSpan[], resource: TraceResource): Uint8Array {
  const out = new ProtobufWriter();
  out.message(1, () => {
    out.string(3, SCHEMA);
    out.message(2, () => {
      for (let i = spans.length - 1; i >= 0; i -= 1)
        out.message(2, () => writeSpan(out, spans[i] as FinishedSpan));
      out.message(1, () => out.string(1, SCOPE));
    });
    out.message(1, () => {
      for (const key in resource) writeAttribute(out, 1, key, resource[key] as string);
    });
  });
  return out.finish();
}
