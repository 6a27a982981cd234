import { once } from 'node:events';
import { createServer, type ServerHttp2Session, type ServerHttp2Stream } from 'node:http2';
import { type AddressInfo, createServer as createTcpServer, type Server } from 'node:net';
import * as grpc from '@grpc/grpc-js';
import t from 'tap';
import { runtimeError } from '../../../runtime/contracts/error.ts';
import { encodeFrame } from '../../../runtime/contracts/grpc-wire/frame.ts';
import { callUnary, createGrpcClientPool } from '../../../runtime/grpc-client/client.ts';
import { systemClock } from '../../../runtime/platform/system-clock.ts';
import { type FakeClock, fakeClock } from '../../support/fake-clock.ts';
import { clientOf, handmade } from '../../support/grpc-client-rig.ts';
import { BYTES } from '../../support/grpc-harness.ts';

interface Test {
  teardown(run: () => unknown): void;
}
const text = (value: string): Buffer => Buffer.from(value);

const definition = (path: string, requestStream: boolean, responseStream: boolean) => ({
  path,
  requestStream,
  responseStream,
  requestSerialize: (b: Buffer) => b,
  requestDeserialize: (b: Buffer) => b,
  responseSerialize: (b: Buffer) => b,
  responseDeserialize: (b: Buffer) => b,
});

/** A server of the reference implementation. */
async function reference(t: Test): Promise<string> {
  const server = new grpc.Server();
  server.addService(
    {
      Unary: definition('/a.B/Unary', false, false),
      Fail: definition('/a.B/Fail', false, false),
      Hang: definition('/a.B/Hang', false, false),
      Many: definition('/a.B/Many', false, true),
      Both: definition('/a.B/Both', true, true),
    },
    {
      Unary: (call: grpc.ServerUnaryCall<Buffer, Buffer>, callback: grpc.sendUnaryData<Buffer>) => {
        const headers = new grpc.Metadata();
        headers.set('x-seen', call.metadata.get('x-in').join(','));
        headers.set('h-bin', Buffer.from([0, 1]));
        call.sendMetadata(headers);
        const trailers = new grpc.Metadata();
        trailers.set('x-tail', String(call.getDeadline() !== Number.POSITIVE_INFINITY));
        callback(null, call.request, trailers);
      },
      Fail: (_call: unknown, callback: grpc.sendUnaryData<Buffer>) => {
        const metadata = new grpc.Metadata();
        metadata.set('x-why', 'because');
        callback({ code: 9, details: 'nö', metadata });
      },
      Hang: () => {},
      Many: (call: grpc.ServerWritableStream<Buffer, Buffer>) => {
        for (let n = 0; n < 30; n += 1) call.write(Buffer.alloc(40_000, n));
        call.end();
      },
      Both: (call: grpc.ServerDuplexStream<Buffer, Buffer>) => {
        call.on('data', (message: Buffer) => call.write(message));
        call.on('end', () => call.end());
      },
    },
  );
  const port = await new Promise<number>((resolve, reject) =>
    server.bindAsync('127.0.0.1:0', grpc.ServerCredentials.createInsecure(), (error, bound) =>
      error === null ? resolve(bound) : reject(error),
    ),
  );
  t.teardown(() => server.forceShutdown());
  return `127.0.0.1:${port}`;
}

const ok = (stream: ServerHttp2Stream): void => {
  stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true });
  stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }));
  stream.resume();
  stream.end(encodeFrame(text('fine')));
};

t.test('unary, with metadata both ways', async (t) => {
  const client = clientOf(t, await reference(t));
  const answer = await client.unary('/a.B/Unary', text('hi'), {
    metadata: [
      ['X-In', 'a'],
      ['x-in', 'b'],
    ],
    timeoutMs: 5000,
  });
  t.equal(Buffer.from(answer.message).toString(), 'hi');
  t.match(
    new Map(answer.headers),
    new Map([
      ['x-seen', 'a, b'],
      ['h-bin', 'AAE='],
    ]),
  );
  t.match(answer.trailers, [['x-tail', 'true']], 'the deadline arrived');
  const decoded = await callUnary(
    client,
    { path: '/a.B/Unary', request: BYTES, response: BYTES },
    text('coded'),
  );
  t.equal(Buffer.from(decoded.message).toString(), 'coded');
});

t.test('a failed call has code, text and trailers', async (t) => {
  const client = clientOf(t, await reference(t));
  await t.rejects(client.unary('/a.B/Fail', text('')), {
    name: 'GrpcStatusError',
    code: 9,
    message: 'nö',
    trailers: [['x-why', 'because']],
  });
  await t.rejects(client.unary('/a.B/Nope', text('')), { code: 12 });
});

