import t from 'tap';
import { fakeBlocks, serve, ZERO } from './fake-api.ts';

const NO_APP_ID = {
  errorCode: 'ERR_DIRECT_INVOKE',
  message: 'failed getting app id either from the URL path or the header dapr-app-id',
};

t.test('paths are cleaned, unknown ones are invocations without target', async (t) => {
  const api = await serve(t, fakeBlocks());
  for (const path of ['//v1.0//healthz', '/v1.0/healthz/', '/v1.0/x/../healthz', '/../v1.0/healthz']) {
    const answer = await api.call({ path });
    t.equal(answer.status, 204, path);
    t.equal(answer.headers['traceparent'], undefined, 'health is not decorated');
  }
  for (const call of [
    { path: '/nothing' },
    { path: '/v1.0/metadata', method: 'POST' },
    { path: '/v1.0/invoke/app' },
  ]) {
    const answer = await api.call(call);
    t.equal(answer.status, 404);
    t.strictSame(answer.json, NO_APP_ID);
    t.equal(answer.headers['content-type'], 'application/json');
    t.equal(answer.headers['traceparent'], ZERO);
  }
  const head = await api.call({ path: '/v1.0/metadata', method: 'HEAD' });
  t.equal(head.status, 404);
  t.equal(head.text, '');
});

t.test('a wrong token is refused before anything else; health needs none', async (t) => {
  const api = await serve(t, fakeBlocks(), { apiToken: 'sésame', publicPort: 0, publicAddress: '127.0.0.1' });
  for (const headers of [{}, { 'dapr-api-token': 'sesame!' }, { authorization: 'Bearer sésame' }]) {
    const answer = await api.call({ path: '/v1.0/metadata', headers });
    t.equal(answer.status, 401);
    t.equal(answer.text, 'invalid api token\n');
    t.equal(answer.headers['content-type'], 'text/plain; charset=utf-8');
    t.equal(answer.headers['x-content-type-options'], 'nosniff');
    t.equal(answer.headers['traceparent'], ZERO);
  }
  const token = Buffer.from('sésame', 'utf8').toString('latin1');
  t.equal((await api.call({ path: '/v1.0/metadata', headers: { 'dapr-api-token': token } })).status, 200);
  t.equal((await api.call({ path: '/v1.0/healthz/' })).status, 204);
  t.equal((await api.call({ path: '/v1.0/healthz', method: 'POST' })).status, 401);
  t.equal((await api.call({ path: '/v1.0/metadata', port: api.server.publicPort })).status, 200);
});

t.test('the public port has metadata and health only', async (t) => {
  const set: string[] = [];
  const api = await serve(
    t,
    fakeBlocks({
      metadata: { get: () => ({}) as never, set: (key, value) => void set.push(`${key}=${value}`) },
    }),
    {
      publicPort: 0,
      publicAddress: '127.0.0.1',
    },
  );
  const port = api.server.publicPort;
  t.equal((await api.call({ port, path: '/v1.0/healthz/outbound' })).status, 204);
  t.equal((await api.call({ port, path: '/v1.0/metadata/a%2Fb', method: 'PUT', body: 'v' })).status, 204);
  t.strictSame(set, ['a/b=v']);
  const unknown = await api.call({ port, path: '/v1.0/secrets/a/b' });
  t.equal(unknown.status, 404);
  t.equal(unknown.text, '404 page not found\n');
  const verb = await api.call({ port, path: '/v1.0/metadata', method: 'POST' });
  t.equal(verb.status, 405);
  t.equal(verb.headers['allow'], 'GET');
  t.equal(verb.text, '');
});

t.test('malformed baggage is refused as plain text without trace headers', async (t) => {
  const api = await serve(t, fakeBlocks());
  const answer = await api.call({ path: '/v1.0/metadata', headers: { baggage: 'nothing' } });
  t.equal(answer.status, 400);
  t.match(answer.text, /^invalid baggage header: .*\n$/);
  t.equal(answer.headers['traceparent'], undefined);
  const good = await api.call({ path: '/v1.0/metadata', headers: { baggage: 'k=v' } });
  t.equal(good.headers['baggage'], 'k=v');
});

t.test('CORS: actual requests, preflight, refusals', async (t) => {
  const api = await serve(t, fakeBlocks(), {
    allowedOrigins: 'https://ok.example, https://*.wild.example',
    apiToken: 'secret',
  });
  const headers = { 'dapr-api-token': 'secret' };
  const actual = await api.call({
    path: '/v1.0/metadata',
    headers: { ...headers, origin: 'https://a.wild.example' },
  });
  t.equal(actual.headers['access-control-allow-origin'], 'https://a.wild.example');
  t.equal(actual.headers['vary'], 'Origin');
  const bad = await api.call({
    path: '/v1.0/metadata',
    headers: { ...headers, origin: 'https://bad.example' },
  });
  t.equal(bad.status, 200);
  t.equal(bad.headers['access-control-allow-origin'], undefined);
  const preflight = await api.call({
    method: 'OPTIONS',
    path: '/v1.0/state/s',
    headers: {
      origin: 'https://ok.example',
      'access-control-request-method': 'POST',
      'access-control-request-headers': 'content-type,x-mine',
    },
  });
  t.equal(preflight.status, 200, 'needs no token');
  t.equal(preflight.headers['access-control-allow-headers'], 'Content-Type, X-Mine');
  t.equal(preflight.headers['access-control-allow-methods'], 'POST');
  t.equal(preflight.headers['vary'], 'Origin, Access-Control-Request-Method, Access-Control-Request-Headers');
  const trace = await api.call({
    method: 'OPTIONS',
    path: '/',
    headers: { origin: 'https://ok.example', 'access-control-request-method': 'TRACE' },
  });
  t.equal(trace.headers['access-control-allow-origin'], undefined);
});
