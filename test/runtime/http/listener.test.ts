import { connect as connectHttp2 } from 'node:http2';
import { connect } from 'node:net';
import t from 'tap';
import { fakeClock } from '../../support/fake-clock.ts';
import { fakeBlocks, serve } from './fake-api.ts';

const NO_APP_ID = {
  errorCode: 'ERR_DIRECT_INVOKE',
  message: 'failed getting app id either from the URL path or the header dapr-app-id',
};

t.test('a malformed escape and an oversized head are refused as plain text', async (t) => {
  const api = await serve(t, fakeBlocks());
  const refused = await api.raw('GET /v1.0/state/s/a%zzb HTTP/1.1\r\nHost: x\r\n\r\n');
  t.match(refused, /^HTTP\/1\.1 400 Bad Request\r\n/);
  t.match(refused, /Content-Type: text\/plain; charset=utf-8\r\n/);
  t.match(refused, /\r\n\r\n400 Bad Request$/);
  t.equal((await api.call({ path: '/v1.0/metadata', headers: { 'x-fill': 'x'.repeat(7000) } })).status, 200);
  const large = await api.raw(`GET / HTTP/1.1\r\nHost: x\r\nX-Fill: ${'x'.repeat(9000)}\r\n\r\n`);
  t.match(large, /^HTTP\/1\.1 431 Request Header Fields Too Large\r\n/);
});

t.test('cleartext HTTP/2 by prior knowledge on the same port', async (t) => {
  const api = await serve(t, fakeBlocks());
  const session = connectHttp2(`http://127.0.0.1:${api.server.port}`);
  t.teardown(() => session.destroy());
  const answer = await new Promise<{ status: unknown; type: unknown; text: string }>((resolve, reject) => {
    const stream = session.request({ ':path': '/nothing', 'dapr-x': '1' });
    let text = '';
    let head: Record<string, unknown> = {};
    stream
      .on('response', (headers) => (head = headers))
      .on('data', (part) => (text += part))
      .on('error', reject);
    stream.on('end', () => resolve({ status: head[':status'], type: head['content-type'], text }));
  });
  t.equal(answer.status, 404);
  t.equal(answer.type, 'application/json');
  t.strictSame(JSON.parse(answer.text), NO_APP_ID);
});

t.test('HTTP/2 can be turned off', async (t) => {
  const api = await serve(t, fakeBlocks(), { h2c: false });
  t.match(await api.raw('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'), /^HTTP\/1\.1 400 Bad Request/);
});

t.test('Upgrade: h2c answers on stream 1, later streams follow', async (t) => {
  const api = await serve(t, fakeBlocks());
  const frame = (type: number, flags: number, stream: number, payload: Buffer): Buffer => {
    const head = Buffer.alloc(9);
    head.writeUIntBE(payload.byteLength, 0, 3);
    head[3] = type;
    head[4] = flags;
    head.writeUInt32BE(stream, 5);
    return Buffer.concat([head, payload]);
  };
  const socket = connect(api.server.port, '127.0.0.1');
  t.teardown(() => socket.destroy());
  socket.write(
    'GET /v1.0/metadata HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n\r\n',
  );
  let got = Buffer.alloc(0);
  const frames: { type: number; stream: number; payload: Buffer }[] = [];
  await new Promise<void>((resolve, reject) => {
    let switched = false;
    socket.on('error', reject).on('close', () => reject(new Error('closed')));
    socket.on('data', (part) => {
      got = Buffer.concat([got, part as Buffer]);
      if (!switched) {
        const end = got.indexOf('\r\n\r\n');
        if (end < 0) return;
        t.match(got.subarray(0, end).toString(), /^HTTP\/1\.1 101 /);
        got = got.subarray(end + 4);
        switched = true;
        // The preface arrives in two parts.
        socket.write('PRI * HTTP/2.0\r\n\r\n');
        setImmediate(() =>
          socket.write(Buffer.concat([Buffer.from('SM\r\n\r\n'), frame(4, 0, 0, Buffer.alloc(0))])),
        );
      }
      while (got.byteLength >= 9 && got.byteLength >= 9 + got.readUIntBE(0, 3)) {
        const end = 9 + got.readUIntBE(0, 3);
        frames.push({ type: got[3] ?? 0, stream: got.readUInt32BE(5), payload: got.subarray(9, end) });
        got = got.subarray(end);
      }
      if (frames.some(({ type, stream }) => type === 0 && stream === 1)) resolve();
    });
  });
  const data = frames
    .filter(({ type, stream }) => type === 0 && stream === 1)
    .map(({ payload }) => payload.toString())
    .join('');
  t.equal(JSON.parse(data).id, 'app');
});

t.test('an upgrade that is not ours is an ordinary request', async (t) => {
  const api = await serve(t, fakeBlocks());
  const answer = await api.call({
    path: '/v1.0/metadata',
    headers: { connection: 'Upgrade', upgrade: 'websocket' },
  });
  t.equal(answer.status, 200);
});

const LIMITS = { maxBodyBytes: 4 * 1024 * 1024, readBufferBytes: 4096 };

