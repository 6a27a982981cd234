/** A gRPC status as JSON, for HTTP callers of gRPC apps (Dapr HTTP reference, section 10.6). */

import type { InvokeResponse } from '../../contracts/app-channel.ts';
import { goJson, jsonText } from '../../contracts/go-json.ts';

/** `code`, `message` and `details` of the status; details are shown by type with their bytes in base64. */
export function grpcStatusJson(answer: InvokeResponse): string {
  const details = (answer.statusDetails ?? [])
    .map(decodeAny)
    .map(({ type, value }) => goJson({ '@type': type, value: Buffer.from(value).toString('base64') }));
  return (
    `{"code":${answer.status}` +
    (answer.message === undefined || answer.message === '' ? '' : `,"message":${jsonText(answer.message)}`) +
    (details.length === 0 ? '' : `,"details":[${details.join(',')}]`) +
    '}'
  );
}

/** The two fields of `google.protobuf.Any`: type URL (1) and value (2), both length-delimited. */
function decodeAny(bytes: Uint8Array): { readonly type: string; readonly value: Uint8Array } {
  let type = '';
  let value: Uint8Array = new Uint8Array(0);
  let at = 0;
  while (at < bytes.byteLength) {
    const tag = bytes[at] ?? 0;
    const length = varint(bytes, at + 1);
    if ((tag & 7) !== 2 || length === undefined) break;
    const end = length.next + length.value;
    const field = bytes.subarray(length.next, end);
    if (tag >> 3 === 1) type = Buffer.from(field).toString('utf8');
    else if (tag >> 3 === 2) value = field;
    at = end;
  }
  return { type, value };
}

function varint(
  bytes: Uint8Array,
  start: number,
): { readonly value: number; readonly next: number } | undefined {
  let value = 0;
  for (let i = 0; i < 5; i += 1) {
    const byte = bytes[start + i];
    if (byte === undefined) return undefined;
    value += (byte & 127) * 2 ** (7 * i);
    if (byte < 128) return { value, next: start + i + 1 };
  }
  return undefined;
}
