import t from 'tap';
import { runtimeError } from '../../../../runtime/contracts/error.ts';
import { fakeBlocks, METADATA, serve } from '../fake-api.ts';

const post = (path: string, body?: string | object) => ({
  method: 'POST',
  path,
  ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
});

t.test('bindings: data as JSON bytes, answers and failures with metadata headers', async (t) => {
  const seen: unknown[] = [];
  const api = await serve(
    t,
    fakeBlocks({
      bindings: {
        invoke: async (name, { operation, data, metadata }) => {
          seen.push([name, operation, Buffer.from(data).toString(), metadata]);
          if (operation === 'none') return undefined;
          if (operation === 'fail')
            throw runtimeError(
              'outputBinding',
              { binding: name, error: 'x' },
              { responseMetadata: { statusCode: '404' } },
            );
          return operation === 'empty'
            ? { metadata: { a: 'b\nc' } }
            : { data: Buffer.from('plain'), metadata: { 'Content-Type': 'é' } };
        },
      },
    }),
  );
  const call = (body: string) => api.call(post('/v1.0/bindings/b', body));
  const got = await call('{"Operation":"create","DATA":{"b":1,"a":"<"},"Metadata":{"x":"y"}}');
  t.strictSame(seen[0], ['b', 'create', '{"a":"\\u003c","b":1}', { x: 'y' }]);
  t.strictSame([got.status, got.headers['content-type'], got.text], [200, 'application/json', 'plain']);
  t.equal(Buffer.from(String(got.headers['metadata.content-type']), 'latin1').toString(), 'é');
  t.equal((await call('{"operation":"none"}')).status, 204);
  t.equal((seen[1] as unknown[])[2], 'null');
  const empty = await call('{"operation":"empty"}');
  t.strictSame([empty.status, empty.text, empty.headers['metadata.a']], [200, '', 'b c']);
  const failed = await call('{"operation":"fail"}');
  t.strictSame([failed.status, failed.headers['metadata.statuscode']], [500, '404']);
  for (const body of ['nonsense', '', '[]', '{"operation":5}', '{"operation":"x","metadata":{"a":5}}']) {
    t.match(
      (await call(body)).json,
      { errorCode: 'ERR_MALFORMED_REQUEST', message: /^failed deserializing HTTP body: / },
      body,
    );
  }
});

t.test('secrets: values sorted, 204 when the store has no answer', async (t) => {
  const api = await serve(
    t,
    fakeBlocks({
      secrets: {
        get: async (_store, key, metadata) =>
          key === 'none' ? undefined : { b: '1', a: JSON.stringify(metadata) },
        bulkGet: async () => ({}),
      },
    }),
  );
  t.equal(
    (await api.call({ path: '/v1.0/secrets/s/with+space%2Fslash?metadata.v=1' })).text,
    '{"a":"{\\"v\\":\\"1\\"}","b":"1"}',
  );
  t.equal((await api.call({ path: '/v1.0/secrets/s/none' })).status, 204);
  t.equal((await api.call({ path: '/v1.0/secrets/s/bulk' })).text, '{}');
});

t.test('configuration: items without empty members, ids, and a failure without code', async (t) => {
  const seen: unknown[] = [];
  const api = await serve(
    t,
    fakeBlocks({
      configuration: {
        get: async (_store, keys) => {
          seen.push(keys);
          return keys.length === 0
            ? {}
            : {
                a: { value: 'v', version: '', metadata: {} },
                Z: { value: '', version: '1', metadata: { m: 'n' } },
              };
        },
        subscribe: async (_store, keys, metadata) => JSON.stringify([keys, metadata]),
        unsubscribe: async (_store, id) => (id === 'gone' ? 'it is gone' : undefined),
      },
    }),
  );
  t.equal(
    (await api.call({ path: '/v1.0/configuration/c?key=a&key=b&metadata.x=y' })).text,
    '{"Z":{"metadata":{"m":"n"},"version":"1"},"a":{"value":"v"}}',
  );
  t.strictSame(seen, [['a', 'b']]);
  t.equal((await api.call({ path: '/v1.0-alpha1/configuration/c' })).status, 204);
  t.strictSame((await api.call({ path: '/v1.0/configuration/c/subscribe?key=a&metadata.x=y' })).json, {
    id: '[["a"],{"x":"y"}]',
  });
  t.strictSame((await api.call({ path: '/v1.0/configuration/c/id/unsubscribe' })).json, { ok: true });
  const gone = await api.call({ path: '/v1.0/configuration/c/gone/unsubscribe' });
  t.strictSame(
    [gone.status, gone.json],
    [500, { message: 'failed to unsubscribe to configuration request gone: it is gone' }],
  );
});

