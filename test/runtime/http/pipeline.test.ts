import t from 'tap';
import type { HttpMiddleware, PipelineRequest } from '../../../runtime/contracts/http-middleware.ts';
import { fakeBlocks, serve } from './fake-api.ts';

const step = (handle: HttpMiddleware['handle']): HttpMiddleware => ({
  handle,
  init: async () => {},
  close: async () => {},
});

async function* upper(body: AsyncIterable<Uint8Array>): AsyncIterable<Uint8Array> {
  for await (const chunk of body) yield Buffer.from(Buffer.from(chunk).toString().toUpperCase());
}

const echo = {
  invoke: {
    invoke: async (
      _target: unknown,
      request: {
        method: string;
        query: string;
        headers: readonly (readonly [string, string])[];
        body: { bytes?: Uint8Array };
      },
    ) => ({
      status: 200,
      grpc: false,
      contentType: 'text/plain',
      headers: [
        ['x-method', request.method],
        ['x-query', request.query],
        ['x-length', request.headers.find(([name]) => /^content-length$/i.test(name))?.[1] ?? 'none'],
      ] as const,
      body: { bytes: request.body.bytes ?? new Uint8Array(0), stream: async function* () {} },
    }),
  },
} as never;

t.test('steps run in order around the router and see what the next one did', async (t) => {
  const seen: string[] = [];
  const named = (name: string): HttpMiddleware =>
    step(async (request, next) => {
      seen.push(`${name} in ${request.method} ${request.path} ${request.remoteAddress.replace(/:\d+$/, '')}`);
      const response = await next(request);
      seen.push(`${name} out ${response.status} ${response.headers['content-type']}`);
      return response;
    });
  const api = await serve(t, fakeBlocks(), { pipeline: () => [named('a'), named('b')] });
  t.equal((await api.call({ path: '//nothing/' })).status, 404);
  t.strictSame(seen, [
    'a in GET /nothing 127.0.0.1',
    'b in GET /nothing 127.0.0.1',
    'b out 404 application/json',
    'a out 404 application/json',
  ]);
});

t.test('a step may answer itself, after the token was checked', async (t) => {
  const api = await serve(t, fakeBlocks(), {
    apiToken: 'secret',
    pipeline: () => [
      step(async () => ({
        status: 429,
        headers: { 'content-type': 'text/plain', 'x-two': ['a', 'b'] },
        body: upper(
          (async function* () {
            yield Buffer.from('slow down');
          })(),
        ),
      })),
    ],
  });
  t.equal((await api.call({ path: '/v1.0/metadata' })).status, 401);
  const limited = await api.call({ path: '/v1.0/metadata', headers: { 'dapr-api-token': 'secret' } });
  t.strictSame(
    [limited.status, limited.text, limited.headers['x-two'], limited.headers['content-length']],
    [429, 'SLOW DOWN', 'a, b', '9'],
  );
  t.type(limited.headers['traceparent'], 'string');
});

t.test('body and path of the request may be changed', async (t) => {
  const api = await serve(t, fakeBlocks(echo), {
    pipeline: () => [
      step((request, next) =>
        next({
          ...request,
          path: '/v1.0/invoke/app/method/mapped',
          query: 'id=1',
          body: upper(request.body),
        }),
      ),
    ],
  });
  const answer = await api.call({ method: 'POST', path: '/items/1', body: 'mixed Case' });
  t.match(answer.headers, { 'x-method': 'mapped', 'x-query': 'id=1', 'x-length': 'none' });
  t.equal(answer.text, 'MIXED CASE');
});

t.test('an untouched body keeps its length', async (t) => {
  const api = await serve(t, fakeBlocks(echo), {
    pipeline: () => [
      step((request, next) => next({ ...request, headers: { ...request.headers, 'x-added': '1' } })),
    ],
  });
  const answer = await api.call({ method: 'POST', path: '/v1.0/invoke/app/method/x', body: 'abc' });
  t.strictSame([answer.headers['x-length'], answer.text], ['3', 'abc']);
});

t.test('the response may be changed, and a step that fails is an error', async (t) => {
  const api = await serve(t, fakeBlocks(), {
    pipeline: () => [
      step(async (request: PipelineRequest, next) => {
        if (request.path === '/fail') throw new Error('broken');
        const response = await next(request);
        return { ...response, body: upper(response.body) };
      }),
    ],
  });
  t.match((await api.call({ path: '/unknown' })).json, { ERRORCODE: 'ERR_DIRECT_INVOKE' });
  t.equal((await api.call({ path: '/fail' })).status, 500);
});
