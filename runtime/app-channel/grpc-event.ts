/** CloudEvents as the messages of `AppCallback` (gRPC reference, section 3). */

import type { JsonObject, JsonValue } from '@bufbuild/protobuf';
import type { CloudEvent } from '../contracts/cloud-event.ts';
import { CLOUD_EVENTS_JSON, mediaType } from '../contracts/cloud-event.ts';
import { goJson } from '../contracts/go-json.ts';

/** Attributes that have a field of their own; all others travel in `extensions`, `topic` and `pubsubname` included. */
const NAMED = new Set(['id', 'source', 'type', 'specversion', 'datacontenttype', 'data', 'data_base64']);

/** Fields common to single and bulk events. */
export function eventFields(envelope: CloudEvent): {
  id: string;
  source: string;
  type: string;
  specVersion: string;
  dataContentType: string;
  data: Uint8Array;
  extensions: JsonObject;
} {
  const dataContentType = text(envelope['datacontenttype']);
  return {
    id: text(envelope['id']),
    source: text(envelope['source']),
    type: text(envelope['type']),
    specVersion: text(envelope['specversion']),
    dataContentType,
    data: dataOf(envelope, mediaType(dataContentType)),
    extensions: extensionsOf(envelope),
  };
}

/**
 * Payload bytes: decoded `data_base64`, text as it is, JSON (which is also what an event without content type holds) as
 * Dapr's encoder writes it. A publisher's `+json` data is a text in the envelope and is not quoted again. Of any other
 * content type Dapr sends no data to gRPC apps, and its own tests insist on that.
 */
function dataOf(envelope: CloudEvent, type: string): Uint8Array {
  const base64 = envelope['data_base64'];
  if (typeof base64 === 'string') return Buffer.from(base64, 'base64');
  const { data } = envelope;
  if (data === undefined || data === null) return NOTHING;
  if (type.startsWith('text/') || type === 'application/xml')
    return Buffer.from(typeof data === 'string' ? data : JSON.stringify(data), 'utf8');
  if (type === '' || type === 'application/json' || type === CLOUD_EVENTS_JSON)
    return Buffer.from(goJson(data), 'utf8');
  if (!type.endsWith('+json')) return NOTHING;
  return Buffer.from(typeof data === 'string' ? data : goJson(data), 'utf8');
}

const NOTHING = new Uint8Array(0);

function extensionsOf(envelope: CloudEvent): JsonObject {
  const extensions: JsonObject = {};
  for (const [name, value] of Object.entries(envelope)) {
    if (NAMED.has(name) || value === undefined) continue;
    extensions[name] = value as JsonValue;
  }
  return extensions;
}

function text(value: unknown): string {
  return typeof value === 'string' ? value : '';
}