t.test('streams', async (t) => {
  const client = clientOf(t, await reference(t));
  const many = await client.serverStream('/a.B/Many', text(''));
  let size = 0;
  for await (const message of many.messages) size += message.byteLength;
  t.equal(size, 1_200_000);

  const sent = ['a', 'b', 'c'];
  const both = await client.bidi(
    '/a.B/Both',
    {},
    (async function* () {
      for (const word of sent) yield text(word);
    })(),
  );
  const got: string[] = [];
  for await (const message of both.messages) got.push(Buffer.from(message).toString());
  t.same(got, sent);
});

t.test('leaving a loop early resets the stream', async (t) => {
  const reset = Promise.withResolvers<number>();
  const { target } = await handmade(t, (stream) => {
    stream.respond({ ':status': 200, 'content-type': 'application/grpc' });
    stream.write(encodeFrame(text('one')));
    stream.on('close', () => reset.resolve(stream.rstCode ?? -1));
  });
  const stream = await clientOf(t, target).serverStream('/a.B/C', text(''));
  for await (const _message of stream.messages) break;
  t.equal(await reset.promise, 8);
});

t.test('a signal and a deadline end a call', async (t) => {
  const client = clientOf(t, await reference(t));
  const controller = new AbortController();
  const hung = client.unary('/a.B/Hang', text(''), { signal: controller.signal });
  await client.connect();
  controller.abort();
  await t.rejects(hung, { code: 1 });
  await t.rejects(
    client.unary('/a.B/Hang', text(''), { signal: controller.signal }),
    { code: 1 },
    'aborted before',
  );
  const late = new AbortController();
  late.abort(runtimeError('deadlineExceeded'));
  await t.rejects(client.unary('/a.B/Hang', text(''), { signal: late.signal }), { code: 4 });
});

t.test('a deadline without an answer', async (t) => {
  const clock = fakeClock();
  const entered = Promise.withResolvers<string>();
  const { target } = await handmade(t, (stream) => stream.once('data', () => entered.resolve('')));
  const hung = clientOf(t, target, { clock }).unary('/a.B/C', text(''), { timeoutMs: 500 });
  const outcome = t.rejects(hung, { code: 4, message: 'context deadline exceeded' });
  await entered.promise;
  await clock.advance(500);
  await outcome;
});

t.test('answers that are no gRPC', async (t) => {
  const answers: ((stream: ServerHttp2Stream) => void)[] = [
    (stream) => stream.respond({ ':status': 503 }, { endStream: true }),
    (stream) => stream.respond({ ':status': 200, 'content-type': 'text/html' }, { endStream: true }),
    (stream) => stream.close(7),
    (stream) => stream.close(7),
    (stream) => {
      stream.respond({ ':status': 200, 'content-type': 'application/grpc' });
      stream.end();
    },
    (stream) => {
      stream.respond({ ':status': 200, 'content-type': 'application/grpc' });
      stream.end(Buffer.from('00ffffffff', 'hex'));
    },
    (stream) =>
      stream.respond(
        { ':status': 200, 'content-type': 'application/grpc', 'grpc-status': '0' },
        { endStream: true },
      ),
  ];
  const { target } = await handmade(t, (stream) => answers.shift()?.(stream));
  const client = clientOf(t, target);
  const call = (): Promise<unknown> => client.unary('/a.B/C', text(''));
  await t.rejects(call(), { code: 14, message: 'unexpected HTTP status code received from server: 503' });
  await t.rejects(call(), { code: 2, message: /content-type "text\/html"/ });
  await t.rejects(call(), { code: 14 }, 'a refused stream is tried twice');
  await t.rejects(call(), { code: 13, message: 'server closed the stream without sending trailers' });
  await t.rejects(call(), { code: 8 });
  await t.rejects(call(), { code: 13, message: 'the answer has no message' });
});

