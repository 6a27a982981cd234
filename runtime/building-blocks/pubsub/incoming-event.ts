/**
 * Turns what a broker delivered into the event an app gets (HTTP reference, 8.3; gRPC reference, 3.1). The envelope is
 * for routing, expiry, tracing and gRPC apps; `data` are the exact bytes for HTTP apps.
 */

import {
  type CloudEvent,
  DEFAULT_EVENT_SOURCE,
  DEFAULT_EVENT_TYPE,
  mediaType,
} from '../../contracts/cloud-event.ts';
import type { IncomingMessage } from '../../contracts/pubsub.ts';

export interface IncomingEvent {
  readonly envelope: CloudEvent;
  readonly data: Uint8Array;
}

export interface DecodeOptions {
  readonly pubsubName: string;
  /** The subscription wants bytes without an envelope. */
  readonly raw: boolean;
  readonly newId: () => string;
  /** Decodes `application/cbor` payloads of devices; absent: they are refused like any other non-JSON payload. */
  readonly decodeCbor?: (bytes: Uint8Array) => unknown;
}

const TRACE_FIELDS = ['traceid', 'traceparent', 'tracestate'] as const;
const BINARY_PREFIX = 'ce_';
const CONTENT_TYPE_ITEM = 'content-type';

/** Decodes one message of `topic` (name as apps know it); throws when it is no event. */
export function decodeIncoming(
  message: IncomingMessage,
  topic: string,
  options: DecodeOptions,
): IncomingEvent {
  if (options.raw) return wrapRaw(message, topic, options);
  const contentType = message.contentType ?? message.metadata[CONTENT_TYPE_ITEM];
  switch (mediaType(contentType)) {
    case 'application/octet-stream':
      return { envelope: binaryMode(message, contentType ?? ''), data: message.data };
    case 'application/cbor':
      if (options.decodeCbor !== undefined) return fromCbor(options.decodeCbor(message.data), topic, options);
      break;
    default:
  }
  const envelope = jsonObject(message.data);
  addMissingTrace(envelope, message.metadata);
  return { envelope, data: message.data };
}

function jsonObject(bytes: Uint8Array): Record<string, unknown> {
  const parsed: unknown = JSON.parse(
    Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8'),
  );
  if (isObject(parsed)) return parsed;
  throw new Error('the message is not a JSON object');
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Trace fields of message metadata stand in for missing ones of the envelope; the bytes sent stay as they are. */
function addMissingTrace(
  envelope: Record<string, unknown>,
  metadata: Readonly<Record<string, string>>,
): void {
  const had = envelope['traceparent'] !== undefined;
  for (const field of TRACE_FIELDS) {
    if (envelope[field] === undefined && metadata[field] !== undefined) envelope[field] = metadata[field];
  }
  // traceparent supersedes traceid
  if (!had && metadata['traceparent'] !== undefined) envelope['traceid'] = metadata['traceparent'];
}

function freshEnvelope(topic: string, contentType: string, options: DecodeOptions): Record<string, unknown> {
  return {
    datacontenttype: contentType,
    id: options.newId(),
    pubsubname: options.pubsubName,
    source: DEFAULT_EVENT_SOURCE,
    specversion: '1.0',
    topic,
    type: DEFAULT_EVENT_TYPE,
  };
}

function wrapRaw(message: IncomingMessage, topic: string, options: DecodeOptions): IncomingEvent {
  const { data } = message;
  const envelope = freshEnvelope(topic, 'application/octet-stream', options);
  envelope['data_base64'] = Buffer.from(data.buffer, data.byteOffset, data.byteLength).toString('base64');
  addMissingTrace(envelope, message.metadata);
  return { envelope, data: Buffer.from(JSON.stringify(envelope)) };
}

/** Binary-mode CloudEvent: attributes in `ce_*` metadata, the payload is the data. */
function binaryMode(message: IncomingMessage, contentType: string): CloudEvent {
  const envelope: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(message.metadata)) {
    const lower = name.toLowerCase();
    if (lower.startsWith(BINARY_PREFIX)) envelope[lower.slice(BINARY_PREFIX.length)] = value;
  }
  const { data } = message;
  envelope['data_base64'] = Buffer.from(data.buffer, data.byteOffset, data.byteLength).toString('base64');
  envelope['datacontenttype'] = contentType;
  return envelope;
}

/** A CBOR payload reaches the app as JSON data; a CBOR map that is a CloudEvent is the event itself. */
function fromCbor(value: unknown, topic: string, options: DecodeOptions): IncomingEvent {
  const json = JSON.stringify(value, jsonReady) ?? 'null';
  const plain: unknown = JSON.parse(json);
  if (isObject(plain) && typeof plain['specversion'] === 'string' && plain['type'] !== undefined) {
    return { envelope: plain, data: Buffer.from(json) };
  }
  const envelope = freshEnvelope(topic, 'application/json', options);
  const head = JSON.stringify(envelope);
  return { envelope: { ...envelope, data: plain }, data: Buffer.from(`{"data":${json},${head.slice(1)}`) };
}

/** Not in TypeScript's library yet (ECMAScript "JSON.parse source text access"). */
const { rawJSON } = JSON as unknown as { rawJSON: (text: string) => unknown };

/** CBOR knows values that JSON lacks: big integers keep their digits, bytes become base64, maps become objects. */
function jsonReady(this: unknown, key: string, value: unknown): unknown {
  if (typeof value === 'bigint') return rawJSON(String(value));
  // `value` has been through toJSON already, which for a Buffer is not what is wanted.
  const original = (this as Record<string, unknown>)[key];
  if (original instanceof Uint8Array) return Buffer.from(original).toString('base64');
  if (value instanceof Map) return Object.fromEntries([...value].map(([name, item]) => [String(name), item]));
  return value instanceof Set ? [...value] : value;
}
