/** Both halves of the internal protocol against each other, and against messages as Dapr builds them. */

import { create, fromBinary, type MessageInitShape, toBinary } from '@bufbuild/protobuf';
import t, { type Test } from 'tap';
import type { Body, InvokeRequest } from '../../../runtime/contracts/app-channel.ts';
import type { InvokeBlock } from '../../../runtime/contracts/blocks.ts';
import type { GrpcService } from '../../../runtime/contracts/grpc-wire/service.ts';
import { GrpcStatusError } from '../../../runtime/contracts/grpc-wire/status.ts';
import { PeerError } from '../../../runtime/contracts/peer.ts';
import { HTTPExtension_Verb } from '../../../runtime/generated/dapr/proto/common/v1/common_pb.ts';
import { APIVersion } from '../../../runtime/generated/dapr/proto/internals/v1/apiversion_pb.ts';
import {
  InternalInvokeRequestStreamSchema,
  InternalInvokeResponseStreamSchema,
} from '../../../runtime/generated/dapr/proto/internals/v1/service_invocation_pb.ts';
import { createGrpcServer } from '../../../runtime/grpc/server.ts';
import { createGrpcClientPool } from '../../../runtime/grpc-client/client.ts';
import { createPeers } from '../../../runtime/peer/peer-client.ts';
import { createPeerService } from '../../../runtime/peer/peer-server.ts';
import { systemClock } from '../../../runtime/platform/system-clock.ts';
import {
  callContext,
  invokeRequest,
  invokeResponse,
  partsBody,
  textOf,
  wholeBody,
} from '../../support/invocations.ts';
import { recordingLogger } from '../../support/recording-logger.ts';

type Local = InvokeBlock['invokeLocal'];
const metrics = { count: () => {}, observe: () => {}, gauge: () => {} };
const span = callContext().span;
const PATH = '/dapr.proto.internals.v1.ServiceInvocation/CallLocalStream';

async function open(
  t: Test,
  invokeLocal: Local,
  change: (service: GrpcService) => GrpcService = (service) => service,
) {
  const clock = systemClock();
  const log = recordingLogger();
  const server = createGrpcServer({
    addresses: ['127.0.0.1'],
    port: 0,
    maxMessageBytes: 1 << 20,
    protocol: 'internal',
    clock,
    log,
    metrics,
    services: [change(createPeerService({ invoke: { invokeLocal } }))],
    tracer: { enabled: false, start: () => span },
  });
  const address = `127.0.0.1:${await server.listen()}`;
  const clients = createGrpcClientPool({ clock });
  const peers = createPeers({ clients, log });
  t.teardown(async () => {
    await peers.close();
    await server.close(0);
  });
  return { peers, address, clients };
}

t.test('the method and the metadata of a gRPC caller are known as such on the far side', async (t) => {
  const seen: InvokeRequest[] = [];
  const { peers, address } = await open(t, async (request) => {
    seen.push(request);
    return invokeResponse({ status: 0, body: wholeBody('') });
  });
  const request = { method: 'a%20b/c%20d', plainMethod: '/a%20b/c d', verb: '', query: '' };
  const grpc = { ...callContext(), protocol: 'grpc' } as const;
  await peers.call(address, 'callee', invokeRequest({ ...request, headers: [['accept', 'a']] }), grpc);
  t.match(seen[0], { method: 'a%20b/c%20d', plainMethod: '/a%20b/c d' });
  const { plainMethod: _, ...overHttp } = request;
  await peers.call(
    address,
    'callee',
    invokeRequest({ ...overHttp, verb: 'GET', headers: [] }),
    callContext(),
  );
  t.match(seen[1], { method: 'a%20b/c%20d', plainMethod: undefined });
});

