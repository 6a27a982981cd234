import t from 'tap';
import { isProtobufCloudEvent } from '../../../../runtime/building-blocks/pubsub/protobuf-cloud-event.ts';

const field = (number: number, text: string): number[] => [number * 8 + 2, text.length, ...Buffer.from(text)];
const event = [...field(1, 'id'), ...field(2, 'src'), ...field(3, '1.0'), ...field(4, 'type')];

t.test('a message with the attributes every event has', async (t) => {
  t.equal(isProtobufCloudEvent(Uint8Array.from(event)), true);
  t.equal(isProtobufCloudEvent(Uint8Array.from([...event, ...field(7, 'text')])), true);
});

t.test('anything else', async (t) => {
  t.equal(isProtobufCloudEvent(new Uint8Array()), false);
  t.equal(isProtobufCloudEvent(Buffer.from('zzzz')), false);
  t.equal(isProtobufCloudEvent(Uint8Array.from(event.slice(0, -1))), false, 'cut off');
  t.equal(isProtobufCloudEvent(Uint8Array.from(event.slice(4))), false, 'no id');
  t.equal(isProtobufCloudEvent(Uint8Array.from([...event, ...field(9, 'x')])), false, 'unknown field');
  t.equal(isProtobufCloudEvent(Uint8Array.from([...event, 8, 1])), false, 'a number where text belongs');
});
