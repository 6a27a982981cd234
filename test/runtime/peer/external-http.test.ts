import { type AddressInfo, createServer } from 'node:net';
import t, { type Test } from 'tap';
import { createExternalHttp } from '../../../runtime/peer/external-http.ts';
import { fakeClock } from '../../support/fake-clock.ts';
import { startHttpApp } from '../../support/http-app.ts';
import { callContext, invokeRequest, textOf, wholeBody } from '../../support/invocations.ts';

async function open(t: Test) {
  const host = await startHttpApp((request, response) => {
    if (request.url === '/base/redirect') response.writeHead(302, { location: '/target' }).end();
    else if (request.url === '/base/keep') response.writeHead(307, { location: 'target?x=1' }).end();
    else if (request.url === '/base/loop') response.writeHead(302, { location: '/base/loop' }).end();
    else response.writeHead(200, ['X-A', '1', 'Content-Type', 'text/plain']).end(request.body);
  });
  const external = createExternalHttp({ appToken: 'secret' });
  t.teardown(async () => {
    await external.close();
    await host.close();
  });
  const baseUrl = `http://127.0.0.1:${host.port}/base`;
  const endpoint = {
    baseUrl,
    headers: [
      ['X-Fixed', 'f'],
      ['X-Clash', 'resource'],
    ] as const,
    followRedirects: true,
    sendAppToken: false,
  };
  return {
    host,
    external,
    baseUrl,
    endpoint,
    plain: { baseUrl, headers: [], followRedirects: false, sendAppToken: true },
  };
}

t.test('an endpoint: base URL, method and query; its headers win', async (t) => {
  const { host, external, endpoint } = await open(t);
  const request = invokeRequest({
    method: 'echo',
    verb: 'POST',
    query: 'q=%20',
    headers: [
      ['X-Clash', 'mine'],
      ['X-Mine', '1'],
      ['Host', 'x'],
    ],
    contentType: 'a/b',
    body: wholeBody('in'),
  });
  const response = await external.call(endpoint, request, callContext());
  t.match(host.requests, [
    {
      method: 'POST',
      url: '/base/echo?q=%20',
      body: 'in',
      headers: {
        'x-clash': 'resource',
        'x-fixed': 'f',
        'x-mine': '1',
        'content-type': 'a/b',
        host: `127.0.0.1:${host.port}`,
      },
    },
  ]);
  t.notOk(host.requests[0]?.headers['dapr-api-token']);
  t.match(response, { status: 200, contentType: 'text/plain' });
  t.equal(await textOf(response.body), 'in');
});

t.test('one slash between base and method, and none without a method', async (t) => {
  const { host, external, endpoint, baseUrl } = await open(t);
  for (const [base, method] of [
    [`${baseUrl}/`, 'm'],
    [`${baseUrl}/`, ''],
    [baseUrl, ''],
    [baseUrl.replace('/base', ''), ''],
  ] as const) {
    await external.call({ ...endpoint, baseUrl: base }, invokeRequest({ method }), callContext());
  }
  t.same(
    host.requests.map(({ url }) => url),
    ['/base/m', '/base/', '/base', '/'],
  );
});

t.test('redirects are followed for endpoints only', async (t) => {
  const { host, external, endpoint, plain } = await open(t);
  const post = (method: string) =>
    invokeRequest({ method, verb: 'POST', contentType: 'a/b', body: wholeBody('in') });
  t.equal((await external.call(plain, post('redirect'), callContext())).status, 302);
  t.equal((await external.call(endpoint, post('redirect'), callContext())).status, 200);
  const kept = await external.call(endpoint, post('keep'), callContext());
  t.equal(kept.status, 307, 'the body would be needed once more: the caller decides');
  t.same(
    host.requests.map(({ method, url, body }) => [method, url, body]),
    [
      ['POST', '/base/redirect', 'in'],
      ['POST', '/base/redirect', 'in'],
      ['GET', '/target', ''],
      ['POST', '/base/keep', 'in'],
    ],
  );
  await t.rejects(external.call(endpoint, post('loop'), callContext()), {
    message: /stopped after 10 redirects/,
  });
});

t.test('a plain URL gets trace and app token', async (t) => {
  const { host, external, plain } = await open(t);
  const traceparent = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01';
  await external.call(
    plain,
    invokeRequest({
      headers: [
        ['traceparent', 'old'],
        ['dapr-api-token', 'mine'],
      ],
    }),
    callContext({ traceparent }),
  );
  t.match(host.requests[0]?.headers, { traceparent, 'dapr-api-token': 'secret', 'accept-encoding': 'gzip' });
});

t.test('a host that does not answer', async (t) => {
  const { host, external, plain } = await open(t);
  await host.close();
  await t.rejects(external.call(plain, invokeRequest(), callContext()), {
    message: /^Get "http:\/\/127\.0\.0\.1:\d+\/base\/x": dial tcp 127\.0\.0\.1:\d+: connect: connection re/,
  });
});

t.test('connecting is given up after fifteen seconds', async (t) => {
  const clock = fakeClock();
  const external = createExternalHttp({ clock });
  t.teardown(() => external.close());
  // A TLS handshake with a host that takes the connection and never says a word.
  const silent = createServer();
  await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
  const connected = new Promise((resolve) => silent.once('connection', resolve));
  const baseUrl = `https://127.0.0.1:${(silent.address() as AddressInfo).port}`;
  const target = { baseUrl, headers: [], followRedirects: false, sendAppToken: false };
  const call = external.call(target, invokeRequest(), callContext());
  call.catch(() => {});
  await connected;
  await clock.advance(15_000);
  await t.rejects(call, { message: /: dial tcp 127\.0\.0\.1:\d+: i\/o timeout$/ });
  await new Promise((resolve) => silent.close(resolve));
});

t.test('calls are measured like those to the app, and say who calls', async (t) => {
  const { host, endpoint } = await open(t);
  const seen: unknown[] = [];
  const clientMetrics = {
    call: (verb: string, path: string, length: number | undefined) => {
      seen.push([verb, path, length]);
      return {
        answered: (status: number) => void seen.push(status),
        failed: () => void seen.push('failed'),
      };
    },
  };
  const external = createExternalHttp({ clientMetrics });
  t.teardown(() => external.close());
  await external.call(endpoint, invokeRequest({ method: 'm' }), callContext());
  t.ok(host.requests[0]?.headers['user-agent'], 'some public APIs refuse a client without a name');
  const own = invokeRequest({ method: 'm', headers: [['User-Agent', 'me']] });
  await external.call(endpoint, own, callContext());
  t.equal(host.requests[1]?.headers['user-agent'], 'me');
  await host.close();
  await t.rejects(external.call(endpoint, invokeRequest({ method: 'm' }), callContext()));
  t.same(seen, [['GET', 'm', 0], 200, ['GET', 'm', 0], 200, ['GET', 'm', 0], 'failed']);
});
