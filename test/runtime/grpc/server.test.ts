import { type ClientHttp2Session, connect } from 'node:http2';
import { join } from 'node:path';
import t from 'tap';
import { runtimeError } from '../../../runtime/contracts/error.ts';
import { encodeFrame } from '../../../runtime/contracts/grpc-wire/frame.ts';
import {
  bidiMethod,
  clientStreamMethod,
  type GrpcCall,
  type GrpcService,
  serverStreamMethod,
  unaryMethod,
} from '../../../runtime/contracts/grpc-wire/service.ts';
import { fakeClock } from '../../support/fake-clock.ts';
import { BYTES, bareRequest, openStream, startServer, unaryCall } from '../../support/grpc-harness.ts';

const text = (value: string): Uint8Array => Buffer.from(value);
const shown = (bytes: Uint8Array | undefined): string => Buffer.from(bytes ?? []).toString();

function service(overrides: GrpcService['methods'] = {}): GrpcService {
  return {
    name: 'test.Echo',
    methods: {
      Unary: unaryMethod(BYTES, BYTES, async (message) => message),
      Sum: clientStreamMethod(BYTES, BYTES, async (messages) => {
        let size = 0;
        for await (const message of messages) size += message.byteLength;
        return text(String(size));
      }),
      Repeat: serverStreamMethod(BYTES, BYTES, async function* (message) {
        for (let n = 0; n < 50; n += 1) yield message;
      }),
      Both: bidiMethod(BYTES, BYTES, async function* (messages) {
        for await (const message of messages) yield message;
      }),
      ...overrides,
    },
  };
}

t.test('the four kinds of methods', async (t) => {
  const { client } = await startServer(t, [service()]);
  t.match(await unaryCall(client, '/test.Echo/Unary', text('hello')), { code: 0, message: text('hello') });
  t.match(await unaryCall(client, '/test.Echo/Unary', text('')), { code: 0 }, 'an empty message');

  const sum = openStream(client, '/test.Echo/Sum');
  for (let n = 0; n < 40; n += 1) sum.call.write(Buffer.alloc(50_000));
  sum.call.end();
  t.equal(shown(await sum.next()), '2000000', 'more than a flow-control window');

  const repeat = openStream(client, '/test.Echo/Repeat');
  repeat.call.end(text('again'));
  for (let n = 0; n < 50; n += 1) t.equal(shown(await repeat.next()), 'again');
  t.same(await repeat.status, { code: 0, text: '' });

  const both = openStream(client, '/test.Echo/Both');
  for (const word of ['a', 'b', 'c']) {
    both.call.write(text(word));
    t.equal(shown(await both.next()), word);
  }
  both.call.end();
  t.same(await both.status, { code: 0, text: '' });
});

t.test('what a handler throws becomes the status', async (t) => {
  const failing = (error: unknown): ReturnType<typeof unaryMethod<Uint8Array, Uint8Array>> =>
    unaryMethod(BYTES, BYTES, () => Promise.reject(error));
  const { client, log } = await startServer(t, [
    service({
      Row: failing(runtimeError('secretStoreNotFound', { store: 's' })),
      Bug: failing(new TypeError('secret text')),
      Late: serverStreamMethod(BYTES, BYTES, async function* () {
        yield text('one');
        throw runtimeError('unknown', { error: 'ünlucky' });
      }),
    }),
  ]);
  t.match(await unaryCall(client, '/test.Echo/Row', text('')), {
    code: 3,
    text: 'failed finding secret store with key s',
  });
  t.match(await unaryCall(client, '/test.Echo/Bug', text('')), { code: 13, text: 'internal error' });
  t.match(
    log.lines.find(({ level }) => level === 'error')?.fields,
    { error: { message: 'secret text' } },
    'the cause is in the log',
  );
  const late = openStream(client, '/test.Echo/Late');
  late.call.end(text(''));
  t.equal(shown(await late.next()), 'one');
  t.same(await late.status, { code: 2, text: 'ünlucky' });
});

t.test('headers, trailers and incoming metadata', async (t) => {
  let seen: GrpcCall | undefined;
  let peer = '';
  const { client } = await startServer(t, [
    service({
      Meta: unaryMethod(BYTES, BYTES, async (message, call) => {
        seen = call;
        peer = call.peer;
        call.addHeaders([
          ['x-head', '1'],
          ['x-head', '2'],
          ['b-bin', 'AAE'],
        ]);
        call.addTrailers([['x-tail', '3']]);
        return message;
      }),
    }),
  ]);
  const answer = await unaryCall(client, '/test.Echo/Meta', text('x'), {
    metadata: { 'x-in': 'yes', 'i-bin': Buffer.from([1]) },
  });
  t.same(answer.headers?.get('x-head').join(', '), '1, 2');
  t.same(answer.headers?.get('b-bin'), [Buffer.from([0, 1])]);
  t.same(answer.trailers.get('x-tail'), ['3']);
  t.match(
    new Map(seen?.metadata),
    new Map([
      ['x-in', 'yes'],
      ['i-bin', 'AQ=='],
      ['content-type', 'application/grpc'],
    ]),
  );
  t.match(peer, /^127\.0\.0\.1:\d+$/);
});

