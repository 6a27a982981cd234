import t from 'tap';
import type { InvokeRequest } from '../../../../runtime/contracts/app-channel.ts';
import { PeerError, PeerUnavailableError } from '../../../../runtime/contracts/peer.ts';
import { fakeClock } from '../../../support/fake-clock.ts';
import {
  callContext,
  invokeRequest,
  invokeResponse,
  partsBody,
  textOf,
  wholeBody,
} from '../../../support/invocations.ts';
import { retrying, setUp } from './fixtures.ts';

t.test('a remote app is called at its address with the headers that tell who calls', async (t) => {
  const { block, peerCalls } = setUp();
  const response = await block.invoke(
    { id: 'callee' },
    invokeRequest({
      method: 'a%2Fb',
      headers: [
        ['X-One', '1'],
        ['dapr-caller-app-id', 'fake'],
      ],
    }),
    callContext(),
  );
  t.equal(await textOf(response.body), 'far');
  t.match(peerCalls, [{ address: 'callee.default:1', appId: 'callee', request: { method: 'a/b' } }]);
  t.same(peerCalls[0]?.request.headers, [
    ['X-One', '1'],
    ['X-Forwarded-For', '10.0.0.1'],
    ['X-Forwarded-Host', 'box'],
    ['Forwarded', 'for=10.0.0.1;by=10.0.0.1;host=box'],
    ['dapr-caller-app-id', 'me'],
    ['dapr-caller-namespace', 'default'],
    ['dapr-callee-app-id', 'callee'],
  ]);
});

t.test('forms of the id', async (t) => {
  const { block, peerCalls, externalCalls } = setUp();
  await block.invoke({ id: 'callee.zone' }, invokeRequest(), callContext());
  t.match(peerCalls, [{ address: 'callee.zone:1', appId: 'callee' }]);
  await t.rejects(block.invoke({ id: 'a.b.c' }, invokeRequest(), callContext()), {
    message: 'failed to invoke, id: a.b.c, err: invalid app id a.b.c',
  });
  await block.invoke({ id: 'ext' }, invokeRequest(), callContext());
  await block.invoke({ id: 'https://h/p' }, invokeRequest(), callContext());
  t.match(externalCalls, [
    { target: { baseUrl: 'http://e/base', followRedirects: true, sendAppToken: false } },
    { target: { baseUrl: 'https://h/p', followRedirects: false, sendAppToken: true } },
  ]);
});

t.test('the own app is called without any header added', async (t) => {
  const seen: InvokeRequest[] = [];
  const { block } = setUp({
    app: async (request) => {
      seen.push(request);
      return invokeResponse();
    },
  });
  await block.invoke(
    { id: 'me' },
    invokeRequest({ headers: [['dapr-caller-app-id', 'fake']] }),
    callContext(),
  );
  t.same(seen[0]?.headers, [['dapr-caller-app-id', 'fake']]);
});

t.test('recorded texts of failures', async (t) => {
  const failure = (block: ReturnType<typeof setUp>['block'], id: string, method = 'x') =>
    block.invoke({ id }, invokeRequest({ method }), callContext()).then(
      () => t.fail('must reject'),
      (error) => error,
    );
  const plain = setUp();
  const missing = await failure(plain.block, 'me');
  t.match(missing, {
    httpStatus: 500,
    errorCode: 'ERR_DIRECT_INVOKE',
    message: 'failed to invoke, id: me, err: cannot invoke local endpoint: app channel not initialized',
  });
  t.match(await failure(plain.block, 'nobody'), {
    message: "failed to invoke, id: nobody, err: couldn't find service: nobody",
  });
  t.match(await failure(plain.block, 'callee', 'a%23b'), {
    message:
      'failed to invoke, id: callee, err: rpc error: code = InvalidArgument desc = invalid method: method contains forbidden character: "a#b"',
  });
  const sick = setUp({ app: async () => invokeResponse(), appHealth: { healthy: false } });
  t.match(await failure(sick.block, 'me'), {
    message: 'failed to invoke, id: me, err: rpc error: code = Internal desc = app is not in a healthy state',
  });
  const denied = setUp({
    peers: {
      call: async () => {
        throw new PeerError(7, 'no');
      },
      close: async () => {},
    },
  });
  t.match(await failure(denied.block, 'callee'), {
    httpStatus: 403,
    message: 'failed to invoke, id: callee, err: rpc error: code = PermissionDenied desc = no',
  });
});

t.test('a callee that cannot be reached is tried three times more, at a fresh address', async (t) => {
  let calls = 0;
  const { block, forgotten } = setUp({
    peers: {
      call: async () => {
        calls += 1;
        throw new PeerUnavailableError('refused');
      },
      close: async () => {},
    },
  });
  await t.rejects(block.invoke({ id: 'callee' }, invokeRequest(), callContext()), {
    message:
      'failed to invoke, id: callee, err: failed to invoke target callee after 3 retries. Error: rpc error: code = Unavailable desc = refused',
  });
  t.equal(calls, 4);
  t.equal(forgotten.length, 4);
});

