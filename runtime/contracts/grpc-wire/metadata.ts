/**
 * gRPC metadata: HTTP/2 header fields without the reserved ones. Kept as the header list that arrived (lower-case
 * names, repeated values in order); values of `-bin` names stay base64 text until somebody asks for bytes, so that a
 * proxy passes them on untouched.
 */

import type { HeaderList } from '../app-channel.ts';

/** Fields that belong to the transport, not to the caller. `grpc-trace-bin` and `grpc-tags-bin` are the caller's. */
const RESERVED = new Set([
  'content-type',
  'te',
  'grpc-timeout',
  'grpc-encoding',
  'grpc-accept-encoding',
  'grpc-status',
  'grpc-message',
  'grpc-status-details-bin',
  'grpc-message-type',
  'connection',
  'keep-alive',
  'transfer-encoding',
  'upgrade',
  'host',
  'http2-settings',
  'proxy-connection',
  'date',
  'content-length',
]);

export function isReservedField(name: string): boolean {
  return name.startsWith(':') || RESERVED.has(name);
}

/** Metadata of a received header block, given as a flat list of names and values. */
export function metadataFromRawHeaders(raw: readonly string[]): HeaderList {
  const list: (readonly [string, string])[] = [];
  for (let at = 0; at + 1 < raw.length; at += 2) {
    const name = (raw[at] as string).toLowerCase();
    if (!isReservedField(name)) list.push([name, raw[at + 1] as string]);
  }
  return list;
}

/** Fields that a server does not show to handlers; unlike `RESERVED`, content type and authority are shown, as in Go. */
const HIDDEN_IN_REQUESTS = new Set([
  ':method',
  ':scheme',
  ':path',
  'te',
  'grpc-timeout',
  'grpc-encoding',
  'grpc-status',
  'grpc-message',
  'grpc-message-type',
  'content-length',
]);

/** Metadata of a request: with `:authority`, `content-type` and `user-agent`, which sending leaves out again. */
export function metadataFromRequest(raw: readonly string[]): HeaderList {
  const list: (readonly [string, string])[] = [];
  for (let at = 0; at + 1 < raw.length; at += 2) {
    const name = (raw[at] as string).toLowerCase();
    if (!HIDDEN_IN_REQUESTS.has(name)) list.push([name, raw[at + 1] as string]);
  }
  return list;
}

const BAD_NAME = /[^a-z0-9_.-]/;
// Printable ASCII and space, the only characters of a text value.
const BAD_VALUE = /[^\x20-\x7e]/;

/**
 * Adds metadata to the header fields that will be sent. What HTTP/2 could not carry is left out: reserved fields, names
 * with other characters than `[a-z0-9_.-]`; characters outside printable ASCII in a text value become `?`.
 */
export function addMetadata(target: Record<string, string | string[]>, metadata: HeaderList): void {
  for (const [given, value] of metadata) {
    const name = given.toLowerCase();
    if (name === '' || isReservedField(name) || BAD_NAME.test(name)) continue;
    const text = BAD_VALUE.test(value) ? value.replace(/[^\x20-\x7e]/gu, '?') : value;
    const earlier = Object.hasOwn(target, name) ? target[name] : undefined;
    // HTTP/2 headers are told to Node as an object, in which this one is no member.
    if (name === '__proto__') continue;
    if (earlier === undefined) target[name] = text;
    else if (Array.isArray(earlier)) earlier.push(text);
    else target[name] = [earlier, text];
  }
}

/** First value of a name, without regard to case. */
export function metadataValue(metadata: HeaderList, name: string): string | undefined {
  for (const [key, value] of metadata) if (key === name) return value;
  const wanted = name.toLowerCase();
  for (const [key, value] of metadata) if (key.toLowerCase() === wanted) return value;
  return undefined;
}

/** All values of a name. */
export function metadataValues(metadata: HeaderList, name: string): readonly string[] {
  const wanted = name.toLowerCase();
  return metadata.filter(([key]) => key.toLowerCase() === wanted).map(([, value]) => value);
}

export function isBinaryName(name: string): boolean {
  return name.endsWith('-bin');
}

/** Bytes of a `-bin` value; padding and the URL alphabet are tolerated. */
export function decodeBinaryValue(value: string): Uint8Array {
  return Uint8Array.from(Buffer.from(value, 'base64'));
}

/** Text of a `-bin` value: base64 without padding. */
export function encodeBinaryValue(bytes: Uint8Array): string {
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('base64');
  return text.endsWith('==') ? text.slice(0, -2) : text.endsWith('=') ? text.slice(0, -1) : text;
}
