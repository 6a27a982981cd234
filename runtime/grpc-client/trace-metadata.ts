/**
 * Trace context in gRPC metadata (gRPC reference, section 1.4): `grpc-trace-bin` in OpenCensus' binary form, or the
 * `traceparent`, `tracestate` and `baggage` texts of W3C.
 */

import type { HeaderList } from '../contracts/app-channel.ts';
import {
  decodeBinaryValue,
  encodeBinaryValue,
  metadataValue,
  metadataValues,
} from '../contracts/grpc-wire/metadata.ts';
import type { TraceContext } from '../contracts/trace.ts';

export const TRACE_BIN_NAME = 'grpc-trace-bin';
const TRACE_NAMES = new Set([TRACE_BIN_NAME, 'traceparent', 'tracestate', 'baggage']);
const NO_TRACE: TraceContext = {};

/** Trace of an incoming call; the binary form wins over the texts. */
export function traceOfMetadata(metadata: HeaderList): TraceContext {
  if (!metadata.some(([name]) => TRACE_NAMES.has(name))) return NO_TRACE;
  const binary = metadataValue(metadata, TRACE_BIN_NAME);
  const traceparent =
    (binary === undefined ? undefined : traceparentOfBinary(decodeBinaryValue(binary))) ??
    metadataValue(metadata, 'traceparent');
  const tracestate = metadataValue(metadata, 'tracestate');
  const baggage = metadataValues(metadata, 'baggage').join(',');
  return {
    ...(traceparent === undefined ? {} : { traceparent }),
    ...(tracestate === undefined ? {} : { tracestate }),
    ...(baggage === '' ? {} : { baggage }),
  };
}

/** What an outgoing gRPC call carries. */
export function metadataOfTrace(trace: TraceContext): HeaderList {
  const list: (readonly [string, string])[] = [];
  const binary = binaryOfTraceparent(trace.traceparent);
  if (binary !== undefined) list.push([TRACE_BIN_NAME, encodeBinaryValue(binary)]);
  if (trace.traceparent !== undefined) list.push(['traceparent', trace.traceparent]);
  if (trace.tracestate !== undefined && trace.tracestate !== '') list.push(['tracestate', trace.tracestate]);
  if (trace.baggage !== undefined && trace.baggage !== '') list.push(['baggage', trace.baggage]);
  return list;
}

const BINARY_BYTES = 29;
const TRACEPARENT = /^[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})/;

/** Version 0, field 0 trace id, field 1 span id, field 2 options. */
export function binaryOfTraceparent(traceparent: string | undefined): Uint8Array | undefined {
  const match = traceparent === undefined ? null : TRACEPARENT.exec(traceparent);
  if (match === null) return undefined;
  const bytes = Buffer.alloc(BINARY_BYTES);
  bytes.write(match[1] as string, 2, 'hex');
  bytes[18] = 1;
  bytes.write(match[2] as string, 19, 'hex');
  bytes[27] = 2;
  bytes[28] = Number.parseInt(match[3] as string, 16);
  return bytes;
}

/** The reverse; `undefined` for anything that is not the 29 bytes of version 0. */
export function traceparentOfBinary(bytes: Uint8Array): string | undefined {
  if (
    bytes.byteLength < BINARY_BYTES ||
    bytes[0] !== 0 ||
    bytes[1] !== 0 ||
    bytes[18] !== 1 ||
    bytes[27] !== 2
  )
    return undefined;
  const text = Buffer.from(bytes).toString('hex');
  return `00-${text.slice(4, 36)}-${text.slice(38, 54)}-${text.slice(56, 58)}`;
}