t.test('a short invocation and its answer', async (t) => {
  const seen: { request: InvokeRequest; caller: object }[] = [];
  const { peers, address } = await open(t, async (request, caller) => {
    seen.push({ request, caller });
    return invokeResponse({
      status: 418,
      headers: [
        ['X-A', '1'],
        ['X-A', '2'],
      ],
      contentType: 'text/tea',
      body: wholeBody('short'),
    });
  });
  const headers = [
    ['x-multi', 'a'],
    ['X-Multi', 'b'],
    ['X-Uml', Buffer.from('ä').toString('latin1')],
    ['dapr-caller-app-id', 'me'],
    ['dapr-caller-namespace', 'ns'],
  ] as const;
  const response = await peers.call(
    address,
    'callee',
    invokeRequest({
      method: 'a%20b/%25',
      verb: 'PUT',
      query: 'q=%20',
      headers,
      contentType: 'text/plain',
      body: wholeBody('body'),
    }),
    callContext(),
  );
  t.match(seen, [
    {
      request: { method: 'a%20b/%25', verb: 'PUT', query: 'q=%20', contentType: 'text/plain' },
      caller: { appId: 'me', namespace: 'ns' },
    },
  ]);
  const arrived = seen[0]?.request;
  t.equal(Buffer.from(arrived?.body.bytes ?? []).toString(), 'body', 'a short body arrives whole');
  t.same(
    arrived?.headers.filter(([name]) => /^x-/i.test(name)),
    [
      ['X-Multi', 'a'],
      ['X-Multi', 'b'],
      ['X-Uml', headers[2][1]],
    ],
  );
  t.match(response, {
    status: 418,
    grpc: false,
    headers: [
      ['X-A', '1'],
      ['X-A', '2'],
    ],
    contentType: 'text/tea',
  });
  t.equal(Buffer.from(response.body.bytes ?? []).toString(), 'short', 'a short answer is handed out whole');
});

t.test('a verb that was not given stays so', async (t) => {
  const verbs: string[] = [];
  const { peers, address } = await open(t, async ({ verb }) => {
    verbs.push(verb);
    return invokeResponse();
  });
  for (const verb of ['', 'NONE', 'PATCH', 'PURGE'])
    await peers.call(address, 'callee', invokeRequest({ verb }), callContext());
  t.same(verbs, ['', 'NONE', 'PATCH', 'POST']);
});

t.test('large bodies pass in pieces, whole or streamed', async (t) => {
  const { peers, address } = await open(t, async (request) => {
    const text = await textOf(request.body);
    return invokeResponse({ body: partsBody(text.slice(0, 100_000), text.slice(100_000)) });
  });
  const large = 'abcdefgh'.repeat(40_000);
  const whole = await peers.call(
    address,
    'x',
    invokeRequest({ verb: 'POST', body: wholeBody(large) }),
    callContext(),
  );
  t.equal(await textOf(whole.body), large);
  const streamed = await peers.call(
    address,
    'x',
    invokeRequest({ verb: 'POST', body: partsBody(large, 'tail') }),
    callContext(),
  );
  t.equal(await textOf(streamed.body), `${large}tail`);
});

t.test('the head of an answer is there before its body', async (t) => {
  let more: (text: string) => void = () => {};
  const slow = {
    async *stream() {
      yield Buffer.from('one');
      yield Buffer.from(
        await new Promise<string>((resolve) => {
          more = resolve;
        }),
      );
    },
  };
  const { peers, address } = await open(t, async () =>
    invokeResponse({ contentType: 'text/event-stream', body: slow }),
  );
  const response = await peers.call(address, 'x', invokeRequest(), callContext());
  t.equal(response.contentType, 'text/event-stream');
  const reader = response.body.stream()[Symbol.asyncIterator]();
  t.equal(Buffer.from((await reader.next()).value ?? []).toString(), 'one');
  more('two');
  t.equal(Buffer.from((await reader.next()).value ?? []).toString(), 'two');
  t.equal((await reader.next()).done, true);
});

t.test('failures of the callee, of the upload and of the connection', async (t) => {
  const { peers, address } = await open(t, async (request) => {
    await textOf(request.body);
    throw new PeerError(7, 'denied');
  });
  await t.rejects(peers.call(address, 'x', invokeRequest(), callContext()), {
    name: 'PeerError',
    grpcCode: 7,
    message: 'denied',
  });
  const broken = {
    async *stream(): AsyncGenerator<Uint8Array> {
      yield Buffer.from('a');
      throw new Error('stream too large');
    },
  };
  await t.rejects(peers.call(address, 'x', invokeRequest({ verb: 'POST', body: broken }), callContext()), {
    message: 'stream too large',
  });
  await t.rejects(peers.call('127.0.0.1:1', 'x', invokeRequest(), callContext()), {
    name: 'PeerUnavailableError',
  });
  const abort = new AbortController();
  const waiting = await open(t, () => new Promise(() => setImmediate(() => abort.abort(new Error('gone')))));
  await t.rejects(waiting.peers.call(waiting.address, 'x', invokeRequest(), callContext({}, abort.signal)), {
    message: 'gone',
  });
});