t.test('unknown methods and services', async (t) => {
  const { client } = await startServer(t, [service()]);
  t.match(await unaryCall(client, '/test.Echo/Nope', text('')), {
    code: 12,
    text: 'unknown method Nope for service test.Echo',
  });
  t.match(await unaryCall(client, '/no.Such/Thing', text('')), { code: 12 });
});

t.test('a deadline aborts the handler and answers', async (t) => {
  let reason: unknown;
  const clock = fakeClock();
  const entered = Promise.withResolvers<void>();
  const { port } = await startServer(
    t,
    [
      service({
        Slow: unaryMethod(
          BYTES,
          BYTES,
          (message, call) =>
            new Promise((resolve) => {
              entered.resolve();
              call.signal.addEventListener('abort', () => {
                reason = call.signal.reason;
                resolve(message);
              });
            }),
        ),
      }),
    ],
    { clock },
  );
  const answer = bareRequest(port, { ':path': '/test.Echo/Slow', 'grpc-timeout': '250m' }, [
    encodeFrame(text('')),
  ]);
  await entered.promise;
  await clock.advance(249);
  t.equal(reason, undefined);
  await clock.advance(1);
  t.match((await answer).headers, { 'grpc-status': '4', 'grpc-message': 'context deadline exceeded' });
  t.match(reason ?? {}, { code: 4 });
});

t.test('a client that goes away cancels its call', async (t) => {
  const gone = Promise.withResolvers<unknown>();
  const ended = Promise.withResolvers<string>();
  const { client } = await startServer(t, [
    service({
      Wait: bidiMethod(BYTES, BYTES, async function* (messages, call) {
        call.signal.addEventListener('abort', () => gone.resolve(call.signal.reason));
        try {
          for await (const message of messages) yield message;
        } catch (error) {
          ended.resolve((error as Error).message);
          throw error;
        }
      }),
    }),
  ]);
  const stream = openStream(client, '/test.Echo/Wait');
  stream.call.write(text('x'));
  await stream.next();
  stream.call.cancel();
  t.match(await gone.promise, { code: 1, message: 'context canceled' });
  t.equal(await ended.promise, 'context canceled', 'a reader of requests sees it too');
});

t.test('a slow reader holds the sender back', async (t) => {
  let sent = 0;
  const { client } = await startServer(t, [
    service({
      Flood: serverStreamMethod(BYTES, BYTES, async function* (_message, call) {
        while (!call.signal.aborted) {
          sent += 1;
          yield Buffer.alloc(100_000);
        }
      }),
    }),
  ]);
  const stream = openStream(client, '/test.Echo/Flood');
  stream.call.end(text(''));
  await stream.next();
  stream.call.pause();
  let before = -1;
  // Standing still for some turns of the event loop means that the sender waits.
  for (let still = 0; still < 50; still = sent === before ? still + 1 : 0) {
    before = sent;
    await new Promise((resolve) => setImmediate(resolve));
  }
  t.ok(sent < 500, `${sent} messages of 100 kB are on their way`);
  stream.call.cancel();
});

t.test('the token is checked and taken away', async (t) => {
  let seen: unknown;
  const guarded = service({
    Look: unaryMethod(BYTES, BYTES, async (message, call) => {
      seen = call.metadata.find(([name]) => name === 'dapr-api-token');
      return message;
    }),
  });
  const { client } = await startServer(t, [guarded], { apiToken: 'sesame' });
  t.match(await unaryCall(client, '/test.Echo/Look', text('')), { code: 16, text: 'Unauthorized' });
  t.match(await unaryCall(client, '/test.Echo/Look', text(''), { metadata: { 'dapr-api-token': 'no' } }), {
    code: 16,
  });
  t.match(
    await unaryCall(client, '/test.Echo/Look', text(''), { metadata: { 'dapr-api-token': 'sesame' } }),
    { code: 0 },
  );
  t.equal(seen, undefined);
});

t.test('metrics, span and API log of a call', async (t) => {
  const lines: unknown[] = [];
  const apiLog = { info: (message: string, fields: unknown) => void lines.push([message, fields]) };
  const { client, metrics } = await startServer(t, [service()], {
    apiLog: apiLog as never,
    recordErrorCodes: true,
  });
  await unaryCall(client, '/test.Echo/Unary', text('hello'));
  const labels = { grpc_server_method: '/test.Echo/Unary' };
  t.same(
    metrics.filter(({ name }) => name !== 'grpc_io_server_server_latency'),
    [
      {
        kind: 'count',
        name: 'grpc_io_server_completed_rpcs',
        labels: { ...labels, grpc_server_status: 'OK' },
        value: 1,
      },
      { kind: 'observe', name: 'grpc_io_server_received_bytes_per_rpc', labels, value: 5 },
      { kind: 'observe', name: 'grpc_io_server_sent_bytes_per_rpc', labels, value: 5 },
    ],
  );
  t.match(lines, [['gRPC API Called', { method: '/test.Echo/Unary', useragent: /^grpc-node-js/, code: 0 }]]);
});