t.test('metadata: empty members are left out', async (t) => {
  const api = await serve(
    t,
    fakeBlocks({
      metadata: {
        get: () => ({
          ...METADATA,
          components: [{ name: 'm', type: 't', version: 'v1', capabilities: [] }],
          subscriptions: [
            {
              pubsubName: 'ps',
              topic: 'a',
              metadata: {},
              rules: [{ match: '', path: '/a' }],
              deadLetterTopic: '',
              type: 'PROGRAMMATIC',
            },
          ],
          httpEndpoints: ['ext'],
          schedulerAddresses: ['x:1'],
          extended: { empty: '' },
          appConnection: {
            port: 3000,
            protocol: 'http',
            channelAddress: 'h',
            maxConcurrency: 7,
            health: { path: '/p', intervalMs: 2000, timeoutMs: 300, threshold: 4 },
          },
        }),
      },
    }),
  );
  const answer = await api.call({ path: '/v1.0/metadata' });
  t.ok(answer.text.endsWith('}\n'));
  t.strictSame(answer.json, {
    id: 'app',
    runtimeVersion: '1.0.0',
    components: [{ name: 'm', type: 't', version: 'v1' }],
    extended: { empty: '' },
    subscriptions: [
      { pubsubname: 'ps', topic: 'a', rules: [{ path: '/a' }], deadLetterTopic: '', type: 'PROGRAMMATIC' },
    ],
    httpEndpoints: [{ name: 'ext' }],
    appConnectionProperties: {
      port: 3000,
      protocol: 'http',
      channelAddress: 'h',
      maxConcurrency: 7,
      health: {
        healthCheckPath: '/p',
        healthProbeInterval: '2s',
        healthProbeTimeout: '300ms',
        healthThreshold: 4,
      },
    },
    actorRuntime: { runtimeStatus: 'DISABLED', hostReady: false, placement: 'placement: disconnected' },
    scheduler: { connected_addresses: ['x:1'] },
  });
});

t.test('a gRPC app has no path of health checks', async (t) => {
  const health = { path: '/healthz', intervalMs: 2000, timeoutMs: 300, threshold: 4 };
  const appConnection = {
    port: 3000,
    protocol: 'grpcs',
    channelAddress: 'h',
    maxConcurrency: 0,
    health,
  } as const;
  const api = await serve(t, fakeBlocks({ metadata: { get: () => ({ ...METADATA, appConnection }) } }));
  const { json } = await api.call({ path: '/v1.0/metadata' });
  t.strictSame((json as { appConnectionProperties: object }).appConnectionProperties, {
    port: 3000,
    protocol: 'grpcs',
    channelAddress: 'h',
    health: { healthProbeInterval: '2s', healthProbeTimeout: '300ms', healthThreshold: 4 },
  });
});

t.test('health, shutdown after the answer, and the ledger of queues', async (t) => {
  const events: string[] = [];
  let stopped: (() => void) | undefined;
  const down = new Promise<void>((resolve) => {
    stopped = resolve;
  });
  const counts = {
    accepted: 3,
    delivered: 1,
    pending: 1,
    parked: 0,
    dropped: { expired: 1 },
    pendingBytes: 5,
  };
  const api = await serve(
    t,
    fakeBlocks({
      health: {
        check: (appId) => {
          if (appId !== undefined && appId !== 'app') throw runtimeError('appIdMismatch');
        },
        checkOutbound: () => {
          throw runtimeError('outboundNotReady');
        },
      },
      node: {
        shutdown: (force) => {
          events.push(`shutdown ${force}`);
          stopped?.();
        },
        spools: async () => [{ name: 'app/b', counts }],
      },
    }),
  );
  t.equal((await api.call({ path: '/v1.0/healthz?appid=app' })).status, 204);
  t.equal((await api.call({ path: '/v1.0/healthz?appId=other' })).status, 204);
  t.match((await api.call({ path: '/v1.0/healthz?appid=' })).json, {
    errorCode: 'ERR_HEALTH_APPID_NOT_MATCH',
  });
  t.match((await api.call({ path: '/v1.0/healthz/outbound' })).json, {
    errorCode: 'ERR_OUTBOUND_HEALTH_NOT_READY',
  });
  t.strictSame((await api.call({ path: '/v1.0/skerry/spool' })).json, {
    queues: [{ name: 'app/b', ...counts }],
  });
  t.equal(
    (await api.call({ ...post('/v1.0/shutdown'), headers: { 'dapr-force-shutdown': 'TRUE' } })).status,
    204,
  );
  await down;
  t.strictSame(events, ['shutdown true']);
});
