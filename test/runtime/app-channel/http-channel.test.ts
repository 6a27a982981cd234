import type { createServer } from 'node:http';
import { createServer as createHttp2Server } from 'node:http2';
import { gzipSync } from 'node:zlib';
import t from 'tap';
import { openHttpChannel } from '../../support/http-channel-rig.ts';
import { callContext, invokeRequest, partsBody, textOf, wholeBody } from '../../support/invocations.ts';

const signal = new AbortController().signal;
const ZERO = '00-00000000000000000000000000000000-0000000000000000-00';
const PARENT = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01';

t.test('an invocation arrives as it was: path, query, header case and order, body', async (t) => {
  const { app, channel } = await openHttpChannel(t, (_request, response) => {
    response.writeHead(201, [
      'X-One',
      '1',
      'Set-Cookie',
      'a=1',
      'Set-Cookie',
      'b=2',
      'Keep-Alive',
      'timeout=9',
      'Content-Type',
      'text/html',
    ]);
    response.end('made');
  });
  const headers = [
    ['X-Mine', 'a'],
    ['x-MINE', 'b'],
    ['Host', 'other'],
    ['Content-Length', '9'],
    ['Connection', 'close, X-Drop'],
    ['X-Drop', '1'],
    ['Accept-Encoding', 'br'],
  ] as const;
  const response = await channel.invoke(
    invokeRequest({
      method: 'a/b%20c',
      verb: 'POST',
      query: 'a=%20+%2F&b',
      headers,
      contentType: 'text/plain',
      body: wholeBody('body'),
    }),
    callContext(),
  );
  t.match(app.requests, [{ method: 'POST', url: '/a/b%20c?a=%20+%2F&b', body: 'body' }]);
  t.same(app.requests[0]?.rawHeaders, [
    'Host',
    `127.0.0.1:${app.port}`,
    'X-Mine',
    'a',
    'x-MINE',
    'b',
    'Accept-Encoding',
    'br',
    'Content-Type',
    'text/plain',
    'Content-Length',
    '4',
    'Connection',
    'keep-alive',
  ]);
  t.match(response, { status: 201, grpc: false, contentType: 'text/html' });
  t.same(
    response.headers.filter(([name]) => name !== 'Date'),
    [
      ['X-One', '1'],
      ['Set-Cookie', 'a=1'],
      ['Set-Cookie', 'b=2'],
    ],
  );
  t.equal(await textOf(response.body), 'made');
});

t.test('bodies stream both ways, and nothing is added to a request without one', async (t) => {
  let finish = (): void => {};
  const { app, channel } = await openHttpChannel(t, (request, response) => {
    if (request.body.length === 0) {
      response.end();
      return;
    }
    response.write(request.body);
    finish = () => void response.end('!');
  });
  const response = await channel.invoke(
    invokeRequest({ verb: 'POST', body: partsBody('part one, ', 'part two') }),
    callContext(),
  );
  t.equal(response.body.length, undefined);
  finish();
  t.equal(await textOf(response.body), 'part one, part two!');
  await channel.invoke(invokeRequest({ verb: 'GET' }), callContext());
  t.match(app.requests[0]?.headers, { 'transfer-encoding': 'chunked' });
  t.same(Object.keys(app.requests[1]?.headers ?? {}).sort(), ['accept-encoding', 'connection', 'host']);
});

t.test('a short answer without a length that is here at once is whole', async (t) => {
  const { channel } = await openHttpChannel(t, (_request, response) => {
    response.write('part one, ');
    response.end('part two');
  });
  const { body } = await channel.invoke(invokeRequest(), callContext());
  t.equal(Buffer.from(body.bytes ?? []).toString(), 'part one, part two');
});

