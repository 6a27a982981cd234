/** Events on their way: an id for everything, the flows that carried them, the rest as it was written. */

import t from 'tap';
import {
  forwardedBytes,
  travellingEvent,
  wentRound,
} from '../../../../runtime/building-blocks/sync/sync-event.ts';

const own = { source: 'edge', newId: () => 'id-1' };
const target = { pubsub: 'cloud', topic: 'up' };
const event = (text: string) => travellingEvent({ topic: 't', data: Buffer.from(text), metadata: {} }, own);
const sent = (text: string, mark = 'm1'): Record<string, unknown> =>
  JSON.parse(forwardedBytes(event(text), mark, target).toString());

t.test('a CloudEvent keeps its id and its numbers', (t) => {
  const text =
    '{"specversion":"1.0","id":"x","source":"s","type":"t","topic":"a","data":{"n":12345678901234567890}}';
  const bytes = forwardedBytes(event(text), 'm1', target).toString();
  t.match(bytes, /"n":12345678901234567890/);
  t.match(JSON.parse(bytes), { id: 'x', topic: 'up', pubsubname: 'cloud', skerrysync: 'm1' });
  t.end();
});

t.test('what a device sends becomes an event', (t) => {
  t.match(sent('{"c":21}'), {
    specversion: '1.0',
    id: 'id-1',
    source: 'edge',
    datacontenttype: 'application/json',
    data: { c: 21 },
  });
  t.match(sent('on'), { datacontenttype: 'text/plain', data: 'on' });
  const bytes = travellingEvent({ topic: 't', data: Buffer.from([0xff, 0]), metadata: {} }, own);
  t.match(JSON.parse(forwardedBytes(bytes, 'm', target).toString()), {
    datacontenttype: 'application/octet-stream',
    data_base64: '/wA=',
  });
  t.end();
});

t.test('nothing goes round', (t) => {
  const once = forwardedBytes(event('{"c":1}'), 'm1', target).toString();
  const twice = forwardedBytes(event(once), 'm2', target).toString();
  t.match(JSON.parse(twice), { skerrysync: 'm1.m2', id: 'id-1' });
  t.ok(wentRound(event(twice), 'm1'));
  t.ok(wentRound(event(twice), 'm2'));
  t.notOk(wentRound(event(twice), 'm3'));
  let text = '{"c":1}';
  for (let at = 0; at < 16; at += 1) text = forwardedBytes(event(text), `f${at}`, target).toString();
  t.ok(wentRound(event(text), 'new'), 'nor through ever more flows');
  t.end();
});