t.test('other failures of a callee are not repeated, nor a stream that was begun', async (t) => {
  let calls = 0;
  const failing = setUp({
    peers: {
      call: async () => {
        calls += 1;
        throw new PeerError(13, 'broken');
      },
      close: async () => {},
    },
  });
  await t.rejects(failing.block.invoke({ id: 'callee' }, invokeRequest(), callContext()));
  t.equal(calls, 1);
  calls = 0;
  const begun = setUp({
    peers: {
      call: async (_address, _appId, request) => {
        calls += 1;
        await textOf(request.body);
        throw new PeerUnavailableError('gone');
      },
      close: async () => {},
    },
  });
  await t.rejects(
    begun.block.invoke(
      { id: 'callee' },
      invokeRequest({ verb: 'POST', body: partsBody('a', 'b') }),
      callContext(),
    ),
  );
  t.equal(calls, 1);
});

t.test('a policy repeats failed answers and gives the last one', async (t) => {
  const answers = [500, 500, 503];
  const { block } = setUp({
    policy: retrying(3),
    app: async () => invokeResponse({ status: answers.shift() ?? 200, body: partsBody('no') }),
  });
  const response = await block.invoke({ id: 'me' }, invokeRequest({ body: wholeBody('{}') }), callContext());
  t.equal(response.status, 503);
  t.equal(Buffer.from(response.body.bytes ?? []).toString(), 'no');
  t.same(answers, []);
});

t.test('which answers fail, and with which status, depends on who calls whom', async (t) => {
  const policy = retrying(2);
  const statuses: unknown[] = [];
  const watched = {
    ...policy,
    run: ((attempt, options) =>
      policy.run(attempt, {
        ...options,
        failed: (value) => {
          const status = options.failed?.(value);
          statuses.push(status);
          return status;
        },
      })) as typeof policy.run,
  };
  const failing = async (protocol: 'http' | 'grpc', answer: { status: number; grpc?: boolean }) => {
    statuses.length = 0;
    const { block } = setUp({ policy: watched, app: async () => invokeResponse(answer) });
    const request = invokeRequest({ verb: 'POST', body: wholeBody('x') });
    await block.invoke({ id: 'me' }, request, { ...callContext(), protocol });
    return [...statuses];
  };
  t.same(await failing('http', { status: 500 }), [{ httpStatus: 500 }, { httpStatus: 500 }]);
  t.same(await failing('http', { status: 14, grpc: true }), [undefined], 'an answer like any other');
  t.same(await failing('grpc', { status: 14, grpc: true }), [{}, {}], 'no list of codes is asked');
  t.same(await failing('grpc', { status: 404 }), [{}, {}]);
  t.same(await failing('grpc', { status: 0, grpc: true }), [undefined]);
});

t.test(
  'under a policy with retries a body of known length is kept, a chunked one is not repeated',
  async (t) => {
    const bodies: string[] = [];
    const app = async (request: InvokeRequest) => {
      bodies.push(await textOf(request.body));
      return invokeResponse({ status: 500 });
    };
    const { block } = setUp({ policy: retrying(3), app });
    await block.invoke(
      { id: 'me' },
      invokeRequest({ verb: 'POST', body: { ...partsBody('ab', 'c'), length: 3 } }),
      callContext(),
    );
    t.same(bodies.splice(0), ['abc', 'abc', 'abc']);
    await block.invoke(
      { id: 'me' },
      invokeRequest({ verb: 'POST', body: partsBody('a', 'b') }),
      callContext(),
    );
    t.same(bodies, ['ab']);
  },
);

t.test('an app of the same node is called in the process, as if from another sidecar', async (t) => {
  const seen: InvokeRequest[] = [];
  const sibling = setUp({
    appId: 'callee',
    app: async (request) => {
      seen.push(request);
      return invokeResponse({ body: wholeBody('near') });
    },
  });
  const { block, peerCalls } = setUp({ localApps: (id) => (id === 'callee' ? sibling.block : undefined) });
  t.equal(await textOf((await block.invoke({ id: 'callee' }, invokeRequest(), callContext())).body), 'near');
  t.equal(peerCalls.length, 0);
  t.match(
    seen[0]?.headers.find(([name]) => name === 'dapr-caller-app-id'),
    ['dapr-caller-app-id', 'me'],
  );
  await block.invoke({ id: 'callee.zone' }, invokeRequest(), callContext());
  t.equal(peerCalls.length, 1, 'another namespace is another app');
});

