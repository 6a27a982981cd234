import { existsSync, writeFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { join, relative } from 'node:path';
import t from 'tap';
import { createHttpServer } from '../../../runtime/http/server.ts';
import { fakeClock } from '../../support/fake-clock.ts';
import { fakeBlocks, serve } from './fake-api.ts';

t.test('a port in use names the port and the flag', async (t) => {
  const blocker = createServer();
  await new Promise<void>((resolve) => blocker.listen(0, '127.0.0.1', resolve));
  t.teardown(() => blocker.close());
  const { port } = blocker.address() as { port: number };
  await t.rejects(
    serve(t, fakeBlocks(), { port }),
    new Error(`port ${port} is already in use; choose another one with --dapr-http-port`),
  );
  await t.rejects(
    serve(t, fakeBlocks(), { publicPort: port, publicAddress: '127.0.0.1' }),
    /--dapr-public-port/,
  );
});

t.test('several addresses share a port', async (t) => {
  const api = await serve(t, fakeBlocks(), { addresses: ['127.0.0.1', '127.0.0.2'] });
  for (const host of ['127.0.0.1', '127.0.0.2']) {
    const status = await fetch(`http://${host}:${api.server.port}/v1.0/healthz`).then(
      (answer) => answer.status,
    );
    t.equal(status, 204, host);
  }
  await t.rejects(serve(t, fakeBlocks(), { addresses: ['192.0.2.1'] }), /--dapr-listen-addresses/);
});

t.test('a Unix socket', async (t) => {
  // Relative: the path of a Unix socket may not be long.
  const dir = relative(process.cwd(), t.testdir());
  const path = join(dir, 'dapr-app-http.socket');
  writeFileSync(path, '');
  const api = await serve(t, fakeBlocks(), { unixSocket: dir });
  t.equal((await api.call({ path: '/v1.0/metadata', socketPath: path })).status, 200);
  await t.rejects(serve(t, fakeBlocks(), { unixSocket: dir }), /is in use by another process/);
  await api.server.close(0);
  t.notOk(existsSync(path));
});

t.test('closing lets a call in flight end and refuses new ones', async (t) => {
  let finish: (() => void) | undefined;
  const entered = new Promise<void>((began) => {
    finish = began;
  });
  let release: (() => void) | undefined;
  const api = await serve(
    t,
    fakeBlocks({
      secrets: {
        get: async () => {
          finish?.();
          await new Promise<void>((resolve) => {
            release = resolve;
          });
          return { a: 'b' };
        },
      },
    }),
  );
  const { port } = api.server;
  const pending = api.call({ path: '/v1.0/secrets/s/a' });
  await entered;
  const closed = api.server.close(10_000);
  await t.rejects(api.call({ path: '/v1.0/healthz', port }), { code: 'ECONNREFUSED' });
  release?.();
  const answer = await pending;
  t.strictSame(answer.json, { a: 'b' });
  t.equal(answer.headers['connection'], 'close');
  await closed;
});

t.test('when grace is over the call is aborted', async (t) => {
  const clock = fakeClock();
  let reason: unknown;
  let began: (() => void) | undefined;
  const entered = new Promise<void>((resolve) => {
    began = resolve;
  });
  const api = await serve(
    t,
    fakeBlocks({
      secrets: {
        get: (_store, _key, _metadata, call) =>
          new Promise((_, reject) => {
            call.signal.addEventListener('abort', () => {
              reason = call.signal.reason;
              reject(reason as Error);
            });
            began?.();
          }),
      },
    }),
    { clock },
  );
  const pending = api.call({ path: '/v1.0/secrets/s/a' }).catch((error: Error) => error);
  await entered;
  const closed = api.server.close(5000);
  await clock.advance(5000);
  await closed;
  t.match(reason, { name: 'AbortError' });
  await pending;
});

t.test('a client that goes away aborts its call', async (t) => {
  let began: (() => void) | undefined;
  const entered = new Promise<void>((resolve) => {
    began = resolve;
  });
  let aborted: (() => void) | undefined;
  const gone = new Promise<void>((resolve) => {
    aborted = resolve;
  });
  const api = await serve(
    t,
    fakeBlocks({
      secrets: {
        get: (_store, _key, _metadata, call) =>
          new Promise((_, reject) => {
            call.signal.addEventListener('abort', () => {
              aborted?.();
              reject(call.signal.reason as Error);
            });
            began?.();
          }),
      },
    }),
  );
  const socket = connect(api.server.port, '127.0.0.1', () =>
    socket.write('GET /v1.0/secrets/s/a HTTP/1.1\r\nHost: x\r\n\r\n'),
  );
  await entered;
  socket.destroy();
  await gone;
  t.pass('aborted');
});

t.test('nothing is left open when listening fails', async (t) => {
  const blocker = createServer();
  await new Promise<void>((resolve) => blocker.listen(0, '127.0.0.1', resolve));
  t.teardown(() => blocker.close());
  const options = { publicPort: (blocker.address() as { port: number }).port, publicAddress: '127.0.0.1' };
  const api = await serve(t, fakeBlocks()).then(({ server }) => server);
  const made = createHttpServer({
    appId: 'a',
    blocks: fakeBlocks(),
    tracer: { enabled: false, start: () => ({}) as never },
    log: console as never,
    clock: fakeClock(),
    httpMetrics: {
      increasedCardinality: true,
      pathMatching: [],
      excludeVerbs: false,
      recordErrorCodes: false,
    },
    limits: { maxBodyBytes: 0, readBufferBytes: 4096 },
    apiToken: '',
    allowedOrigins: '',
    apiAccess: { allowed: [], denied: [] },
    pipeline: () => [],
    apiLogging: { enabled: false, obfuscateUrls: false, omitHealthChecks: false },
    addresses: ['127.0.0.1'],
    port: 0,
    h2c: true,
    ...options,
  });
  await t.rejects(made.listen(), /already in use/);
  await t.rejects(fetch(`http://127.0.0.1:${made.port}/v1.0/healthz`));
  t.ok(api.port > 0);
});
