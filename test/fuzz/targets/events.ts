/** CloudEvents in both directions: what apps publish becomes an envelope, what brokers deliver becomes an event. */

import { decodeCbor } from '../../../edge-components/drivers/cbor/decode.ts';
import { eventFields } from '../../../runtime/app-channel/grpc-event.ts';
import { envelopeText } from '../../../runtime/building-blocks/pubsub/cloud-event-envelope.ts';
import { decodeIncoming } from '../../../runtime/building-blocks/pubsub/incoming-event.ts';
import { jsonMembers } from '../../../runtime/building-blocks/pubsub/json-members.ts';
import { hasExpired, messageTtlMs } from '../../../runtime/building-blocks/pubsub/message-ttl.ts';
import { redirectEvent } from '../../../runtime/building-blocks/pubsub/ready-event.ts';
import type { Draw } from '../support/draw.ts';
import { ensure, type Fuzzing, type FuzzTarget } from '../support/target.ts';

const CONTENT_TYPES = [
  'application/json',
  'application/cloudevents+json',
  'application/cloudevents+json; charset=utf-8',
  'application/octet-stream',
  'application/x-protobuf',
  'application/cloudevents+protobuf',
  'application/cbor',
  'text/plain',
  '',
];

function event(draw: Draw): unknown {
  const members = draw.list(12, () => [
    draw.pick([
      'specversion',
      'id',
      'source',
      'type',
      'data',
      'data_base64',
      'datacontenttype',
      'topic',
      'time',
      'expiration',
      'traceparent',
      'traceid',
      'tracestate',
      'pubsubname',
      draw.text(20),
    ]),
    draw.chance(0.5) ? draw.text(60) : draw.json(2),
  ]);
  return {
    specversion: '1.0',
    id: '1',
    source: 's',
    type: 't',
    data: draw.json(2),
    ...Object.fromEntries(members),
  };
}

/** CBOR of nothing in particular: heads that announce more than there is, nesting, simple values. */
function cbor(draw: Draw): Buffer {
  const parts: Buffer[] = [];
  for (let left = draw.int(1, 12); left > 0; left -= 1) {
    const major = draw.int(0, 7) << 5;
    const extra = draw.pick([draw.int(0, 23), 24, 25, 26, 27, 28, 31]);
    parts.push(Buffer.from([major | extra]));
    const follow = { 24: 1, 25: 2, 26: 4, 27: 8 }[extra];
    if (follow !== undefined)
      parts.push(draw.chance(0.7) ? Buffer.alloc(follow, draw.pick([0, 1, 0xff])) : draw.bytes(follow));
    if (draw.chance(0.5)) parts.push(Buffer.from(draw.word()));
  }
  if (draw.chance(0.05))
    parts.unshift(Buffer.alloc(draw.int(10, 5000), draw.pick([0x81, 0x9f, 0xa1, 0xc1, 0xd8])));
  return Buffer.concat(parts);
}

function metadata(draw: Draw): Record<string, string> {
  return Object.fromEntries(
    draw.list(5, () => [
      draw.pick([
        'ttlInSeconds',
        'rawPayload',
        'cloudevent.id',
        'cloudevent.type',
        'cloudevent.source',
        'ce_id',
        'ce_type',
        'CE_',
        'traceparent',
        'content-type',
        draw.text(20),
      ]),
      draw.text(40),
    ]),
  );
}

/** The call may refuse, with an error that names a reason and is no slip of ours. */
function attempt<T>(work: () => T, what: () => string): T | undefined {
  try {
    return work();
  } catch (error) {
    const slip =
      !(error instanceof Error) ||
      error instanceof TypeError ||
      (error instanceof RangeError && /call stack/.test(error.message));
    ensure(!slip, () => `${String(error)} ${(error as Error).stack} for ${what()}`);
    ensure((error as Error).message !== '', () => `an error without words for ${what()}`);
    return undefined;
  }
}

function one(draw: Draw): void {
  const contentType = draw.chance(0.9) ? draw.pick(CONTENT_TYPES) : draw.text(40);
  const payload = draw.pick([
    () => Buffer.from(draw.jsonText(event(draw))),
    () => Buffer.from(draw.jsonText(event(draw))),
    () => Buffer.from(draw.jsonText()),
    () => draw.bytes(draw.size(500)),
    () => cbor(draw),
  ])();
  const given = metadata(draw);
  const what = (): string =>
    `${contentType} ${payload.toString('latin1').slice(0, 300)} ${JSON.stringify(given)}`;
  const text = attempt(
    () =>
      envelopeText({
        pubsubName: 'pubsub',
        topic: draw.text(50),
        data: payload,
        contentType,
        metadata: given,
        source: 'app',
        traceparent: '',
        tracestate: '',
        time: '2026-01-01T00:00:00Z',
        expiration: undefined,
        newId: () => 'id',
      }),
    what,
  );
  if (text !== undefined) {
    const made = JSON.parse(text) as Record<string, unknown>;
    ensure(
      typeof made['specversion'] !== 'undefined' && made['pubsubname'] === 'pubsub',
      () => `no event: ${what()}`,
    );
    attempt(() => redirectEvent(Buffer.from(text), 'other', 'dead'), what);
  }
  attempt(() => messageTtlMs(given), what);
  attempt(() => jsonMembers(payload.toString('utf8')), what);
  const incoming = attempt(
    () =>
      decodeIncoming(
        { topic: 'topic', data: payload, contentType: contentType as never, metadata: given } as never,
        'topic',
        {
          pubsubName: 'pubsub',
          raw: draw.chance(0.2),
          newId: () => 'id',
          decodeCbor,
        },
      ),
    what,
  );
  if (incoming === undefined) return;
  attempt(() => hasExpired(incoming.envelope, 0), what);
  attempt(() => eventFields(incoming.envelope), what);
}

export const events: FuzzTarget = {
  name: 'events',
  inputs: 20_000,
  open: async (): Promise<Fuzzing> => ({ one }),
};
