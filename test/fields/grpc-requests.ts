/** A valid request of every method of the gRPC API, and the same with one fault each in every field of its message. */

import {
  create,
  type DescField,
  type DescMessage,
  type MessageInitShape,
  toBinary,
} from '@bufbuild/protobuf';
import { Dapr } from '../../runtime/generated/dapr/proto/runtime/v1/dapr_pb.ts';

export interface GrpcFieldRequest {
  /** Method, field and fault: the key of the recorded answer. */
  readonly name: string;
  readonly method: string;
  readonly streams: boolean;
  readonly message: Uint8Array;
}

type Init = Readonly<Record<string, unknown>>;
const text = (value: string): Uint8Array => Buffer.from(value);
const item = {
  key: 'k',
  value: text('1'),
  etag: { value: '1' },
  metadata: { a: 'b' },
  options: { concurrency: 2, consistency: 2 },
};
const actor = { actorType: 't', actorId: 'i' };
const timed = { ...actor, name: 'n', dueTime: '1s', period: '1s', ttl: '1m' };
const key = { componentName: 'crypto', keyName: 'key' };
const workflow = { instanceId: 'i', workflowComponent: 'dapr' };

const SAMPLES: readonly (readonly [RegExp, Init])[] = [
  [/^SaveState$/, { storeName: 'state', states: [item] }],
  [/^GetState$/, { storeName: 'state', key: 'k', consistency: 2, metadata: { a: 'b' } }],
  [/^DeleteState$/, { storeName: 'state', ...item }],
  [/^GetBulkState$/, { storeName: 'state', keys: ['k'], parallelism: 2, metadata: { a: 'b' } }],
  [/^DeleteBulkState$/, { storeName: 'state', states: [item] }],
  [
    /^ExecuteStateTransaction$/,
    { storeName: 'state', operations: [{ operationType: 'upsert', request: item }], metadata: { a: 'b' } },
  ],
  [/^QueryState/, { storeName: 'state', query: '{}' }],
  [
    /^PublishEvent$/,
    {
      pubsubName: 'pubsub',
      topic: 't',
      data: text('{}'),
      dataContentType: 'application/json',
      metadata: { a: 'b' },
    },
  ],
  [
    /^BulkPublish/,
    {
      pubsubName: 'pubsub',
      topic: 't',
      entries: [{ entryId: '1', event: text('{}'), contentType: 'application/json' }],
    },
  ],
  [/^InvokeBinding$/, { name: 'files', operation: 'create', data: text('x'), metadata: { fileName: 'f' } }],
  [
    /^InvokeService$/,
    { id: 'nobody', message: { method: 'm', contentType: 'text/plain', httpExtension: { verb: 1 } } },
  ],
  [/^GetSecret$/, { storeName: 'secrets', key: 'key', metadata: { a: 'b' } }],
  [/^GetBulkSecret$/, { storeName: 'secrets', metadata: { a: 'b' } }],
  [/^(Get|Subscribe)Configuration/, { storeName: 'configuration', keys: ['a'], metadata: { a: 'b' } }],
  [/^UnsubscribeConfiguration/, { storeName: 'configuration', id: 'x' }],
  [/^TryLock/, { storeName: 'lock', resourceId: 'r', lockOwner: 'o', expiryInSeconds: 5 }],
  [/^Unlock/, { storeName: 'lock', resourceId: 'r', lockOwner: 'o' }],
  [
    /^EncryptAlpha1$/,
    { options: { ...key, keyWrapAlgorithm: 'A256KW' }, payload: { data: text('x'), seq: 0n } },
  ],
  [/^DecryptAlpha1$/, { options: key, payload: { data: text('x'), seq: 0n } }],
  [/^Subtle/, key],
  [
    /^ConverseAlpha1$/,
    { name: 'echo', inputs: [{ content: 'hi', role: 'user' }], temperature: 0.5, contextID: 'c' },
  ],
  [
    /^ConverseAlpha2$/,
    {
      name: 'echo',
      inputs: [{ messages: [{ messageTypes: { case: 'ofUser', value: { content: [{ text: 'hi' }] } } }] }],
      temperature: 0.5,
    },
  ],
  [
    /^ScheduleJob/,
    { job: { name: 'j', schedule: '@every 1m', repeats: 2, dueTime: '1s', ttl: '1m' }, overwrite: true },
  ],
  [/^(GetJob|DeleteJob)/, { name: 'j' }],
  [/^SetMetadata$/, { key: 'k', value: 'v' }],
  [/Actor(Reminder|Timer)$/, timed],
  [/Actor/, actor],
  [/^StartWorkflow/, { ...workflow, workflowName: 'w', input: text('1') }],
  [/^RaiseEvent/, { ...workflow, eventName: 'e' }],
  [/Workflow/, workflow],
  [
    /^SubscribeTopicEvents/,
    {
      subscribeTopicEventsRequestType: {
        case: 'initialRequest',
        value: { pubsubName: 'pubsub', topic: 't' },
      },
    },
  ],
];
/** Ends the process. */
const LEFT_OUT = new Set(['Shutdown']);
/** Refused whatever they are asked, or another name of a method that is here. */
const DULL = /^Subtle|Workflow|Job.*Alpha1|BulkPublishEventAlpha1|ConfigurationAlpha1/;

