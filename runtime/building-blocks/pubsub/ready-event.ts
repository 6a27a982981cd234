/**
 * Events that the runtime makes itself and sends by `publishRaw` (the outbox; components reference, section 11): an
 * envelope with an id and attributes given by the maker, and the same envelope sent on to another topic.
 */

import type { StringMap } from '../../contracts/blocks.ts';
import { type EnvelopeRequest, wrappedText } from './cloud-event-envelope.ts';
import { joinMembers, jsonMembers } from './json-members.ts';

export interface ReadyEvent {
  readonly id: string;
  readonly pubsubName: string;
  readonly topic: string;
  readonly data: Uint8Array;
  /** Content type of `data`; empty: `text/plain`. */
  readonly contentType: string;
  /** Attributes by their own names; they override all but `id`, `data` and `data_base64`. */
  readonly attributes: StringMap;
}

const FIXED: ReadonlySet<string> = new Set(['id', 'data', 'data_base64']);

/** Bytes of the envelope of `event`. */
export function readyEvent(
  event: ReadyEvent,
  own: Pick<EnvelopeRequest, 'source' | 'traceparent' | 'tracestate' | 'time'>,
): Uint8Array {
  const { id, pubsubName, topic, data, contentType } = event;
  const newId = (): string => id;
  const request = {
    ...own,
    pubsubName,
    topic,
    data,
    contentType,
    metadata: {},
    expiration: undefined,
    newId,
  };
  const members = jsonMembers(wrappedText(request));
  for (const [name, value] of Object.entries(event.attributes)) {
    if (!FIXED.has(name)) members.set(name, JSON.stringify(value));
  }
  return Buffer.from(joinMembers(members));
}

/** Bytes of an envelope with `topic` and `pubsubname` replaced; the rest stays as written. */
export function redirectEvent(envelope: Uint8Array, pubsubName: string, topic: string): Uint8Array {
  const members = jsonMembers(
    Buffer.from(envelope.buffer, envelope.byteOffset, envelope.byteLength).toString(),
  );
  members.set('pubsubname', JSON.stringify(pubsubName));
  members.set('topic', JSON.stringify(topic));
  return Buffer.from(joinMembers(members));
}
