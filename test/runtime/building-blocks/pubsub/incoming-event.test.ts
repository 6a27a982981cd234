import t from 'tap';
import {
  type DecodeOptions,
  decodeIncoming,
} from '../../../../runtime/building-blocks/pubsub/incoming-event.ts';
import { json } from './fixtures.ts';

const TRACE = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01';

function decode(
  data: string | Uint8Array,
  more: { metadata?: Record<string, string>; contentType?: string; options?: Partial<DecodeOptions> } = {},
) {
  const { metadata = {}, contentType } = more;
  const message = {
    topic: 't',
    data: Buffer.from(data as string),
    metadata,
    ...(contentType === undefined ? {} : { contentType }),
  };
  return decodeIncoming(message, 't', {
    pubsubName: 'ps',
    raw: false,
    newId: () => 'new-id',
    ...more.options,
  });
}

t.test('a JSON object is delivered as it is, CloudEvent or not', async (t) => {
  const text = ' {"n":9007199254740993} ';
  const { envelope, data } = decode(text);
  t.equal(Buffer.from(data).toString(), text);
  t.equal(typeof envelope['n'], 'number');
});

t.test('anything else is no event', async (t) => {
  for (const text of ['not json', '[1]', '"x"', 'null', '', '21.5']) t.throws(() => decode(text), text);
  t.throws(() => decode('\xa1\x61', { contentType: 'application/cbor' }), 'CBOR without a decoder');
});

t.test('trace fields of the metadata fill gaps of the envelope, not of the bytes', async (t) => {
  const metadata = { traceid: 'x', traceparent: TRACE, tracestate: 'k=v' };
  const { envelope, data } = decode('{"a":1}', { metadata });
  t.same(envelope, { a: 1, traceid: TRACE, traceparent: TRACE, tracestate: 'k=v' });
  t.equal(Buffer.from(data).toString(), '{"a":1}');
  t.same(decode('{"traceparent":"own"}', { metadata: { traceparent: TRACE } }).envelope, {
    traceparent: 'own',
  });
});

t.test('bytes of a raw subscription are wrapped', async (t) => {
  const { envelope, data } = decode('just text', { options: { raw: true } });
  const expected = {
    datacontenttype: 'application/octet-stream',
    id: 'new-id',
    pubsubname: 'ps',
    source: 'Dapr',
    specversion: '1.0',
    topic: 't',
    type: 'com.dapr.event.sent',
    data_base64: 'anVzdCB0ZXh0',
  };
  t.same(envelope, expected);
  t.same(json(data), expected);
  t.match(json(decode('x', { options: { raw: true }, metadata: { traceparent: TRACE } }).data), {
    traceid: TRACE,
    traceparent: TRACE,
  });
});

t.test('binary-mode CloudEvents', async (t) => {
  const metadata = { ce_id: '1', CE_Type: 'kind', other: 'x', 'content-type': 'application/octet-stream' };
  const { envelope, data } = decode(Uint8Array.from([0, 1, 2]), { metadata });
  t.same(envelope, {
    id: '1',
    type: 'kind',
    data_base64: 'AAEC',
    datacontenttype: 'application/octet-stream',
  });
  t.same([...data], [0, 1, 2]);
});

t.test('CBOR of devices becomes JSON data', async (t) => {
  const value = {
    temperature: 21.5,
    big: 9007199254740993n,
    blob: Buffer.from([1, 2]),
    map: new Map([[1, 'x']]),
    set: new Set([1]),
  };
  const { envelope, data } = decode('', {
    contentType: 'application/cbor',
    options: { decodeCbor: () => value },
  });
  t.match(envelope, {
    id: 'new-id',
    source: 'Dapr',
    datacontenttype: 'application/json',
    data: { temperature: 21.5, blob: 'AQI=', map: { 1: 'x' }, set: [1] },
  });
  t.match(Buffer.from(data).toString(), /^\{"data":\{"temperature":21\.5,"big":9007199254740993,/);
  t.equal(json(data)['topic'], 't');
  const event = { specversion: '1.0', id: 'e', type: 'x', data: 1 };
  t.same(
    json(decode('', { contentType: 'application/cbor', options: { decodeCbor: () => event } }).data),
    event,
  );
});