t.test('nobody listens: Unavailable, and the next call dials again', async (t) => {
  const probe = createTcpServer();
  probe.listen(0, '127.0.0.1');
  await once(probe, 'listening');
  const { port } = probe.address() as AddressInfo;
  probe.close();
  await once(probe, 'close');
  const client = clientOf(t, `127.0.0.1:${port}`);
  await t.rejects(client.unary('/a.B/C', text('')), { code: 14, message: /error while dialing/i });
  const server = createServer();
  server.on('stream', ok);
  server.listen(port, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(() => server.close());
  t.equal(Buffer.from((await client.unary('/a.B/C', text(''))).message).toString(), 'fine');
});

t.test('a server that accepts but never speaks meets the dial limit', async (t) => {
  const clock = fakeClock();
  const silent: Server = createTcpServer((socket) => {
    socket.on('error', () => {});
    t.teardown(() => socket.destroy());
  });
  silent.listen(0, '127.0.0.1');
  await once(silent, 'listening');
  t.teardown(() => silent.close());
  const client = clientOf(t, `127.0.0.1:${(silent.address() as AddressInfo).port}`, { clock });
  // Node calls a session connected with its socket, so the silence shows in the ping.
  const hung = client.unary('/a.B/C', text(''));
  const outcome = t.rejects(hung, { code: 14 });
  await until(() => clock.pending > 0);
  await tickUntil(clock, () => settled(hung));
  await outcome;
});

t.test('a broken connection fails its calls and is replaced', async (t) => {
  let calls = 0;
  const { target, sessions } = await handmade(t, (stream) => {
    calls += 1;
    if (calls === 1) sessions[0]?.destroy();
    else ok(stream);
  });
  const client = clientOf(t, target);
  await t.rejects(client.unary('/a.B/C', text('')), { code: 14 });
  t.equal(Buffer.from((await client.unary('/a.B/C', text(''))).message).toString(), 'fine');
  t.equal(sessions.length, 2);
});

t.test('calls share a connection; a full one is joined by another', async (t) => {
  const waiting: ServerHttp2Stream[] = [];
  const { target, sessions } = await handmade(t, (stream) => waiting.push(stream));
  const client = clientOf(t, target, { limits: { maxConcurrentCalls: 2 } });
  await client.connect();
  const calls = [1, 2, 3].map(() => client.unary('/a.B/C', text('')));
  await until(() => waiting.length === 3);
  for (const stream of waiting) ok(stream);
  await Promise.all(calls);
  t.equal(sessions.length, 2);
});

t.test('GOAWAY: the call in progress finishes, the next one gets a new connection', async (t) => {
  const first = Promise.withResolvers<ServerHttp2Stream>();
  const { target, sessions } = await handmade(t, (stream) => {
    if (sessions.length === 1) first.resolve(stream);
    else ok(stream);
  });
  const client = clientOf(t, target);
  const call = client.unary('/a.B/C', text(''));
  const stream = await first.promise;
  sessions[0]?.close();
  t.equal(Buffer.from((await client.unary('/a.B/C', text(''))).message).toString(), 'fine');
  ok(stream);
  t.equal(Buffer.from((await call).message).toString(), 'fine');
  t.equal(sessions.length, 2);
});

t.test('silence is pinged, an unanswered ping breaks the connection', async (t) => {
  const clock = fakeClock();
  const entered = Promise.withResolvers<void>();
  const { target, sessions } = await handmade(t, () => entered.resolve());
  let pings = 0;
  const client = clientOf(t, target, { clock });
  const hung = client.unary('/a.B/C', text(''));
  await entered.promise;
  sessions[0]?.on('ping', () => {
    pings += 1;
  });
  await clock.advance(10_000);
  await until(() => pings === 1);
  await until(() => clock.pending === 1, 'the answer to the ping stops its limit');
  // From now on the server is deaf.
  const socket = sessions[0]?.socket as unknown as { pause?: () => void };
  t.ok(socket !== undefined);
  sessions[0]?.destroy();
  await t.rejects(hung, { code: 14 });
});

t.test('three minutes without calls close the connection', async (t) => {
  const clock = fakeClock();
  const { target, sessions } = await handmade(t, ok);
  const client = clientOf(t, target, { clock });
  await client.unary('/a.B/C', text(''));
  const closed = once(sessions[0] as ServerHttp2Session, 'close');
  for (let passed = 0; passed <= 180_000; passed += 10_000) {
    await clock.advance(10_000);
    await new Promise((resolve) => setImmediate(resolve));
  }
  await closed;
  t.equal(
    Buffer.from((await client.unary('/a.B/C', text(''))).message).toString(),
    'fine',
    'and the next call dials',
  );
});

t.test('a pool keeps a client per target', async (t) => {
  const { target } = await handmade(t, ok);
  const pool = createGrpcClientPool({ clock: systemClock() });
  t.equal(pool.client(target), pool.client(target));
  await pool.client(target).unary('/a.B/C', text(''));
  const client = pool.client(target);
  await pool.close();
  await t.rejects(client.unary('/a.B/C', text('')), { code: 14, message: 'the client is closed' });
});

/** Lets the event loop turn until `done`; the test's own time limit ends a wait in vain. */
async function until(done: () => boolean, _what = ''): Promise<void> {
  while (!done()) await new Promise((resolve) => setImmediate(resolve));
}

async function settled(promise: Promise<unknown>): Promise<boolean> {
  const open = Symbol('open');
  const winner = await Promise.race([
    promise.catch(() => undefined),
    new Promise((resolve) => setImmediate(() => resolve(open))),
  ]);
  return winner !== open;
}

async function tickUntil(clock: FakeClock, done: () => Promise<boolean>): Promise<void> {
  while (!(await done())) await clock.advance(5000);
}
