/** Reads OTLP trace requests (`opentelemetry/proto/trace/v1`) independently of the code that writes them. */

export interface DecodedSpan {
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId: string;
  readonly traceState: string;
  readonly name: string;
  readonly kind: number;
  readonly startNanos: bigint;
  readonly endNanos: bigint;
  readonly attributes: Readonly<Record<string, unknown>>;
  readonly statusCode: number;
  readonly statusMessage: string;
  readonly scope: string;
  readonly resource: Readonly<Record<string, unknown>>;
  readonly flags: number;
  readonly droppedAttributes: number;
}

type Value = bigint | Buffer;

/** Fields of one message in order: number and value (varints and fixed numbers as bigint). */
function fields(bytes: Buffer): readonly (readonly [number, Value])[] {
  const found: [number, Value][] = [];
  let at = 0;
  const varint = (): bigint => {
    let value = 0n;
    for (let shift = 0n; ; shift += 7n) {
      const byte = bytes[at++];
      if (byte === undefined) throw new Error('message cut short');
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
  };
  while (at < bytes.length) {
    const key = Number(varint());
    switch (key & 7) {
      case 0:
        found.push([key >> 3, varint()]);
        break;
      case 1:
        found.push([key >> 3, bytes.readBigUInt64LE(at)]);
        at += 8;
        break;
      case 2: {
        const length = Number(varint());
        if (at + length > bytes.length) throw new Error('field cut short');
        found.push([key >> 3, bytes.subarray(at, at + length)]);
        at += length;
        break;
      }
      case 5:
        found.push([key >> 3, BigInt(bytes.readUInt32LE(at))]);
        at += 4;
        break;
      default:
        throw new Error(`wire type ${key & 7}`);
    }
  }
  return found;
}

const all = (message: Buffer, number: number): readonly Buffer[] =>
  fields(message)
    .filter(([field]) => field === number)
    .map(([, value]) => value as Buffer);
const bytesOf = (message: Buffer, number: number): Buffer => all(message, number).at(-1) ?? Buffer.alloc(0);
const numberOf = (message: Buffer, number: number): bigint =>
  (fields(message).findLast(([field]) => field === number)?.[1] as bigint | undefined) ?? 0n;

function anyValue(message: Buffer): unknown {
  const [field, value] = fields(message)[0] ?? [0, 0n];
  if (field === 1) return (value as Buffer).toString();
  if (field === 2) return value === 1n;
  if (field === 3) return Number(value);
  if (field === 4) {
    const double = Buffer.alloc(8);
    double.writeBigUInt64LE(value as bigint);
    return double.readDoubleLE();
  }
  return undefined;
}

function keyValues(message: Buffer, number: number): Record<string, unknown> {
  return Object.fromEntries(
    all(message, number).map((pair) => [bytesOf(pair, 1).toString(), anyValue(bytesOf(pair, 2))]),
  );
}

/** The spans of an `ExportTraceServiceRequest`. */
export function decodeOtlp(request: Uint8Array): readonly DecodedSpan[] {
  return all(Buffer.from(request), 1).flatMap((resourceSpans) => {
    const resource = keyValues(bytesOf(resourceSpans, 1), 1);
    return all(resourceSpans, 2).flatMap((scopeSpans) => {
      const scope = bytesOf(bytesOf(scopeSpans, 1), 1).toString();
      return all(scopeSpans, 2).map((span): DecodedSpan => {
        const status = bytesOf(span, 15);
        return {
          traceId: bytesOf(span, 1).toString('hex'),
          spanId: bytesOf(span, 2).toString('hex'),
          traceState: bytesOf(span, 3).toString(),
          parentSpanId: bytesOf(span, 4).toString('hex'),
          name: bytesOf(span, 5).toString(),
          kind: Number(numberOf(span, 6)),
          startNanos: numberOf(span, 7),
          endNanos: numberOf(span, 8),
          attributes: keyValues(span, 9),
          statusCode: Number(numberOf(status, 3)),
          statusMessage: bytesOf(status, 2).toString(),
          scope,
          resource,
          flags: Number(numberOf(span, 16)),
          droppedAttributes: Number(numberOf(span, 10)),
        };
      });
    });
  });
}
