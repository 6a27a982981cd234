/**
 * Makes the CloudEvents envelope of a published message (HTTP reference, 7.3 to 7.5) as a JSON text. JSON data and the
 * members of an event supplied by the caller are put in as they were written, so nothing loses precision. Members are in
 * alphabetical order, which is the order Dapr writes them in.
 */

import {
  CLOUD_EVENTS_JSON,
  DEFAULT_EVENT_SOURCE,
  DEFAULT_EVENT_TYPE,
  mediaType,
} from '../../contracts/cloud-event.ts';
import { parseGoJson } from '../../contracts/go-json-fault.ts';
import { joinMembers, jsonMembers } from './json-members.ts';
import { isProtobufCloudEvent } from './protobuf-cloud-event.ts';

export interface EnvelopeRequest {
  readonly pubsubName: string;
  readonly topic: string;
  readonly data: Uint8Array;
  /** As sent; empty: `text/plain`. */
  readonly contentType: string;
  /** Request metadata; `cloudevent.*` entries override attributes of an envelope made here. */
  readonly metadata: Readonly<Record<string, string>>;
  /** Id of the publishing app. */
  readonly source: string;
  /** Empty without a valid span. */
  readonly traceparent: string;
  readonly tracestate: string;
  /** RFC 3339. */
  readonly time: string;
  /** `expiration`, when the runtime looks after the time to live. */
  readonly expiration: string | undefined;
  readonly newId: () => string;
}

/** The caller declared an event, but the body is no JSON object. */
export class NotACloudEventError extends Error {
  override readonly name = 'NotACloudEventError';
}

const DEFAULT_DATA_CONTENT_TYPE = 'text/plain';
const SPEC_VERSION = '1.0';

/** Text of the envelope for a message; rejects a declared event that is no JSON object. */
export function envelopeText(request: EnvelopeRequest): string {
  return mediaType(request.contentType) === CLOUD_EVENTS_JSON ? suppliedEvent(request) : wrappedText(request);
}

interface Overrides {
  id?: string;
  source?: string;
  type?: string;
  subject?: string;
  traceid?: string;
  traceparent?: string;
  tracestate?: string;
}

const OVERRIDABLE: ReadonlySet<string> = new Set<keyof Overrides>([
  'id',
  'source',
  'type',
  'subject',
  'traceid',
  'traceparent',
  'tracestate',
]);
const OVERRIDE_PREFIX = 'cloudevent.';

function overridesOf(metadata: Readonly<Record<string, string>>): Overrides {
  const overrides: Overrides = {};
  for (const name in metadata) {
    const lower = name.toLowerCase();
    if (!lower.startsWith(OVERRIDE_PREFIX)) continue;
    const attribute = lower.slice(OVERRIDE_PREFIX.length);
    if (OVERRIDABLE.has(attribute)) overrides[attribute as keyof Overrides] = metadata[name] ?? '';
  }
  return overrides;
}

/** Text of an envelope made around the data, whatever its content type. */
export function wrappedText(request: EnvelopeRequest): string {
  const own = overridesOf(request.metadata);
  const trace = JSON.stringify(own.traceparent || (own.traceid ?? request.traceparent));
  const contentType = request.contentType || DEFAULT_DATA_CONTENT_TYPE;
  const text = (value: string): string => JSON.stringify(value);
  return (
    `{${dataMember(request.data, contentType)},"datacontenttype":${text(contentType)}` +
    (request.expiration === undefined ? '' : `,"expiration":"${request.expiration}"`) +
    `,"id":${text(own.id || request.newId())},"pubsubname":${text(request.pubsubName)}` +
    `,"source":${text((own.source ?? request.source) || DEFAULT_EVENT_SOURCE)},"specversion":"${SPEC_VERSION}"` +
    (own.subject ? `,"subject":${text(own.subject)}` : '') +
    `,"time":"${request.time}","topic":${text(request.topic)},"traceid":${trace},"traceparent":${trace}` +
    `,"tracestate":${text(own.tracestate ?? request.tracestate)},"type":${text(own.type || DEFAULT_EVENT_TYPE)}}`
  );
}

/** `"data":...` or `"data_base64":...`, by content type. */
function dataMember(data: Uint8Array, contentType: string): string {
  switch (mediaType(contentType)) {
    case 'application/json': {
      const text = utf8(data);
      return `"data":${isJson(text) ? text : JSON.stringify(text)}`;
    }
    case 'application/octet-stream':
    case 'application/cloudevents+protobuf':
      return `"data_base64":"${base64(data)}"`;
    case 'application/x-protobuf':
      if (isProtobufCloudEvent(data)) return `"data_base64":"${base64(data)}"`;
      break;
    default:
  }
  return `"data":${JSON.stringify(utf8(data))}`;
}

function suppliedEvent(request: EnvelopeRequest): string {
  const text = utf8(request.data);
  if (text.trim() === '') throw new NotACloudEventError('EOF');
  let parsed: unknown;
  try {
    parsed = parseGoJson(text, 'unexpected EOF');
  } catch (error) {
    throw new NotACloudEventError(error instanceof Error ? error.message : 'invalid JSON', { cause: error });
  }
  if (typeof parsed !== 'object' || parsed === null || Array.isArray(parsed)) {
    const kind = Array.isArray(parsed) ? 'array' : typeof parsed === 'boolean' ? 'bool' : typeof parsed;
    throw new NotACloudEventError(
      parsed === null
        ? 'expected a JSON object'
        : `json: cannot unmarshal ${kind} into Go value of type map[string]interface {}`,
    );
  }
  const members = jsonMembers(text);
  const fill = (name: string, value: string, also?: 'null'): void => {
    const known = members.get(name);
    if (known === undefined || known === also) members.set(name, JSON.stringify(value));
  };
  fill('time', request.time);
  if (!members.has('traceid')) {
    members.set('traceid', JSON.stringify(request.traceparent));
    members.set('traceparent', JSON.stringify(request.traceparent));
  }
  fill('tracestate', request.tracestate);
  fill('source', DEFAULT_EVENT_SOURCE, 'null');
  fill('type', DEFAULT_EVENT_TYPE, 'null');
  fill('specversion', SPEC_VERSION, 'null');
  members.set('topic', JSON.stringify(request.topic));
  members.set('pubsubname', JSON.stringify(request.pubsubName));
  if (request.expiration !== undefined) members.set('expiration', JSON.stringify(request.expiration));
  return joinMembers(members);
}

function utf8(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8');
}

function base64(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('base64');
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}