for (const { name, maxConnections, seconds } of [
  { name: 'a minute', maxConnections: 100, seconds: 60 },
  { name: 'ten seconds when connections are scarce', maxConnections: 1, seconds: 10 },
])
  t.test(`a connection that sends nothing is dropped after ${name}`, async (t) => {
    const clock = fakeClock();
    const api = await serve(t, fakeBlocks(), { clock, limits: { ...LIMITS, maxConnections } });
    const socket = connect(api.server.port, '127.0.0.1');
    let open = true;
    const closed = new Promise<void>((resolve) => socket.on('close', () => resolve()));
    void closed.then(() => {
      open = false;
    });
    await new Promise<void>((resolve) => {
      const wait = (): void => void (clock.pending > 0 ? resolve() : setImmediate(wait));
      wait();
    });
    await clock.advance(seconds * 1000 - 5000);
    for (let turn = 0; turn < 20; turn += 1) await new Promise((resolve) => setImmediate(resolve));
    t.ok(open, 'not before');
    await clock.advance(5000);
    await closed;
    t.pass('closed');
  });

t.test(
  'a connection too many is told so, over HTTP/1.1 and HTTP/2; when others are gone there is room again',
  async (t) => {
    const api = await serve(t, fakeBlocks(), { limits: { ...LIMITS, maxConnections: 1 } });
    const first = connect(api.server.port, '127.0.0.1');
    const request = 'GET /v1.0/metadata HTTP/1.1\r\nHost: x\r\n\r\n';
    await new Promise<void>((resolve) => {
      first.once('data', () => resolve());
      first.write(request);
    });
    const refused = await api.raw(request);
    t.match(refused, /^HTTP\/1\.1 429 Too Many Requests\r\n/);
    t.match(refused, /"errorCode":"ERR_OVERLOADED"/);
    t.match(refused, /Connection: close\r\n/);
    const session = connectHttp2(`http://127.0.0.1:${api.server.port}`);
    t.teardown(() => session.destroy());
    const status = await new Promise((resolve) => {
      session.request({ ':path': '/v1.0/metadata' }).on('response', (head) => resolve(head[':status']));
    });
    t.equal(status, 429);
    session.destroy();
    first.destroy();
    let served = false;
    for (let tries = 0; tries < 100 && !served; tries += 1) {
      const answer = await api.raw(`${request.slice(0, -2)}Connection: close\r\n\r\n`);
      served = answer.startsWith('HTTP/1.1 200');
    }
    t.ok(served);
  },
);

t.test('a reset HTTP/2 stream aborts its call, and a broken answer resets the stream', async (t) => {
  let aborted: (() => void) | undefined;
  const gone = new Promise<void>((resolve) => {
    aborted = resolve;
  });
  const api = await serve(
    t,
    fakeBlocks({
      invoke: {
        invoke: async (_target, { method }, call) => {
          call.signal.addEventListener('abort', () => aborted?.());
          return {
            status: 200,
            grpc: false,
            headers: [],
            contentType: 'text/plain',
            body: {
              stream: async function* () {
                yield Buffer.from('part');
                if (method === 'broken') throw new Error('broken');
                await new Promise((_, reject) =>
                  call.signal.addEventListener('abort', () => reject(new Error())),
                );
              },
            },
          };
        },
      },
    }),
  );
  const session = connectHttp2(`http://127.0.0.1:${api.server.port}`);
  t.teardown(() => session.destroy());
  const cut = session.request({ ':path': '/v1.0/invoke/app/method/slow' });
  await new Promise<void>((resolve) => cut.once('data', () => resolve()));
  cut.close(8);
  await gone;
  const broken = session.request({ ':path': '/v1.0/invoke/app/method/broken' });
  broken.resume();
  const failure = await new Promise<Error | undefined>((resolve) => {
    broken
      .on('error', resolve)
      .on('aborted', () => resolve(new Error('aborted')))
      .on('close', () => resolve(undefined));
  });
  t.type(failure, Error, 'does not look complete');
});

t.test('a target with characters beyond ASCII is taken as if it were escaped', async (t) => {
  const keys: string[] = [];
  const get = async (_store: string, key: string): Promise<undefined> => void keys.push(key);
  const api = await serve(t, fakeBlocks({ state: { get } }));
  const target = Buffer.from('/v1.0/state/s/ключ-ß?metadata.a=é').toString('latin1');
  const answer = await api.raw(`GET ${target} HTTP/1.1\r\nHost: x\r\nConnection: keep-alive\r\n\r\n`);
  t.match(answer, /^HTTP\/1\.1 204 /);
  t.strictSame(keys, ['ключ-ß']);
  const later = `GET /v1.0/healthz HTTP/1.1\r\nHost: x\r\n\r\nGET ${target} HTTP/1.1\r\nHost: x\r\n\r\n`;
  t.match(
    await api.raw(later),
    /^HTTP\/1\.1 204 /,
    'behind another request: that one is answered, and the connection ends',
  );
  t.match(await api.raw('GET /v1.0/a\x01b HTTP/1.1\r\nHost: x\r\n\r\n'), /^HTTP\/1\.1 400 /);
  const cut = api.raw(`G\xc3\xa9T / HTTP/1.1\r\nHost: x\r\n\r\n`);
  t.match(await cut, /^HTTP\/1\.1 400 /);
});