t.test('gzip that the channel itself asked for is undone', async (t) => {
  const { app, channel } = await openHttpChannel(t, (_request, response) => {
    response.writeHead(200, { 'content-encoding': 'gzip', 'content-type': 'text/plain' });
    response.end(gzipSync('plain'));
  });
  const response = await channel.invoke(invokeRequest(), callContext());
  t.equal(app.requests[0]?.headers['accept-encoding'], 'gzip');
  t.equal(await textOf(response.body), 'plain');
  t.notOk(response.headers.find(([name]) => name.toLowerCase() === 'content-encoding'));
});

t.test('trace headers: the span wins, all zeros never hide what the caller sent', async (t) => {
  const { app, channel } = await openHttpChannel(t, (_request, response) => response.end());
  await channel.invoke(
    invokeRequest({ headers: [['traceparent', 'malformed']] }),
    callContext({ traceparent: ZERO }),
  );
  await channel.invoke(invokeRequest(), callContext({ traceparent: ZERO }));
  await channel.invoke(
    invokeRequest({
      headers: [
        ['traceparent', 'old'],
        ['tracestate', 'old=1'],
        ['baggage', 'k=v'],
      ],
    }),
    callContext({ traceparent: PARENT, tracestate: 'new=1', baggage: 'k=v' }),
  );
  t.match(
    app.requests.map(({ headers }) => [headers['traceparent'], headers['tracestate'], headers['baggage']]),
    [
      ['malformed', undefined, undefined],
      [ZERO, undefined, undefined],
      [PARENT, 'new=1', 'k=v'],
    ],
  );
});

t.test('the state of a trace may come as a header alone, as from a daprd', async (t) => {
  const { app, channel } = await openHttpChannel(t, (_request, response) => response.end());
  const other = PARENT.replace(/-[0-9a-f]{32}-/, `-${'1'.repeat(32)}-`);
  for (const traceparent of [PARENT.replace(/-[0-9a-f]{16}-/, `-${'2'.repeat(16)}-`), other]) {
    const headers = [
      ['traceparent', traceparent],
      ['tracestate', 'a=b'],
    ] as const;
    await channel.invoke(invokeRequest({ headers }), callContext({ traceparent: PARENT }));
  }
  t.match(
    app.requests.map(({ headers }) => [headers['traceparent'], headers['tracestate']]),
    [
      [PARENT, 'a=b'],
      [PARENT, undefined],
    ],
    'that of another trace is not passed on',
  );
});

t.test('the app token replaces one of the caller and is not sent with probes', async (t) => {
  const { app, channel } = await openHttpChannel(t, (_request, response) => response.writeHead(299).end(), {
    token: 'secret',
  });
  await channel.invoke(invokeRequest({ headers: [['dapr-api-token', 'other']] }), callContext());
  t.equal(await channel.probe('/alive?x=1', signal), true);
  t.equal(app.requests[0]?.headers['dapr-api-token'], 'secret');
  t.match(app.requests[1], { method: 'GET', url: '/alive?x=1' });
  t.same(Object.keys(app.requests[1]?.headers ?? {}).sort(), ['connection', 'host']);
});

t.test(
  'a short answer that ends before its length is what has come; one that is reset is an error',
  async (t) => {
    const { channel } = await openHttpChannel(t, (request, response) => {
      response.writeHead(200, { 'content-length': '999' });
      response.write('"ok"');
      if (request.url === '/closed') response.socket?.end();
      else setImmediate(() => response.socket?.resetAndDestroy());
    });
    const answer = await channel.invoke(invokeRequest({ method: 'closed' }), callContext());
    t.equal(answer.status, 200);
    t.equal(await textOf(answer.body), '"ok"');
    await t.rejects(channel.invoke(invokeRequest({ method: 'reset' }), callContext()), { message: /EOF/ });
  },
);

