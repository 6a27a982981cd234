// What is said about bytes that are no message: the field, what it wants, what came.

import { create, toBinary } from '@bufbuild/protobuf';
import t from 'tap';
import { StateItemSchema } from '../../../runtime/generated/dapr/proto/common/v1/common_pb.ts';
import { ConversationRequestSchema } from '../../../runtime/generated/dapr/proto/runtime/v1/ai_pb.ts';
import { SaveStateRequestSchema } from '../../../runtime/generated/dapr/proto/runtime/v1/state_pb.ts';
import { wireFault } from '../../../runtime/grpc/wire-fault.ts';

const SAVE = 'SaveStateRequest';
const item = (bytes: readonly number[]): Uint8Array => Uint8Array.of(0x12, bytes.length, ...bytes);

t.test('a good message has no fault, unknown fields and packed numbers included', async (t) => {
  const states = [
    create(StateItemSchema, {
      key: 'k',
      value: Buffer.from('1'),
      metadata: { a: 'b' },
      options: { concurrency: 2 },
    }),
  ];
  const good = toBinary(SaveStateRequestSchema, create(SaveStateRequestSchema, { storeName: 's', states }));
  t.equal(wireFault(SaveStateRequestSchema, good), undefined);
  t.equal(wireFault(SaveStateRequestSchema, Uint8Array.of(0x78, 5, 0x7d, 1, 2, 3, 4)), undefined);
});

t.test('faults by place and kind', async (t) => {
  const cases: readonly (readonly [string, readonly number[] | Uint8Array, string])[] = [
    ['a number for a text', [0x08, 5], 'store_name: expected a text (UTF-8), got a varint'],
    ['not UTF-8', [0x0a, 2, 0xff, 0xfe], 'store_name: is not UTF-8'],
    ['cut', [0x0a, 100, 1], 'store_name: announces 100 bytes, 1 follow'],
    ['a length without end', [0x0a, 0xff], 'store_name: ends in the middle of a length'],
    ['a tag without end', [0x80], `${SAVE}: ends in the middle of a field's number`],
    ['field 0', [0x00, 1], `${SAVE}: no field begins at byte 0`],
    ['wire type 7', [0x0a, 0, 0x0f], `${SAVE}: no field begins at byte 2`],
    ['unknown field, cut', [0x7d, 1], `${SAVE}: unknown field 15: needs 4 bytes, 1 follow`],
    ['a number for a message', [0x10, 1], 'states: expected a message StateItem, got a varint'],
    ['inside a list', item([0x0a, 1, 0xff]), 'states.key: is not UTF-8'],
    ['key of a map', item([0x22, 3, 0x0a, 1, 0xff]), 'states.metadata: the key of an entry: is not UTF-8'],
    ['value of a map', item([0x22, 2, 0x10, 1]), 'states.metadata: the value of an entry: is no text'],
    [
      'entry of a map, cut',
      item([0x22, 2, 0x12, 9]),
      'states.metadata: the value of an entry: announces 9 bytes, 0 follow',
    ],
    [
      'enum',
      item([0x2a, 2, 0x0a, 0]),
      'states.options.concurrency: expected a value of StateConcurrency, got',
    ],
  ];
  for (const [name, bytes, expected] of cases)
    t.match(wireFault(SaveStateRequestSchema, Uint8Array.from(bytes)), expected, name);
  t.match(
    wireFault(ConversationRequestSchema, Uint8Array.of(0x38, 5)),
    /: expected a value of type double, got a varint/,
    'a fraction',
  );
});