t.test('codes of errors are counted where errors have one', async (t) => {
  const refusing = async (key: 'unknown' | 'actorNoPlacement') => {
    const unknownMethod = async () => {
      throw runtimeError(key, { error: 'no' });
    };
    const { client, metrics } = await startServer(t, [], { recordErrorCodes: true, unknownMethod });
    await unaryCall(client, '/test.Echo/Unary', text(''));
    return metrics
      .filter(({ name }) => name === 'error_code_total')
      .map(({ labels }) => labels['error_code']);
  };
  t.same(await refusing('actorNoPlacement'), ['ERR_ACTOR_NO_PLACEMENT']);
  t.same(await refusing('unknown'), []);
});

t.test('the trace comes in and goes back', async (t) => {
  const { client } = await startServer(t, [service()]);
  const traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
  const binary = '00000af7651916cd43dd8448eb211c80319c01b7ad6b71692033310201';
  const answer = await unaryCall(client, '/test.Echo/Unary', text(''), {
    metadata: { traceparent, baggage: 'a=b' },
  });
  t.same(answer.headers?.get('grpc-trace-bin'), [Buffer.from(binary, 'hex')]);
  t.same(answer.headers?.get('baggage'), ['a=b']);
});

t.test('a Unix socket', async (t) => {
  const { client } = await startServer(t, [service()], { unixSocket: join(t.testdir({}), 'g.sock') });
  t.match(await unaryCall(client, '/test.Echo/Unary', text('x')), { code: 0 });
});

t.test('addresses that do not work are told; none at all is an error', async (t) => {
  const { port, log } = await startServer(t, [service()], { addresses: ['203.0.113.1', '127.0.0.1'] });
  t.ok(port > 0);
  t.match(
    log.lines.filter(({ level }) => level === 'error'),
    [{ message: /203\.0\.113\.1/ }],
  );
  await t.rejects(startServer(t, [], { addresses: ['203.0.113.1'] }), {
    message: 'could not listen on any endpoint',
  });
});

t.test('closing waits for calls in progress and refuses new ones', async (t) => {
  const entered = Promise.withResolvers<void>();
  const go = Promise.withResolvers<void>();
  const { server, client } = await startServer(t, [
    service({
      Hold: unaryMethod(BYTES, BYTES, async (message) => {
        entered.resolve();
        await go.promise;
        return message;
      }),
    }),
  ]);
  const held = unaryCall(client, '/test.Echo/Hold', text('kept'));
  await entered.promise;
  const closed = server.close(60_000);
  go.resolve();
  t.match(await held, { code: 0, message: text('kept') });
  await closed;
  t.match(await unaryCall(client, '/test.Echo/Unary', text('')), { code: 14 });
});

t.test('closing gives up after the grace period', async (t) => {
  const clock = fakeClock();
  const entered = Promise.withResolvers<void>();
  const { server, client } = await startServer(
    t,
    [
      service({
        Hang: unaryMethod(BYTES, BYTES, () => {
          entered.resolve();
          return new Promise(() => {});
        }),
      }),
    ],
    { clock },
  );
  const hung = unaryCall(client, '/test.Echo/Hang', text(''));
  await entered.promise;
  const closed = server.close(5000);
  await clock.advance(5000);
  await closed;
  t.match(await hung, { code: 14 });
  t.equal(server.calls, 0);
});

t.test('a connection too many is told so', async (t) => {
  const service = { name: 'a.B', methods: { C: unaryMethod(BYTES, BYTES, async (message) => message) } };
  const { port } = await startServer(t, [service], { maxConnections: 1 });
  const status = (session: ClientHttp2Session): Promise<unknown> =>
    new Promise((resolve) => {
      const note = (head: Record<string, unknown>): void => {
        if (head['grpc-status'] !== undefined) resolve(head['grpc-status']);
      };
      const stream = session.request({
        ':method': 'POST',
        ':path': '/a.B/C',
        'content-type': 'application/grpc',
        te: 'trailers',
      });
      stream.on('response', note).on('trailers', note).resume();
      stream.end(encodeFrame(Buffer.from('x')));
    });
  const [first, second] = [connect(`http://127.0.0.1:${port}`), connect(`http://127.0.0.1:${port}`)];
  t.teardown(() => first.destroy());
  t.teardown(() => second.destroy());
  t.equal(await status(first), '0');
  t.equal(await status(second), '8');
});
