/** The codec of the internal protocol against the generated messages: same bytes mean the same, in both directions. */

import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { AnySchema } from '@bufbuild/protobuf/wkt';
import t from 'tap';
import {
  InternalInvokeRequestSchema,
  InternalInvokeRequestStreamSchema,
  InternalInvokeResponseSchema,
  InternalInvokeResponseStreamSchema,
} from '../../../runtime/generated/dapr/proto/internals/v1/service_invocation_pb.ts';
import {
  type RequestChunk,
  type ResponseChunk,
  requestChunks,
  responseChunks,
  wholeRequests,
  wholeResponses,
} from '../../../runtime/peer/stream-codec.ts';
import { fromWireMap, toWireMap } from '../../../runtime/peer/wire-headers.ts';
import { seededRandom } from '../../support/seeded-random.ts';

const bytes = (length: number, fill = 7): Uint8Array => new Uint8Array(length).fill(fill);

const REQUEST: RequestChunk = {
  request: {
    ver: 1,
    metadata: {
      'X-One': { values: ['a', 'b', ''] },
      leer: { values: [] },
      näme: { values: ['wärt €', 'x'.repeat(300)] },
    },
    message: {
      method: 'a/b c',
      contentType: 'application/json',
      data: { typeUrl: 'type/x', value: bytes(200) },
      httpExtension: { verb: 3, querystring: 'q=1&r=%20' },
    },
  },
  payload: { data: bytes(40_000), seq: 0 },
};

const RESPONSE: ResponseChunk = {
  response: {
    status: { code: -1, message: 'tea ü', details: [bytes(0)] },
    headers: { 'Content-Length': { values: ['5'] } },
    trailers: { t: { values: ['1', '2'] } },
    message: { contentType: 'text/plain', data: { typeUrl: '', value: bytes(0) } },
  },
  payload: { data: bytes(3), seq: 2 ** 40 },
};

/** What generated messages and ours have in common. */
const plain = (value: unknown): unknown =>
  JSON.parse(
    JSON.stringify(value, (key, part) =>
      key === '$typeName' || key === '$unknown'
        ? undefined
        : typeof part === 'bigint'
          ? Number(part)
          : part instanceof Uint8Array
            ? Buffer.from(part).toString('hex')
            : part,
    ),
  );

t.test('requests: the generated codec reads what ours wrote, ours what it wrote', (t) => {
  const read = fromBinary(InternalInvokeRequestStreamSchema, requestChunks.encode(REQUEST));
  t.same(plain(read), plain(REQUEST));
  const written = toBinary(InternalInvokeRequestStreamSchema, read);
  t.same(plain(requestChunks.decode(written)), plain(REQUEST));
  const whole = REQUEST.request;
  if (whole === undefined) throw new Error('there is one');
  t.same(plain(fromBinary(InternalInvokeRequestSchema, wholeRequests.encode(whole))), plain(whole));
  t.same(plain(wholeRequests.decode(wholeRequests.encode(whole))), plain(whole));
  t.end();
});

t.test('responses: details stay encoded `Any`s', (t) => {
  const detail = toBinary(AnySchema, create(AnySchema, { typeUrl: 'type/y', value: bytes(3) }));
  const given: ResponseChunk = {
    ...RESPONSE,
    response: {
      headers: {},
      trailers: {},
      ...RESPONSE.response,
      status: { code: 13, message: 'm', details: [detail] },
    },
  };
  const read = fromBinary(InternalInvokeResponseStreamSchema, responseChunks.encode(given));
  t.match(read.response?.status?.details, [{ typeUrl: 'type/y', value: bytes(3) }]);
  t.same(plain(responseChunks.decode(toBinary(InternalInvokeResponseStreamSchema, read))), plain(given));
  t.same(plain(responseChunks.decode(responseChunks.encode(RESPONSE))), plain(RESPONSE));
  if (given.response === undefined) throw new Error('there is one');
  t.match(fromBinary(InternalInvokeResponseSchema, wholeResponses.encode(given.response)), {
    status: { code: 13 },
    trailers: { t: { values: ['1', '2'] } },
  });
  t.end();
});

t.test('an empty message is an empty message, and absent parts stay absent', (t) => {
  t.same(requestChunks.decode(bytes(0)), {});
  t.same(responseChunks.decode(bytes(0)), {});
  t.same(requestChunks.encode({}), bytes(0));
  const bare = requestChunks.decode(requestChunks.encode({ payload: { data: bytes(0), seq: 3 } }));
  t.same(plain(bare), { payload: { data: '', seq: 3 } });
  t.end();
});

t.test('unknown fields are skipped, whatever their type', (t) => {
  // Field 15: varint, 64 bit, length-delimited, 32 bit.
  const unknown = Buffer.from('787f' + '790102030405060708' + '7a0361626c' + '7d01020304', 'hex');
  const known = requestChunks.encode(REQUEST);
  t.same(
    plain(requestChunks.decode(Uint8Array.from(Buffer.concat([unknown, known, unknown])))),
    plain(REQUEST),
  );
  t.end();
});

t.test('a header named as a member of every object is a header', (t) => {
  const metadata = JSON.parse('{"__proto__":{"values":["x"]},"constructor":{"values":["y"]}}');
  const coded = requestChunks.encode({ request: { ver: 1, metadata } });
  const read = requestChunks.decode(coded);
  t.same(Object.keys(read.request?.metadata ?? {}).sort(), ['__proto__', 'constructor']);
  t.equal(({} as { values?: unknown }).values, undefined, 'no prototype was touched');
  t.end();
});

t.test('bytes that are no message are refused and never read past their end', (t) => {
  const random = seededRandom(5);
  const good = [requestChunks.encode(REQUEST).subarray(0, 900), responseChunks.encode(RESPONSE)];
  let refused = 0;
  for (let round = 0; round < 20_000; round += 1) {
    const source = good[round % 2] as Uint8Array;
    const broken = Uint8Array.from(source.subarray(0, Math.floor(random.float() * source.length) + 1));
    for (let n = 0; n < 3; n += 1) {
      broken[Math.floor(random.float() * broken.length)] = Math.floor(random.float() * 256);
    }
    for (const codec of [requestChunks, responseChunks]) {
      try {
        codec.decode(broken);
      } catch (error) {
        refused += 1;
        if (!(error instanceof Error)) t.fail('an error is thrown');
      }
    }
  }
  t.ok(refused > 10_000, `${refused} refused`);
  t.end();
});

t.test('headers named as members of every object are headers like any other', (t) => {
  const headers = [
    ['constructor', 'a'],
    ['__proto__', 'b'],
    ['__proto__', 'c'],
    ['toString', 'd'],
  ] as const;
  const bytes = wholeResponses.encode({ headers: toWireMap(headers), trailers: {} });
  t.strictSame(fromWireMap(wholeResponses.decode(bytes).headers), headers);
  t.end();
});