t.test('an answer of a gRPC app keeps code, message and trailers', async (t) => {
  const { peers, address } = await open(t, async () =>
    invokeResponse({ status: 5, grpc: true, message: 'not here', trailers: [['x-trailer', '1']] }),
  );
  t.match(await peers.call(address, 'x', invokeRequest(), callContext()), {
    status: 5,
    grpc: true,
    message: 'not here',
    trailers: [['x-trailer', '1']],
  });
});

t.test('an older callee without the stream is called in one message', async (t) => {
  const old = (service: GrpcService): GrpcService => {
    const { CallLocal } = service.methods;
    return { name: service.name, methods: CallLocal === undefined ? {} : { CallLocal } };
  };
  const { peers, address } = await open(t, async (request) => invokeResponse({ body: request.body }), old);
  const response = await peers.call(
    address,
    'x',
    invokeRequest({ verb: 'POST', body: wholeBody('again') }),
    callContext(),
  );
  t.equal(await textOf(response.body), 'again');
  await t.rejects(
    peers.call(address, 'x', invokeRequest({ verb: 'POST', body: partsBody('once') }), callContext()),
    { message: /does not support streaming/ },
  );
});

t.test('chunks as Dapr sends them, and chunks it would refuse', async (t) => {
  const { clients, address } = await open(t, async (request) =>
    invokeResponse({ body: wholeBody(await textOf(request.body)) }),
  );
  const encode = (init: MessageInitShape<typeof InternalInvokeRequestStreamSchema>) =>
    toBinary(InternalInvokeRequestStreamSchema, create(InternalInvokeRequestStreamSchema, init));
  const head = {
    ver: APIVersion.V1,
    metadata: { 'X-A': { values: ['1'] } },
    message: { method: 'm', httpExtension: { verb: HTTPExtension_Verb.POST } },
  };
  const exchange = async (...chunks: Uint8Array[]) => {
    const stream = await clients.client(address).bidi(PATH);
    for (const chunk of chunks) await stream.send(chunk);
    stream.end();
    let text = '';
    for await (const message of stream.messages)
      text += Buffer.from(
        fromBinary(InternalInvokeResponseStreamSchema, message).payload?.data ?? [],
      ).toString();
    return text;
  };
  const data = (text: string, seq: number) =>
    encode({ payload: { data: Buffer.from(text), seq: BigInt(seq) } });
  t.equal(
    await exchange(encode({ request: head }), data('a', 0), data('b', 1)),
    'ab',
    'the payload may begin in the second message',
  );
  t.equal(
    await exchange(encode({ request: head, payload: { data: Buffer.from('a'), seq: 0n } }), data('b', 1)),
    'ab',
  );
  await t.rejects(
    exchange(encode({ request: head }), data('a', 0), data('b', 2)),
    GrpcStatusError,
    'a gap in the sequence',
  );
  await t.rejects(exchange(data('a', 0)), { code: 3, message: /required fields in the leading chunk/ });
});

t.test('a GET whose end comes after its head has no body', async (t) => {
  let body: Body | undefined;
  const { clients, address } = await open(t, async (request) => {
    body = request.body;
    return invokeResponse();
  });
  const stream = await clients.client(address).bidi(PATH);
  const request = {
    ver: APIVersion.V1,
    metadata: { 'X-A': { values: ['1'] } },
    message: { method: 'm', httpExtension: { verb: HTTPExtension_Verb.GET } },
  };
  await stream.send(
    toBinary(InternalInvokeRequestStreamSchema, create(InternalInvokeRequestStreamSchema, { request })),
  );
  for (let turn = 0; turn < 20; turn += 1) await new Promise((resolve) => setImmediate(resolve));
  stream.end();
  for await (const _message of stream.messages);
  t.equal(body?.length, 0, 'so that the app sees no chunked request');
  t.equal(body?.bytes, undefined, 'but it is not sent again when the app breaks off');
});
