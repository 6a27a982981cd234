/** CloudEvents as the messages of `AppCallback` (gRPC reference, section 3). */

import type { JsonObject, JsonValue } from '@bufbuild/protobuf';
import type { CloudEvent } from '../contracts/cloud-event.ts';
import { mediaType } from '../contracts/cloud-event.ts';

/** Attributes that have a field of their own; everything else travels in `extensions`. */
const NAMED = new Set([
  'id',
  'source',
  'type',
  'specversion',
  'datacontenttype',
  'data',
  'data_base64',
  'topic',
  'pubsubname',
]);

/** Fields common to single and bulk events. */
export function eventFields(envelope: CloudEvent): {
  id: string;
  source: string;
  type: string;
  specVersion: string;
  dataContentType: string;
  data: Uint8Array;
  extensions?: JsonObject;
} {
  const dataContentType = text(envelope['datacontenttype']);
  const extensions = extensionsOf(envelope);
  return {
    id: text(envelope['id']),
    source: text(envelope['source']),
    type: text(envelope['type']),
    specVersion: text(envelope['specversion']),
    dataContentType,
    data: dataOf(envelope, mediaType(dataContentType)),
    ...(extensions === undefined ? {} : { extensions }),
  };
}

/**
 * Payload bytes: decoded `data_base64`, text as it is, JSON (which is also what an event without content type holds) as
 * JSON. Of any other content type Dapr sends no data to gRPC apps, and its own tests insist on that.
 */
function dataOf(envelope: CloudEvent, type: string): Uint8Array {
  const base64 = envelope['data_base64'];
  if (typeof base64 === 'string') return Buffer.from(base64, 'base64');
  const { data } = envelope;
  if (data === undefined || data === null) return NOTHING;
  if (type.startsWith('text/') || type === 'application/xml')
    return Buffer.from(typeof data === 'string' ? data : JSON.stringify(data), 'utf8');
  const json = type === '' || type === 'application/json' || type.endsWith('+json');
  return json ? Buffer.from(JSON.stringify(data), 'utf8') : NOTHING;
}

const NOTHING = new Uint8Array(0);

function extensionsOf(envelope: CloudEvent): JsonObject | undefined {
  let extensions: JsonObject | undefined;
  for (const [name, value] of Object.entries(envelope)) {
    if (NAMED.has(name) || value === undefined) continue;
    extensions ??= {};
    extensions[name] = value as JsonValue;
  }
  return extensions;
}

function text(value: unknown): string {
  return typeof value === 'string' ? value : '';
}