const LENGTH_DELIMITED = 2;

function varint(value: bigint): readonly number[] {
  const bytes: number[] = [];
  let rest = BigInt.asUintN(64, value);
  for (; rest > 127n; rest >>= 7n) bytes.push(Number(rest & 127n) | 128);
  return [...bytes, Number(rest)];
}

const tag = (field: DescField, wire: number): readonly number[] => varint(BigInt((field.number << 3) | wire));
const bytesOf = (field: DescField, content: Uint8Array): Buffer =>
  Buffer.from([...tag(field, LENGTH_DELIMITED), ...varint(BigInt(content.byteLength)), ...content]);
const numberOf = (field: DescField, value: bigint): Buffer =>
  Buffer.from([...tag(field, 0), ...varint(value)]);

/** Kind of a field on the wire. */
function kindOf(field: DescField): 'text' | 'bytes' | 'message' | 'enum' | 'number' | 'fixed' {
  if (field.message !== undefined || field.fieldKind === 'map') return 'message';
  if (field.enum !== undefined) return 'enum';
  const { scalar } = field as { readonly scalar?: number };
  if (scalar === 9) return 'text';
  if (scalar === 12) return 'bytes';
  return scalar === 1 || scalar === 2 ? 'fixed' : 'number';
}

/** Bytes that are put behind a valid message: the last one of a field counts, and lists and messages grow. */
function faultsOf(field: DescField): readonly (readonly [string, Buffer])[] {
  const cut = Buffer.from([...tag(field, LENGTH_DELIMITED), 100, 1]);
  const noNumber = ['a text for a number', bytesOf(field, text('many'))] as const;
  switch (kindOf(field)) {
    case 'text':
      return [
        ['a number for a text', numberOf(field, 5n)],
        ['empty', bytesOf(field, text(''))],
        ['another one', bytesOf(field, text('other'))],
        ['not UTF-8', bytesOf(field, Buffer.of(0xff, 0xfe))],
        ['long', bytesOf(field, text('x'.repeat(70_000)))],
        ['separators', bytesOf(field, text('a||b/../\0'))],
        ['cut', cut],
      ];
    case 'bytes':
      return [
        ['a number for bytes', numberOf(field, 5n)],
        ['no JSON', bytesOf(field, Buffer.of(0xff, 0))],
        ['cut', cut],
      ];
    case 'message':
      return [
        ['a number for a message', numberOf(field, 5n)],
        ['an empty one', bytesOf(field, text(''))],
        ['no message', bytesOf(field, Buffer.of(0xff, 0xff))],
        ['cut', cut],
      ];
    case 'enum':
      return [['out of range', numberOf(field, 99n)], ['negative', numberOf(field, -1n)], noNumber];
    case 'number':
      return [['negative', numberOf(field, -1n)], ['beyond 32 bits', numberOf(field, 2n ** 40n)], noNumber];
    default:
      return [
        ['an integer for a fraction', numberOf(field, 5n)],
        ['NaN', Buffer.from([...tag(field, 1), 0, 0, 0, 0, 0, 0, 0xf8, 0x7f])],
        noNumber,
      ];
  }
}

const initOf = (method: string): Init => SAMPLES.find(([pattern]) => pattern.test(method))?.[1] ?? {};

/** All of them, in the order of the methods. */
export function grpcRequests(): readonly GrpcFieldRequest[] {
  return Dapr.methods
    .filter(({ name }) => !LEFT_OUT.has(name))
    .flatMap((method) => {
      const desc: DescMessage = method.input;
      const encode = (init: Init): Uint8Array =>
        toBinary(desc, create(desc, init as MessageInitShape<DescMessage>));
      const init = initOf(method.name);
      const valid = encode(init);
      const streams = method.methodKind !== 'unary';
      const one = (what: string, message: Uint8Array): GrpcFieldRequest => ({
        name: `${method.name} | ${what}`,
        method: method.name,
        streams,
        message,
      });
      const fields = (DULL.test(method.name) ? [] : desc.fields).flatMap((field) => [
        one(`${field.name}: missing`, encode({ ...init, [field.localName]: undefined })),
        ...faultsOf(field).map(([what, bytes]) =>
          one(`${field.name}: ${what}`, Buffer.concat([valid, bytes])),
        ),
      ]);
      return [one('valid', valid), one('no message at all', Buffer.of(0xff, 0xff, 0xff)), ...fields];
    });
}
