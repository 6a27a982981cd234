import { connect } from 'node:net';
import t from 'tap';
import type { InvokeRequest, InvokeResponse } from '../../../../runtime/contracts/app-channel.ts';
import { runtimeError } from '../../../../runtime/contracts/error.ts';
import type { HttpServerOptions } from '../../../../runtime/http/server.ts';
import { type FakeApi, fakeBlocks, serve, ZERO } from '../fake-api.ts';

type Test = Parameters<typeof serve>[0];
interface Seen {
  readonly id: string;
  readonly request: InvokeRequest;
  readonly body: string;
}

const whole = (text: string): InvokeResponse['body'] => {
  const bytes = Buffer.from(text);
  return {
    bytes,
    length: bytes.byteLength,
    stream: async function* () {
      yield bytes;
    },
  };
};
const answer = (part: Partial<InvokeResponse> = {}): InvokeResponse => ({
  status: 200,
  grpc: false,
  headers: [],
  body: whole('ok'),
  ...part,
});

async function withInvoke(
  t: Test,
  reply: (request: InvokeRequest) => InvokeResponse = () => answer(),
  options: Partial<HttpServerOptions> = {},
): Promise<FakeApi & { seen: Seen[] }> {
  const seen: Seen[] = [];
  const api = await serve(
    t,
    fakeBlocks({
      invoke: {
        invoke: async ({ id }, request) => {
          let body = '';
          try {
            for await (const chunk of request.body.stream()) body += Buffer.from(chunk).toString();
          } catch (error) {
            throw runtimeError('directInvoke', { appId: id, error: (error as Error).message });
          }
          seen.push({ id, request, body });
          return reply(request);
        },
      },
    }),
    options,
  );
  return { ...api, seen };
}

t.test('the target comes from header, credentials or path', async (t) => {
  const api = await withInvoke(t);
  const basic = (text: string) => ({ authorization: `Basic ${Buffer.from(text).toString('base64')}` });
  const cases: readonly (readonly [
    path: string,
    headers: Record<string, string>,
    id: string,
    method: string,
  ])[] = [
    ['/v1.0/invoke/app/method/x', {}, 'app', 'x'],
    ['/v1.0/invoke/app/method/', {}, 'app', ''],
    ['/v1.0/invoke/ct%2Dapp/method/a%20b%2Fc', {}, 'ct-app', 'a%20b/c'],
    ['/v1.0/invoke/http://127.0.0.1:1/method/deep/path', {}, 'http://127.0.0.1:1', 'deep/path'],
    ['/v1.0/invoke/http%3A%2F%2F127.0.0.1%3A1%2Fprefix/method/tail', {}, 'http://127.0.0.1:1/prefix', 'tail'],
    ['/v1.0/nothing/here', { 'dapr-app-id': 'other' }, 'other', 'v1.0/nothing/here'],
    ['/v1.0/invoke/app/method/x', { 'dapr-app-id': 'other' }, 'other', 'v1.0/invoke/app/method/x'],
    ['/', { 'dapr-app-id': 'other' }, 'other', ''],
    ['/deep', basic('Dapr-App-Id:third'), 'third', 'deep'],
    ['/v1.0/invoke/app/method/%E9', {}, 'app', '%E9'],
  ];
  for (const [path, headers, id, method] of cases) {
    t.equal((await api.call({ path, headers })).status, 200, path);
    const last = api.seen.at(-1);
    t.strictSame([last?.id, last?.request.method], [id, method], path);
  }
  for (const path of [
    '/v1.0/invoke/app',
    '/v1.0/invoke/app/method',
    '/v1.0/invoke//method/x',
    '/v1.0/invoke/app/x/y',
    '/v1.0-alpha1/invoke/app/method/x',
  ]) {
    t.equal((await api.call({ path })).status, 404, path);
  }
  t.equal((await api.call({ path: '/deep', headers: basic('dapr-app-id:a:b') })).status, 404);
});

t.test('headers of the connection and of the API stay behind', async (t) => {
  const api = await withInvoke(t);
  await api.call({
    method: 'POST',
    path: '/v1.0/invoke/app/method/x?a=1&b=%20+%2F',
    body: '{}',
    headers: {
      'X-Multi': ['a', 'b'],
      connection: 'close, x-drop',
      'x-drop': '1',
      'destination-app-id': 'x',
      'dapr-api-token': 't',
      authorization: 'Bearer x',
      'content-type': 'application/json',
    },
  });
  const [{ request, body } = { request: undefined, body: '' }] = api.seen;
  t.strictSame(request?.headers, [
    ['X-Multi', 'a'],
    ['X-Multi', 'b'],
    ['dapr-api-token', 't'],
    ['authorization', 'Bearer x'],
    ['content-type', 'application/json'],
    ['content-length', '2'],
  ]);
  t.equal(request?.contentType, 'application/json');
  t.equal(request?.query, 'a=1&b=%20+%2F');
  t.equal(request?.verb, 'POST');
  t.equal(body, '{}');
  t.equal(request?.body.length, 2);

  const guarded = await withInvoke(t, undefined, { apiToken: 'secret' });
  await guarded.call({ path: '/v1.0/invoke/app/method/x', headers: { 'dapr-api-token': 'secret' } });
  t.strictSame(
    guarded.seen[0]?.request.headers.filter(([name]) => /token/i.test(name)),
    [],
  );
  t.notOk(guarded.seen[0] !== undefined && 'contentType' in guarded.seen[0].request);
});

