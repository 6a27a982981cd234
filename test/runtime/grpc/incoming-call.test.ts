import { once } from 'node:events';
import { connect as connectTcp } from 'node:net';
import { gunzipSync, gzipSync } from 'node:zlib';
import t from 'tap';
import { encodeFrame } from '../../../runtime/contracts/grpc-wire/frame.ts';
import {
  type GrpcService,
  serverStreamMethod,
  unaryMethod,
} from '../../../runtime/contracts/grpc-wire/service.ts';
import { GrpcStatusError } from '../../../runtime/contracts/grpc-wire/status.ts';
import { BYTES, bareRequest, startServer, unaryCall } from '../../support/grpc-harness.ts';
import { seededRandom } from '../../support/seeded-random.ts';

const text = (value: string): Uint8Array => Buffer.from(value);

function service(overrides: GrpcService['methods'] = {}): GrpcService {
  return {
    name: 'test.Echo',
    methods: { Unary: unaryMethod(BYTES, BYTES, async (message) => message), ...overrides },
  };
}

/** A request of the echo method, as no gRPC client would make it. */
const bare: typeof bareRequest = (port, fields, body, end) =>
  bareRequest(port, { ':path': '/test.Echo/Unary', ...fields }, body, end);

t.test(
  'answers to compressed requests are compressed, unless the client says that it takes none',
  async (t) => {
    const words = {
      Words: serverStreamMethod(BYTES, BYTES, async function* () {
        yield text('one');
        yield text('two');
      }),
      Fail: unaryMethod(BYTES, BYTES, async () => {
        throw new GrpcStatusError(5, 'no');
      }),
    };
    const { port } = await startServer(t, [service(words)]);
    const send = (fields: Record<string, string>) =>
      bare(port, { 'grpc-encoding': 'gzip', ...fields }, [encodeFrame(gzipSync('hello'), true)]);
    const whole = await send({});
    t.equal(whole.headers['grpc-encoding'], 'gzip');
    t.equal(whole.body[0], 1);
    t.equal(gunzipSync(whole.body.subarray(5)).toString(), 'hello');
    t.equal(whole.trailers['grpc-status'], '0');
    const { body } = await send({ ':path': '/test.Echo/Words', 'grpc-accept-encoding': 'identity, gzip' });
    const first = body.readUInt32BE(1);
    t.equal(gunzipSync(body.subarray(5, 5 + first)).toString(), 'one');
    t.equal(gunzipSync(body.subarray(10 + first)).toString(), 'two');
    const plain = await send({ 'grpc-accept-encoding': 'identity' });
    t.equal(plain.headers['grpc-encoding'], undefined);
    t.equal(plain.body.subarray(5).toString(), 'hello');
    const failed = await send({ ':path': '/test.Echo/Fail' });
    t.match(failed.headers, { 'grpc-status': '5', 'grpc-encoding': undefined });
  },
);

t.test('compressed requests', async (t) => {
  const { port } = await startServer(t, [service()], { maxMessageBytes: 1000 });
  const send = (message: Uint8Array, encoding: Record<string, string>) =>
    bare(port, encoding, [encodeFrame(message, true)]);
  t.match(
    (await send(gzipSync(Buffer.alloc(5000)), { 'grpc-encoding': 'gzip' })).headers,
    { 'grpc-status': '8' },
    'a bomb',
  );
  t.match((await send(text('no gzip'), { 'grpc-encoding': 'gzip' })).headers, { 'grpc-status': '13' });
  t.match((await send(gzipSync('x'), {})).headers, { 'grpc-status': '13' }, 'no encoding was named');
  t.match((await send(gzipSync('x'), { 'grpc-encoding': 'snappy' })).headers, {
    'grpc-status': '12',
    'grpc-message': 'grpc: Decompressor is not installed for grpc-encoding "snappy"',
  });
});

t.test('an unknown encoding is refused before it is used', async (t) => {
  const { port } = await startServer(t, [service()]);
  const { headers } = await bare(port, { 'grpc-encoding': 'deflate' }, [encodeFrame(text('x'))]);
  t.match(headers, {
    'grpc-status': '12',
    'grpc-message': 'grpc: Decompressor is not installed for grpc-encoding "deflate"',
  });
});

t.test('requests that break the protocol get a status', async (t) => {
  const { port } = await startServer(t, [service()]);
  const frame = encodeFrame(text('x'));
  const none = (await bare(port, {}, [])).headers;
  t.match(none, { 'grpc-status': '2', 'grpc-message': 'EOF' }, 'no message');
  t.notHas(none, { 'grpc-trace-bin': String }, 'what is no request is not traced');
  t.match((await bare(port, {}, [frame, frame])).trailers, { 'grpc-status': '0' }, 'the first of two counts');
  t.match(
    (await bare(port, {}, [frame], false)).trailers,
    { 'grpc-status': '0' },
    'nor is an end waited for',
  );
  t.match((await bare(port, {}, [frame.subarray(0, 5)])).headers, { 'grpc-status': '13' }, 'a cut message');
  t.match(
    (await bare(port, {}, [Buffer.from('ffffffffff', 'hex')])).headers,
    { 'grpc-status': '13' },
    'a bad flag',
  );
  t.match(
    (await bare(port, {}, [Buffer.from('00ffffffff', 'hex')], false)).headers,
    { 'grpc-status': '8' },
    'a lying length',
  );
  t.match((await bare(port, { 'content-type': 'text/plain' }, [])).headers, {
    ':status': 415,
    'grpc-status': '3',
  });
  t.match((await bare(port, { ':method': 'PUT' }, [])).headers, { ':status': 405 });
  t.match((await bare(port, { ':path': '/nothing' }, [])).headers, { 'grpc-status': '12' });
  t.match((await bare(port, { 'grpc-timeout': 'soon' }, [frame])).headers, {
    'grpc-status': '13',
    'grpc-message': 'malformed grpc-timeout: strconv.ParseUint: parsing "soo": invalid syntax',
  });
  t.match((await bare(port, {}, [frame])).trailers, { 'grpc-status': '0' }, 'and a good one is served');
});

t.test('seeded garbage does not bring the server down', async (t) => {
  const { port, client } = await startServer(t, [service()]);
  const random = seededRandom(3);
  for (let round = 0; round < 12; round += 1) {
    const socket = connectTcp(port, '127.0.0.1');
    socket.on('error', () => {});
    await once(socket, 'connect');
    const preface = round % 2 === 0 ? Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n') : Buffer.alloc(0);
    socket.end(Buffer.concat([preface, random.bytes(200)]));
    socket.resume();
    await once(socket, 'close');
  }
  t.match(await unaryCall(client, '/test.Echo/Unary', text('alive')), { code: 0 });
});

t.test('message size limits', async (t) => {
  const { client } = await startServer(
    t,
    [service({ Big: unaryMethod(BYTES, BYTES, async () => Buffer.alloc(1001)) })],
    { maxMessageBytes: 1000 },
  );
  t.match(await unaryCall(client, '/test.Echo/Unary', Buffer.alloc(1000)), { code: 0 });
  t.match(await unaryCall(client, '/test.Echo/Unary', Buffer.alloc(200_000)), {
    code: 8,
    text: 'grpc: received message larger than max (200000 vs. 1000)',
  });
  t.match(await unaryCall(client, '/test.Echo/Big', text('')), {
    code: 8,
    text: 'trying to send message larger than max (1001 vs. 1000)',
  });
  t.match(await unaryCall(client, '/test.Echo/Unary', text('fine')), { code: 0 }, 'the connection lives on');
});
