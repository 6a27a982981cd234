/**
 * Tells whether bytes are a CloudEvent in its protobuf format (`io.cloudevents.v1.CloudEvent`): only then does
 * `application/x-protobuf` count as binary when publishing (HTTP reference, 7.3). No library is needed to look.
 */

/** id, source, spec_version, type: the attributes every event has. */
const REQUIRED_FIELDS = [1, 2, 3, 4];
const LAST_FIELD = 8;
const LENGTH_DELIMITED = 2;

/** Whether `bytes` are well formed, use only known fields, and have all required ones. */
export function isProtobufCloudEvent(bytes: Uint8Array): boolean {
  const seen = new Set<number>();
  let at = 0;
  while (at < bytes.length) {
    const tag = varint(bytes, at);
    if (tag === undefined) return false;
    const field = tag.value >>> 3;
    // Every field of the message, map entries and the data union included, is length-delimited.
    if ((tag.value & 7) !== LENGTH_DELIMITED || field < 1 || field > LAST_FIELD) return false;
    const length = varint(bytes, tag.next);
    if (length === undefined || length.next + length.value > bytes.length) return false;
    if (length.value > 0) seen.add(field);
    at = length.next + length.value;
  }
  return REQUIRED_FIELDS.every((field) => seen.has(field));
}

function varint(bytes: Uint8Array, from: number): { value: number; next: number } | undefined {
  let value = 0;
  for (let i = 0; i < 5; i += 1) {
    const byte = bytes[from + i];
    if (byte === undefined) return undefined;
    value += (byte & 0x7f) * 2 ** (7 * i);
    if (byte < 0x80) return { value, next: from + i + 1 };
  }
  return undefined;
}