t.test('a verb that nobody knows arrives as POST', async (t) => {
  const api = await withInvoke(t);
  await api.call({ method: 'PURGE', path: '/v1.0/invoke/app/method/x' });
  t.equal(api.seen[0]?.request.verb, 'POST');
});

t.test('status, headers and body of the app pass; framing is ours', async (t) => {
  const api = await withInvoke(t, () =>
    answer({
      status: 302,
      contentType: 'text/html',
      headers: [
        ['Set-Cookie', 'a=1'],
        ['Set-Cookie', 'b=2'],
        ['Keep-Alive', 'timeout=9'],
        ['Proxy-Authenticate', 'x'],
        ['Content-Length', '99'],
        ['ETag', '"e"'],
        ['traceparent', 'own'],
      ],
    }),
  );
  const got = await api.call({ path: '/v1.0/invoke/app/method/x' });
  t.equal(got.status, 302);
  t.match(got.headers, {
    'set-cookie': ['a=1', 'b=2'],
    'content-type': 'text/html',
    'content-length': '2',
    etag: '"e"',
    traceparent: 'own',
  });
  t.equal(got.headers['proxy-authenticate'], undefined);
  t.not(got.headers['keep-alive'], 'timeout=9');
});

t.test(
  'an answer without content type gets the one that its bytes suggest; a failure gets JSON',
  async (t) => {
    const api = await withInvoke(t, ({ method }) => {
      if (method === 'empty') return answer({ body: whole('') });
      if (method === 'stream')
        return answer({
          body: {
            stream: async function* () {
              yield Buffer.from('<html>');
              yield Buffer.from('x');
            },
          },
        });
      if (method === 'nothing') return answer({ body: { stream: async function* () {} } });
      return method === 'fail'
        ? answer({
            status: 500,
            body: {
              stream: async function* () {
                yield Buffer.from('no type');
              },
            },
          })
        : answer();
    });
    const get = (method: string) => api.call({ path: `/v1.0/invoke/app/method/${method}` });
    t.equal((await get('x')).headers['content-type'], 'text/plain; charset=utf-8');
    t.equal((await get('empty')).headers['content-type'], undefined);
    const streamed = await get('stream');
    t.strictSame([streamed.headers['content-type'], streamed.text], ['text/html; charset=utf-8', '<html>x']);
    t.strictSame(
      [(await get('nothing')).headers['content-length'], (await get('nothing')).headers['content-type']],
      ['0', undefined],
    );
    const failed = await get('fail');
    t.strictSame(
      [failed.status, failed.headers['content-type'], failed.headers['content-length'], failed.text],
      [500, 'application/json', '7', 'no type'],
    );
  },
);

t.test('each chunk is sent before the next one is read', async (t) => {
  let release: (() => void) | undefined;
  const api = await withInvoke(t, () =>
    answer({
      contentType: 'text/plain',
      body: {
        stream: async function* () {
          yield Buffer.from('one');
          await new Promise<void>((resolve) => {
            release = resolve;
          });
          yield Buffer.from('two');
        },
      },
    }),
  );
  const socket = connect(api.server.port, '127.0.0.1', () =>
    socket.write('GET /v1.0/invoke/app/method/x HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n'),
  );
  let text = '';
  await new Promise<void>((resolve) =>
    socket.on('data', (part) => {
      text += part;
      if (text.endsWith('\r\n0\r\n\r\n')) resolve();
      else if (text.endsWith('3\r\none\r\n')) release?.();
    }),
  );
  t.match(text, /\r\n3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n$/);
});

