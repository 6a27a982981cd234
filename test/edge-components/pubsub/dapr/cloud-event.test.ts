/** Events of the streaming subscription become the CloudEvents that they were. */

import { create } from '@bufbuild/protobuf';
import t from 'tap';
import { cloudEventOf } from '../../../../edge-components/pubsub/dapr/cloud-event.ts';
import { TopicEventRequestSchema } from '../../../../runtime/generated/dapr/proto/runtime/v1/appcallback_pb.ts';

const event = (dataContentType: string, data: Uint8Array | string, extensions?: Record<string, string>) =>
  JSON.parse(
    Buffer.from(
      cloudEventOf(
        create(TopicEventRequestSchema, {
          id: 'i',
          source: 's',
          type: 't',
          specVersion: '1.0',
          dataContentType,
          data: Buffer.from(data as string),
          topic: 'a/b',
          pubsubName: 'p',
          ...(extensions === undefined ? {} : { extensions }),
        }),
      ).data,
    ).toString('utf8'),
  );

t.test('JSON stays JSON, text stays text, the rest is base64', (t) => {
  t.same(event('application/json', '{"a":1}'), {
    specversion: '1.0',
    id: 'i',
    source: 's',
    type: 't',
    datacontenttype: 'application/json',
    topic: 'a/b',
    pubsubname: 'p',
    data: { a: 1 },
  });
  t.match(event('application/cloudevents+json', '[1]'), { data: [1] });
  t.match(event('text/plain', 'hé "x"'), { data: 'hé "x"' });
  t.match(event('application/octet-stream', Uint8Array.of(0, 255)), { data_base64: 'AP8=' });
  t.end();
});

t.test('what is declared as JSON and is none travels as bytes', (t) => {
  const decoded = event('application/json', '{oops');
  t.equal(decoded.data, undefined);
  t.equal(Buffer.from(decoded.data_base64, 'base64').toString(), '{oops');
  t.end();
});

t.test('extensions stay members, and none takes the place of an attribute', (t) => {
  t.match(event('text/plain', 'x', { traceparent: 'tp', id: 'forged' }), { traceparent: 'tp', id: 'i' });
  t.end();
});

t.test('an event without data has no data member', (t) => {
  t.notOk('data' in event('application/json', ''));
  t.end();
});