t.test('calls of other sidecars: access control, health and the texts they see', async (t) => {
  const caller = { appId: 'other', namespace: 'default' };
  const local = (given: Parameters<typeof setUp>[0], request = invokeRequest()) =>
    setUp(given).block.invokeLocal(request, caller, callContext());
  const app = async () => invokeResponse();
  await t.rejects(local({}), { grpcCode: 13, message: 'app channel is not initialized' });
  const deny = { defaultAction: 'deny', trustDomain: 'public', policies: [] };
  await t.rejects(local({ app, accessControl: deny }), {
    grpcCode: 7,
    message: 'access control policy has denied access to id:  operation: x verb: GET',
  });
  const policies = [
    { appId: 'other', defaultAction: 'deny', trustDomain: 'public', namespace: 'default', operations: [] },
  ];
  t.equal(
    (await local({ app, accessControl: { ...deny, defaultAction: 'allow', policies } })).status,
    200,
    'no identity, no match',
  );
  await t.rejects(local({ app, accessControl: { ...deny, defaultAction: '', policies } }), {
    message: /^access control policy has denied access/,
  });
  await t.rejects(local({ app, appHealth: { healthy: false } }), {
    grpcCode: 13,
    message: 'error invoking app channel: rpc error: code = Internal desc = app is not in a healthy state',
  });
  await t.rejects(
    local({
      app: async () => {
        throw new Error('Get "http://h/x": EOF');
      },
    }),
    { grpcCode: 13, message: 'error invoking app channel: Get "http://h/x": EOF' },
  );
  await t.rejects(local({ app }, invokeRequest({ method: 'a%3Fb' })), { message: /^invalid method/ });
  const events = invokeRequest({ headers: [['Accept', ' Text/Event-Stream']] });
  let ended = false;
  const body = {
    async *stream(): AsyncGenerator<Uint8Array> {
      try {
        yield Buffer.from('x');
        yield Buffer.from('y');
      } finally {
        ended = true;
      }
    },
  };
  t.equal((await local({ app: async () => invokeResponse({ status: 204 }) }, events)).status, 204);
  await t.rejects(local({ app: async () => invokeResponse({ status: 404, body }) }, events), {
    grpcCode: 13,
    message: 'error invoking app channel: no response received from stream',
  });
  await Promise.resolve();
  t.ok(ended, 'nobody reads that answer, so it is ended');
});

t.test('a call without a verb is for gRPC apps', async (t) => {
  const { block } = setUp({ app: async () => invokeResponse() });
  for (const [verb, error] of [
    ['', 'missing HTTP extension field'],
    ['NONE', 'invalid HTTP verb'],
  ] as const) {
    for (const id of ['me', 'ext', 'http://elsewhere'])
      await t.rejects(block.invoke({ id }, invokeRequest({ verb }), callContext()), {
        message: `failed to invoke, id: ${id}, err: rpc error: code = InvalidArgument desc = ${error}`,
      });
    await t.rejects(
      block.invokeLocal(invokeRequest({ verb }), { appId: 'other', namespace: '' }, callContext()),
      {
        grpcCode: 13,
        message: `error invoking app channel: rpc error: code = InvalidArgument desc = ${error}`,
      },
    );
  }
  const verbs: string[] = [];
  const grpc = setUp({
    protocol: 'grpc',
    app: async ({ verb }) => {
      verbs.push(verb);
      return invokeResponse({ status: 0, grpc: true });
    },
  });
  await grpc.block.invoke({ id: 'me' }, invokeRequest({ verb: '' }), callContext());
  await grpc.block.invoke({ id: 'me' }, invokeRequest({ verb: 'NONE' }), callContext());
  t.same(verbs, ['', 'NONE']);
});

t.test('verbs: unknown ones are POST, CONNECT is refused', async (t) => {
  const verbs: string[] = [];
  const { block } = setUp({
    app: async (request) => {
      verbs.push(request.verb);
      return invokeResponse();
    },
  });
  for (const verb of ['PURGE', 'patch', 'TRACE'])
    await block.invoke({ id: 'me' }, invokeRequest({ verb }), callContext());
  t.same(verbs, ['POST', 'PATCH', 'TRACE']);
  await t.rejects(block.invoke({ id: 'me' }, invokeRequest({ verb: 'CONNECT' }), callContext()), {
    message: /invalid HTTP verb/,
  });
});

t.test(
  'an id that no neighbour answers to falls through to the far sidecar, and is not asked for again at once',
  async (t) => {
    const clock = fakeClock();
    let asked = 0;
    const { block, externalCalls } = setUp({
      clock,
      farSidecar: () => ({
        name: 'cloud',
        baseUrl: 'https://cloud',
        headers: [['dapr-api-token', 't'] as const],
      }),
      resolver: () => ({
        init: async () => {},
        close: async () => {},
        register: async () => ({ close: async () => {} }),
        resolve: async ({ appId }) => {
          asked += 1;
          if (appId === 'near') return 'near:1';
          throw new Error(`couldn't find service: ${appId}`);
        },
      }),
    });
    const invoke = (id: string) => block.invoke({ id }, invokeRequest({ method: 'a/b' }), callContext());
    await invoke('bill ing');
    t.match(externalCalls.at(-1), {
      target: { baseUrl: 'https://cloud', headers: [['dapr-api-token', 't']], sendAppToken: false },
      request: { method: 'v1.0/invoke/bill%20ing/method/a/b' },
    });
    await invoke('bill ing');
    t.equal(asked, 1, 'the answer is remembered');
    await invoke('near');
    t.equal(externalCalls.length, 2, 'a neighbour is called at its own address');
    await clock.advance(10_001);
    await invoke('bill ing');
    t.equal(asked, 3, 'but not for ever');
  },
);
