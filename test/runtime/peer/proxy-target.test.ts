import t from 'tap';
import type { HeaderList } from '../../../runtime/contracts/app-channel.ts';
import { GrpcStatusError } from '../../../runtime/contracts/grpc-wire/status.ts';
import { parseSpiffeId, type SpiffeId } from '../../../runtime/contracts/spiffe.ts';
import type { GrpcClient } from '../../../runtime/grpc-client/client.ts';
import { openProxyStream, type ProxyTargetOptions } from '../../../runtime/peer/proxy-target.ts';
import { callContext } from '../../support/invocations.ts';

function setUp(given: Partial<ProxyTargetOptions> = {}) {
  const opened: { to: string; path: string; metadata: HeaderList; contentType: string | undefined }[] = [];
  const timeouts: (number | undefined)[] = [];
  const failing = new Set<string>();
  const client = (to: string) =>
    ({
      bidi: async (
        path: string,
        options: { metadata: HeaderList; contentType?: string; timeoutMs?: number },
      ) => {
        timeouts.push(options.timeoutMs);
        if (failing.delete(to)) throw new GrpcStatusError(14, 'refused');
        opened.push({ to, path, metadata: options.metadata, contentType: options.contentType });
        return {};
      },
    }) as unknown as GrpcClient;
  const forgotten: string[] = [];
  const options: ProxyTargetOptions = {
    appId: 'me',
    namespace: '',
    clients: { client, close: async () => {} },
    appClient: () => client('app'),
    appHealth: { healthy: true },
    appToken: 'secret',
    resolver: () => ({
      init: async () => {},
      close: async () => {},
      register: async () => ({ close: async () => {} }),
      resolve: async ({ appId }) => {
        if (appId === 'nobody') throw new Error("couldn't find service: nobody");
        return `${appId}:1`;
      },
      forget: (_request, address) => void forgotten.push(address),
    }),
    ...given,
  };
  const call = (
    metadata: HeaderList,
    path = '/pkg.Service/Method',
    timeoutMs?: number,
    callerId?: SpiffeId,
  ) =>
    openProxyStream(
      { path, metadata, signal: new AbortController().signal, span: callContext().span, timeoutMs, callerId },
      options,
    );
  return { call, opened, failing, forgotten, timeouts, client };
}

t.test('a remote target: same method, own identity, frames as they are', async (t) => {
  const { call, opened } = setUp();
  await call([
    ['dapr-app-id', 'you'],
    ['dapr-caller-app-id', 'fake'],
    ['x-mine', '1'],
    ['traceparent', 'tp'],
  ]);
  t.same(opened, [
    {
      to: 'you:1',
      path: '/pkg.Service/Method',
      contentType: 'application/grpc+proto',
      metadata: [
        ['x-mine', '1'],
        ['traceparent', 'tp'],
        ['dapr-caller-app-id', 'me'],
        ['dapr-callee-app-id', 'you'],
      ],
    },
  ]);
});

t.test('the own app: token of the app, callee id before app id', async (t) => {
  const { call, opened } = setUp();
  await call(
    [
      ['dapr-callee-app-id', 'me'],
      ['dapr-app-id', 'you'],
      ['dapr-api-token', 'mine'],
    ],
    '/pkg.Service/../pkg.Other/Method',
  );
  t.same(
    opened.map(({ to, path }) => [to, path]),
    [['app', '/pkg.Other/Method']],
  );
  t.same(
    opened[0]?.metadata.filter(([name]) => name === 'dapr-api-token'),
    [['dapr-api-token', 'secret']],
  );
});

t.test('a connection that breaks at once is made again, at a fresh address', async (t) => {
  const { call, opened, failing, forgotten } = setUp();
  failing.add('you:1');
  await call([['dapr-app-id', 'you']]);
  t.same([opened.length, forgotten], [1, ['you:1']]);
});

t.test('statuses of calls that go nowhere', async (t) => {
  await t.rejects(setUp().call([]), {
    code: 2,
    message: /required metadata dapr-callee-app-id or dapr-app-id not found/,
  });
  await t.rejects(setUp().call([['dapr-app-id', 'nobody']]), { message: "couldn't find service: nobody" });
  await t.rejects(setUp({ appClient: () => undefined }).call([['dapr-app-id', 'me']]), { code: 14 } as never);
  await t.rejects(setUp({ appHealth: { healthy: false } }).call([['dapr-app-id', 'me']]), {
    message: 'app is not in a healthy state',
  });
  await t.rejects(
    setUp({ accessCheck: (_caller, { name, verb, http }) => `denied ${name} ${verb} ${http}` }).call([
      ['dapr-app-id', 'me'],
    ]),
    { code: 7, message: 'denied /pkg.Service/Method NONE false' },
  );
});

t.test('the deadline of the caller goes on, and an app of the same node needs no resolver', async (t) => {
  const other = setUp();
  const { call, timeouts, opened } = setUp({
    resolver: () => undefined,
    siblingClient: (id) => (id === 'sibling' ? other.client('inside') : undefined),
  });
  await call([['dapr-app-id', 'me']], '/pkg.Service/Method', 1500);
  await call([['dapr-app-id', 'me']]);
  t.same(timeouts, [1500, undefined]);
  await call([['dapr-app-id', 'sibling']]);
  await t.rejects(call([['dapr-app-id', 'sibling.elsewhere']]), { message: 'name resolver not initialized' });
  t.same(
    opened.map(({ to }) => to),
    ['app', 'app'],
  );
  t.same(
    other.opened.map(({ to }) => to),
    ['inside'],
  );
});

t.test('in a mesh the certificate names the caller, and other apps are not reached from here', async (t) => {
  const callerId = parseSpiffeId('spiffe://public/ns/default/you');
  const { call, opened } = setUp({ ownAppOnly: true });
  await call(
    [
      ['dapr-callee-app-id', 'me'],
      ['dapr-caller-app-id', 'somebody-else'],
    ],
    '/pkg.Service/Method',
    undefined,
    callerId,
  );
  t.same(opened[0]?.metadata, [
    ['dapr-callee-app-id', 'me'],
    ['dapr-caller-app-id', 'you'],
    ['dapr-caller-namespace', 'default'],
    ['dapr-api-token', 'secret'],
  ]);
  await t.rejects(
    call([['dapr-callee-app-id', 'third']], '/pkg.Service/Method', undefined, callerId),
    { code: 7, message: 'third is not the app of this sidecar' },
    'nobody borrows the identity of this sidecar',
  );
});
