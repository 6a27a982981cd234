/** The CloudEvent (JSON, 1.0) that an event of Dapr's streaming subscription was before it became fields. */

import { CLOUD_EVENTS_JSON } from '../../../runtime/contracts/cloud-event.ts';
import type { IncomingMessage } from '../../../runtime/contracts/pubsub.ts';
import type { TopicEvent } from '../../drivers/dapr-stream/topic-stream.ts';

const JSON_TYPE = /^application\/(?:.+\+)?json\b/i;
const TEXT_TYPE = /^text\//i;

export function cloudEventOf(event: TopicEvent): IncomingMessage {
  const body = dataMember(event.data, event.dataContentType);
  const head = {
    ...event.extensions,
    specversion: event.specVersion === '' ? '1.0' : event.specVersion,
    id: event.id,
    source: event.source,
    type: event.type,
    ...(event.dataContentType === '' ? {} : { datacontenttype: event.dataContentType }),
    topic: event.topic,
    pubsubname: event.pubsubName,
  };
  const text = JSON.stringify(head);
  const data = body === '' ? text : `${text.slice(0, -1)},${body}}`;
  return { topic: event.topic, data: Buffer.from(data), contentType: CLOUD_EVENTS_JSON, metadata: {} };
}

/** JSON and text as they are, everything else in base64 (CloudEvents JSON format, section 3.1). */
function dataMember(data: Uint8Array, contentType: string): string {
  if (data.length === 0) return '';
  const bytes = Buffer.from(data.buffer, data.byteOffset, data.byteLength);
  const text = bytes.toString('utf8');
  if (contentType === '' || JSON_TYPE.test(contentType)) {
    try {
      JSON.parse(text);
      return `"data":${text}`;
    } catch {
      // Declared as JSON and none: carried as bytes.
    }
  }
  if (TEXT_TYPE.test(contentType)) return `"data":${JSON.stringify(text)}`;
  return `"data_base64":"${bytes.toString('base64')}"`;
}
