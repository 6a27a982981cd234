/**
 * Events on their way between two sides. Every one is a CloudEvent with an id, so that a receiver can drop repeats, and
 * with the extension `skerrysync`: the flows that carried it. A flow carries nothing that it carried before, so a topic
 * that is synced both ways has no echo, whoever else is subscribed in between.
 */

import { CLOUD_EVENTS_JSON, type CloudEvent, DEFAULT_EVENT_TYPE } from '../../contracts/cloud-event.ts';
import type { IncomingMessage } from '../../contracts/pubsub.ts';
import { joinMembers, jsonMembers } from '../pubsub/json-members.ts';

export const PATH_EXTENSION = 'skerrysync';
/** An event that went through more flows than this goes in a circle that nobody noticed. */
const MAX_FLOWS = 16;

export interface TravellingEvent {
  readonly envelope: CloudEvent;
  readonly members: ReadonlyMap<string, string>;
  /** Marks of the flows that carried it. */
  readonly path: readonly string[];
}

/** The event in a message; what is no CloudEvent (of a device, of a raw publisher) becomes one from `source`. */
export function travellingEvent(
  message: IncomingMessage,
  own: { readonly source: string; readonly newId: () => string },
): TravellingEvent {
  const bytes = Buffer.from(message.data.buffer, message.data.byteOffset, message.data.byteLength);
  const text = bytes.toString('utf8');
  const parsed = parsedJson(text);
  const members = isCloudEvent(parsed)
    ? jsonMembers(text)
    : wrapped(bytes, text, parsed !== undefined, message, own);
  const envelope = isCloudEvent(parsed) ? parsed : (JSON.parse(joinMembers(members)) as CloudEvent);
  const mark = envelope[PATH_EXTENSION];
  return { envelope, members, path: typeof mark === 'string' && mark !== '' ? mark.split('.') : [] };
}

/** Whether the flow with this mark has carried it, or too many others. */
export function wentRound({ path }: TravellingEvent, mark: string): boolean {
  return path.includes(mark) || path.length >= MAX_FLOWS;
}

/** The bytes for the other side. */
export function forwardedBytes(
  event: TravellingEvent,
  mark: string,
  target: { readonly pubsub: string; readonly topic: string },
): Buffer {
  const members = new Map(event.members);
  members.set('pubsubname', JSON.stringify(target.pubsub));
  members.set('topic', JSON.stringify(target.topic));
  members.set(PATH_EXTENSION, JSON.stringify([...event.path, mark].join('.')));
  return Buffer.from(joinMembers(members));
}

export const FORWARDED_TYPE = CLOUD_EVENTS_JSON;

/** An event that the runtime itself tells. */
export function ownEvent(event: {
  readonly id: string;
  readonly type: string;
  readonly source: string;
  readonly target: { readonly pubsub: string; readonly topic: string };
  /** JSON text. */
  readonly data: string;
}): Buffer {
  const { id, type, source, target, data } = event;
  return Buffer.from(
    joinMembers(
      new Map([
        ['specversion', '"1.0"'],
        ['id', JSON.stringify(id)],
        ['source', JSON.stringify(source)],
        ['type', JSON.stringify(type)],
        ['datacontenttype', '"application/json"'],
        ['pubsubname', JSON.stringify(target.pubsub)],
        ['topic', JSON.stringify(target.topic)],
        ['data', data],
      ]),
    ),
  );
}

function wrapped(
  bytes: Buffer,
  text: string,
  isJson: boolean,
  message: IncomingMessage,
  own: { readonly source: string; readonly newId: () => string },
): Map<string, string> {
  const isText = !isJson && Buffer.from(text).equals(bytes);
  const type =
    message.contentType ?? (isJson ? 'application/json' : isText ? 'text/plain' : 'application/octet-stream');
  const members = new Map<string, string>([
    ['specversion', '"1.0"'],
    ['id', JSON.stringify(own.newId())],
    ['source', JSON.stringify(own.source)],
    ['type', JSON.stringify(DEFAULT_EVENT_TYPE)],
    ['datacontenttype', JSON.stringify(isJson ? 'application/json' : type)],
  ]);
  if (isJson) members.set('data', text);
  else if (isText) members.set('data', JSON.stringify(text));
  else members.set('data_base64', JSON.stringify(bytes.toString('base64')));
  return members;
}

function parsedJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function isCloudEvent(value: unknown): value is CloudEvent {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return false;
  const { specversion, id, source, type } = value as Record<string, unknown>;
  return [specversion, id, source, type].every((member) => typeof member === 'string' && member !== '');
}