t.test('texts of failed connections', async (t) => {
  const { app, channel } = await openHttpChannel(t, (_request, response) => response.destroy());
  const base = `http://127.0.0.1:${app.port}`;
  await t.rejects(channel.invoke(invokeRequest({ method: 'gone' }), callContext()), {
    message: `Get "${base}/gone": EOF`,
  });
  const broken = {
    async *stream(): AsyncGenerator<Uint8Array> {
      yield Buffer.from('a');
      throw new Error('stream too large');
    },
  };
  await t.rejects(channel.invoke(invokeRequest({ verb: 'POST', body: broken }), callContext()), {
    message: `Post "${base}/x": stream too large`,
  });
  await app.close();
  await t.rejects(channel.invoke(invokeRequest(), callContext()), {
    message: /^Get "http:.*\/x": dial tcp 127\.0\.0\.1:\d+: connect: connection (refused|reset by peer)$/,
  });
});

t.test('an aborted call ends with the reason of its signal', async (t) => {
  const abort = new AbortController();
  const { channel } = await openHttpChannel(t, () => abort.abort(new Error('gone away')));
  await t.rejects(channel.invoke(invokeRequest(), callContext({}, abort.signal)), { message: 'gone away' });
});

t.test('no more calls at a time than allowed; the place is free once the answer is complete', async (t) => {
  const held: (() => void)[] = [];
  const { app, channel } = await openHttpChannel(
    t,
    (_request, response) => held.push(() => response.end('x')),
    {
      maxConcurrency: 1,
    },
  );
  const first = channel.invoke(invokeRequest({ method: '1' }), callContext());
  const second = channel.invoke(invokeRequest({ method: '2' }), callContext());
  while (held.length === 0) await new Promise(setImmediate);
  t.equal(app.requests.length, 1);
  held.shift()?.();
  await first;
  while (held.length === 0) await new Promise(setImmediate);
  t.match(app.requests, [{ url: '/1' }, { url: '/2' }]);
  held.shift()?.();
  await second;
});

t.test('middleware sees every call and may change request and answer', async (t) => {
  const { app, channel } = await openHttpChannel(
    t,
    (request, response) => response.end(`${request.body}-low`),
    {
      pipeline: () => [
        {
          init: async () => {},
          close: async () => {},
          handle: async (request, next) => {
            const upper = async function* (body: AsyncIterable<Uint8Array>) {
              for await (const part of body) yield Buffer.from(Buffer.from(part).toString().toUpperCase());
            };
            const response = await next({ ...request, query: 'q=1', body: upper(request.body) });
            return {
              ...response,
              headers: { ...response.headers, 'x-step': 'yes' },
              body: upper(response.body),
            };
          },
        },
      ],
    },
  );
  const response = await channel.invoke(
    invokeRequest({ verb: 'POST', body: wholeBody('mixed Case') }),
    callContext(),
  );
  t.equal(await textOf(response.body), 'MIXED CASE-LOW');
  t.match(app.requests, [{ url: '/x?q=1', body: 'MIXED CASE' }]);
  t.match(
    response.headers.find(([name]) => name === 'x-step'),
    ['x-step', 'yes'],
  );
});

t.test('cleartext HTTP/2 with prior knowledge', async (t) => {
  const { app, channel } = await openHttpChannel(
    t,
    (request, response) => {
      response.setHeader('x-two', ['a', 'b']);
      response.end(request.body);
    },
    { protocol: 'h2c' },
    (listener) => createHttp2Server(listener as never) as unknown as ReturnType<typeof createServer>,
  );
  const response = await channel.invoke(
    invokeRequest({
      verb: 'POST',
      headers: [
        ['X-A', '1'],
        ['X-A', '2'],
      ],
      contentType: 'text/plain',
      body: wholeBody('two'),
    }),
    callContext(),
  );
  t.equal(await textOf(response.body), 'two');
  t.match(app.requests, [
    { method: 'POST', url: '/x', headers: { 'x-a': '1, 2', 'content-type': 'text/plain' } },
  ]);
  t.same(
    response.headers.filter(([name]) => name === 'x-two'),
    [
      ['x-two', 'a'],
      ['x-two', 'b'],
    ],
  );
});