t.test('an event stream is announced at once', async (t) => {
  const api = await withInvoke(t, () =>
    answer({
      contentType: 'application/json',
      headers: [['Cache-Control', 'max-age=1']],
      body: {
        length: 4,
        stream: async function* () {
          yield Buffer.from('data');
        },
      },
    }),
  );
  const events = await api.call({
    path: '/v1.0/invoke/app/method/x',
    headers: { accept: ' Text/Event-Stream ' },
  });
  t.match(events.headers, {
    'content-type': 'text/event-stream',
    'cache-control': 'no-cache',
    connection: 'keep-alive',
  });
  t.equal(events.headers['content-length'], undefined);
  const list = await api.call({
    path: '/v1.0/invoke/app/method/x',
    headers: { accept: 'text/event-stream, */*' },
  });
  t.match(list.headers, { 'content-type': 'application/json', 'content-length': '4' });
});

t.test('an answer that breaks off is cut, one that never began is an error', async (t) => {
  const api = await withInvoke(t, ({ method }) =>
    answer({
      contentType: 'text/plain',
      body: {
        stream: async function* () {
          if (method === 'late') yield Buffer.from('part');
          throw new Error('broken');
        },
      },
    }),
  );
  await t.rejects(api.call({ path: '/v1.0/invoke/app/method/late' }));
  t.equal((await api.call({ path: '/v1.0/invoke/app/method/early' })).status, 500);
});

t.test('bodies: replayable with a length, streamed without, refused when too long', async (t) => {
  const api = await withInvoke(
    t,
    () =>
      answer({
        status: 503,
        body: {
          stream: async function* () {
            yield Buffer.from('busy');
          },
        },
      }),
    { limits: { maxBodyBytes: 10, readBufferBytes: 4096 } },
  );
  const path = '/v1.0/invoke/app/method/x';
  await api.call({ method: 'POST', path, body: '0123456789' });
  t.ok(api.seen[0]?.request.body.bytes);
  const streamed = await api.call({ method: 'POST', path, chunks: ['01234', '56789'] });
  t.equal(api.seen[1]?.request.body.bytes, undefined);
  t.equal(api.seen[1]?.request.body.length, undefined);
  t.strictSame(
    [streamed.status, streamed.headers['content-type']],
    [503, 'text/plain; charset=utf-8'],
    'streamed as it is',
  );
  for (const call of [{ body: '0123456789x' }, { chunks: ['0123456789', 'x'] }]) {
    const refused = await api.call({ method: 'POST', path, ...call });
    t.equal(refused.status, 500);
    t.match(refused.json, {
      errorCode: 'ERR_DIRECT_INVOKE',
      message: 'failed to invoke, id: app, err: stream too large',
    });
  }
});

t.test('HEAD has no body and no content type of ours', async (t) => {
  const api = await withInvoke(t, () => answer({ body: whole('') }));
  const got = await api.call({ method: 'HEAD', path: '/v1.0/invoke/app/method/x' });
  t.strictSame(
    [got.status, got.headers['content-type'], got.headers['traceparent'], got.text],
    [200, undefined, ZERO, ''],
  );
});

t.test('the answer of a gRPC app is mapped', async (t) => {
  const any = Buffer.concat([Buffer.from([0x0a, 3]), Buffer.from('t/X'), Buffer.from([0x12, 2, 1, 2])]);
  const api = await withInvoke(t, ({ method }) =>
    method === 'ok'
      ? answer({ status: 0, grpc: true, contentType: 'application/json', body: whole('{}') })
      : answer({ status: 5, grpc: true, message: 'not <here>', statusDetails: [any], body: whole('') }),
  );
  const ok = await api.call({ path: '/v1.0/invoke/app/method/ok' });
  t.strictSame([ok.status, ok.headers['content-type'], ok.text], [200, 'application/json', '{}']);
  const failed = await api.call({ path: '/v1.0/invoke/app/method/fail' });
  t.equal(failed.status, 404);
  t.strictSame(failed.json, { code: 5, message: 'not <here>', details: [{ '@type': 't/X', value: 'AQI=' }] });
});

t.test('names of gRPC in an answer are treated as on the way to the app', async (t) => {
  const api = await withInvoke(t, () =>
    answer({
      headers: [
        ['grpc-status', '3'],
        ['X-Some-Bin', 'AAAA'],
        ['x-mine', '1'],
      ],
    }),
  );
  const { headers } = await api.call({ path: '/v1.0/invoke/app/method/x' });
  t.match(headers, { 'dapr-grpc-status': '3', 'x-mine': '1' });
  t.notOk(headers['grpc-status']);
  t.notOk(headers['x-some-bin']);
});

t.test('an answer to HEAD says nothing about a length', async (t) => {
  for (const status of [200, 404]) {
    const api = await withInvoke(t, () => answer({ status, contentType: 'a/b', body: whole('') }));
    const { headers, status: given } = await api.call({
      path: '/v1.0/invoke/app/method/x',
      method: 'HEAD',
    });
    t.equal(given, status);
    t.equal(headers['content-type'], 'a/b');
    t.notOk(headers['content-length']);
  }
});
