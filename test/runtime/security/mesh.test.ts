/** Sidecars of one mesh on real TLS connections, with a sentry and an authority that the test plays. */

import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { connect, type SecureClientSessionOptions } from 'node:http2';
import { join } from 'node:path';
import { setImmediate as turn } from 'node:timers/promises';
import { connect as tlsConnect } from 'node:tls';
import t, { type Test } from 'tap';
import type { InvokeRequest } from '../../../runtime/contracts/app-channel.ts';
import type { CallContext } from '../../../runtime/contracts/call-context.ts';
import { PeerUnavailableError } from '../../../runtime/contracts/peer.ts';
import { createGrpcServer } from '../../../runtime/grpc/server.ts';
import { createGrpcClientPool } from '../../../runtime/grpc-client/client.ts';
import { createPeers } from '../../../runtime/peer/peer-client.ts';
import { createPeerService } from '../../../runtime/peer/peer-server.ts';
import { systemClock } from '../../../runtime/platform/system-clock.ts';
import { openMeshSecurity } from '../../../runtime/security/mesh-security.ts';
import type { SecuritySettings } from '../../../runtime/security/settings.ts';
import { createAuthority, publicKeyOfRequest } from '../../support/certificate-authority.ts';
import { type FakeClock, fakeClock } from '../../support/fake-clock.ts';
import { callContext, invokeRequest, invokeResponse, textOf, wholeBody } from '../../support/invocations.ts';
import { recordingLogger } from '../../support/recording-logger.ts';
import { seededRandom } from '../../support/seeded-random.ts';
import { appSpiffeId, SENTRY_ID, startSentry, type TestSentry } from '../../support/sentry.ts';

const metrics = { count: () => {}, observe: () => {}, gauge: () => {} };
const HOUR = 3_600_000;

interface MemberRequest {
  readonly sentry: TestSentry;
  readonly anchors: SecuritySettings['trustAnchors'];
  readonly namespace?: string;
  /** Of the identity; transports run on real time. */
  readonly clock?: FakeClock;
  readonly settings?: Partial<SecuritySettings>;
}

function settingsOf(appId: string, request: MemberRequest): SecuritySettings {
  return {
    sentryAddress: request.sentry.address,
    sentryId: SENTRY_ID,
    trustAnchors: request.anchors,
    workload: { namespace: request.namespace ?? 'default', appId },
    identity: appId,
    tokenFile: undefined,
    bootstrap: undefined,
    ...request.settings,
  };
}

/** A sidecar's internal server and its way to others; its app answers `hello from <app id>`. */
async function joinMesh(t: Test, appId: string, request: MemberRequest) {
  const log = recordingLogger();
  const clock = systemClock();
  const security = await openMeshSecurity(
    {
      settings: settingsOf(appId, request),
      clock: request.clock ?? fakeClock(clock.now()),
      random: seededRandom(1),
      log,
      metrics,
    },
    new AbortController().signal,
  );
  const received: { request: InvokeRequest; caller: object; call: CallContext }[] = [];
  const server = createGrpcServer({
    addresses: ['127.0.0.1'],
    port: 0,
    maxMessageBytes: 1 << 20,
    protocol: 'internal',
    clock,
    log,
    metrics,
    tls: security.server,
    services: [
      createPeerService({
        invoke: {
          invokeLocal: async (invocation, caller, call) => {
            received.push({ request: invocation, caller, call });
            return invokeResponse({ body: wholeBody(`hello from ${appId}`) });
          },
        },
      }),
    ],
    tracer: { enabled: false, start: () => callContext().span },
  });
  const port = await server.listen();
  const clients = createGrpcClientPool({ clock, dial: security.dial });
  const peers = createPeers({ clients, log });
  t.teardown(async () => {
    await peers.close();
    await server.close(0);
    await security.close();
  });
  const address = `127.0.0.1:${port}`;
  const call = async (
    to: { readonly address: string },
    callee: string,
    given: { namespace?: string; headers?: InvokeRequest['headers'] } = {},
  ): Promise<string> => {
    const invocation = invokeRequest({ headers: [['x-mine', '1'], ...(given.headers ?? [])] });
    const answer = await peers.call(to.address, callee, invocation, callContext(), given.namespace);
    return textOf(answer.body);
  };
  const warnings = (): string[] =>
    log.lines.filter(({ level }) => level === 'warn').map(({ message }) => message);
  return { security, received, clients, address, port, call, log, warnings };
}

async function setUp(t: Test) {
  const root = createAuthority();
  const authority = root.intermediate('issuer');
  const sentry = await startSentry(t, { authority });
  return { root, authority, sentry, anchors: { pem: root.certificate } };
}

/** Opens a connection as a stranger and tells how it ended; `undefined` when it was served. */
async function knock(port: number, options: SecureClientSessionOptions | undefined): Promise<unknown> {
  const session = connect(`${options === undefined ? 'http' : 'https'}://127.0.0.1:${port}`, options);
  const stream = session.request({ ':method': 'POST', ':path': '/a/b', 'content-type': 'application/grpc' });
  stream.end();
  const end = await new Promise((resolve) => {
    stream.once('response', () => resolve(undefined));
    stream.once('error', resolve);
    session.on('error', resolve);
    session.once('close', () => resolve('closed'));
  });
  session.destroy();
  return end;
}

t.test('members call each other, and the callee knows who calls', async (t) => {
  const mesh = await setUp(t);
  const a = await joinMesh(t, 'a', mesh);
  const b = await joinMesh(t, 'b', mesh);
  t.equal(a.security.id.text, appSpiffeId('a'));
  t.match(mesh.sentry.requests[0], {
    id: 'a',
    namespace: 'default',
    token: '',
    tokenValidator: 0,
    trustDomain: '',
  });
  const headers = [
    ['Dapr-Caller-App-Id', 'somebody-else'],
    ['dapr-caller-namespace', 'elsewhere'],
  ] as const;
  t.equal(await a.call(b, 'b', { headers }), 'hello from b');
  t.equal(await b.call(a, 'a'), 'hello from a');
  const [seen] = b.received;
  t.equal(seen?.call.callerId?.text, appSpiffeId('a'));
  t.same(seen?.caller, { appId: 'a', namespace: 'default' });
  t.same(
    seen?.request.headers.filter(([name]) => name.toLowerCase().startsWith('dapr-caller')),
    [
      ['dapr-caller-app-id', 'a'],
      ['dapr-caller-namespace', 'default'],
    ],
    'the certificate tells the name, not the request',
  );
  t.throws(() => a.clients.client(b.address), /nobody is named/, 'no way around verification');
});

t.test('only the app that is meant is called', async (t) => {
  const mesh = await setUp(t);
  const a = await joinMesh(t, 'a', mesh);
  const b = await joinMesh(t, 'b', mesh);
  const far = await joinMesh(t, 'far', { ...mesh, namespace: 'other' });
  const refusal = (id: string) => ({
    message: new RegExp(`unexpected SPIFFE ID: "${id}"`),
  });
  await t.rejects(a.call(b, 'c'), refusal(appSpiffeId('b')));
  await t.rejects(a.call(b, 'c'), PeerUnavailableError as never);
  await t.rejects(a.call(b, 'b', { namespace: 'other' }), refusal(appSpiffeId('b')));
  await t.rejects(a.call(far, 'far'), refusal(appSpiffeId('far', 'other')));
  t.equal(await a.call(far, 'far', { namespace: 'other' }), 'hello from far');
  t.equal(await a.call(b, 'b'), 'hello from b');
  t.equal(b.received.length, 1);
  mesh.sentry.answer = ({ certificateSigningRequest: csr }) =>
    mesh.authority.sign(publicKeyOfRequest(Buffer.from(csr).toString()), {
      uris: [appSpiffeId('b', 'default', 'another-domain')],
    });
  const cousin = await joinMesh(t, 'b', mesh);
  t.equal(
    await a.call(cousin, 'b'),
    'hello from b',
    'the trust domain of a callee is not known before, as in Dapr',
  );
});

t.test('strangers are refused', async (t) => {
  const mesh = await setUp(t);
  const b = await joinMesh(t, 'b', mesh);
  const elsewhere = createAuthority('elsewhere');
  const { pem } = mesh.anchors;
  const verify = { ca: pem, checkServerIdentity: () => undefined };
  const of = (issued: { chain: string; key: string }) => ({ ...verify, cert: issued.chain, key: issued.key });
  const uris = [appSpiffeId('a')];
  const good = mesh.authority.issue({ uris });
  t.equal(await knock(b.port, of(good)), undefined, 'the way of knocking works');
  const now = systemClock().now();
  const cases: Readonly<Record<string, SecureClientSessionOptions | undefined>> = {
    plaintext: undefined,
    'no certificate': verify,
    'another authority': of(elsewhere.issue({ uris })),
    expired: of(mesh.authority.issue({ uris, from: now - 2 * HOUR, to: now - HOUR })),
    'not valid yet': of(mesh.authority.issue({ uris, from: now + HOUR, to: now + 2 * HOUR })),
    'no SPIFFE id': of(mesh.authority.issue({ dns: ['a.default'] })),
    'two SPIFFE ids': of(mesh.authority.issue({ uris: [...uris, appSpiffeId('b')] })),
    'an authority': of(mesh.authority.issue({ uris, ca: true })),
    'TLS 1.2': { ...of(good), maxVersion: 'TLSv1.2' },
  };
  for (const [name, options] of Object.entries(cases)) t.ok(await knock(b.port, options), name);
  t.equal(b.received.length, 0);
  t.equal(await knock(b.port, of(good)), undefined, 'and still does');
});

t.test('the log tells why', async (t) => {
  const mesh = await setUp(t);
  const b = await joinMesh(t, 'b', mesh);
  const now = systemClock().now();
  const expired = mesh.authority.issue({ uris: [appSpiffeId('a')], from: now - 2 * HOUR, to: now - HOUR });
  const options = { ca: mesh.anchors.pem, checkServerIdentity: () => undefined };
  for (let times = 0; times < 3; times += 1)
    await knock(b.port, { ...options, cert: expired.chain, key: expired.key });
  t.same(b.warnings(), ['refused a connection: CERT_HAS_EXPIRED'], 'once a second at most');
  const c = await joinMesh(t, 'c', mesh);
  const nameless = mesh.authority.issue({});
  await knock(c.port, { ...options, cert: nameless.chain, key: nameless.key });
  t.same(c.warnings(), ['refused a connection from 127.0.0.1: the certificate names no SPIFFE id']);
});

t.test('a new identity is used by new connections, and running ones go on', async (t) => {
  const mesh = await setUp(t);
  const clock = fakeClock(systemClock().now());
  const a = await joinMesh(t, 'a', { ...mesh, clock });
  const b = await joinMesh(t, 'b', { ...mesh, clock });
  await a.call(b, 'b');
  const serial = async (): Promise<string> => {
    const { cert, key, ca } = a.security.server.credentials();
    const socket = tlsConnect({
      host: '127.0.0.1',
      port: b.port,
      cert,
      key,
      ca,
      checkServerIdentity: () => undefined,
    });
    await once(socket, 'secureConnect');
    const { serialNumber } = socket.getPeerCertificate();
    socket.destroy();
    return serialNumber;
  };
  const before = await serial();
  t.equal(await serial(), before);
  const own = a.security.server.credentials().cert;
  await clock.advance(HOUR);
  while (a.security.server.credentials().cert === own || mesh.sentry.requests.length < 4) await turn();
  while ((await serial()) === before) await turn();
  t.not(await serial(), before);
  t.equal(await a.call(b, 'b'), 'hello from b', 'the connection of before');
  const again = createGrpcClientPool({ clock: systemClock(), dial: a.security.dial });
  t.teardown(() => again.close());
  await again.client(b.address, { namespace: 'default', appId: 'b' }).connect();
  t.pass('a new one, with the new certificate');
});

t.test('trust anchors from a file are changed while we run', async (t) => {
  const [one, two] = [createAuthority('one'), createAuthority('two')];
  const file = join(t.testdir({}), 'ca.pem');
  writeFileSync(file, one.certificate);
  const clock = fakeClock(systemClock().now());
  const a = await joinMesh(t, 'a', {
    sentry: await startSentry(t, { authority: one }),
    anchors: { file },
    clock,
  });
  const both = { pem: one.certificate + two.certificate };
  const b = await joinMesh(t, 'b', { sentry: await startSentry(t, { authority: two }), anchors: both });
  await t.rejects(a.call(b, 'b'), { message: /self-signed certificate in certificate chain|unable to/ });
  await t.rejects(b.call(a, 'a'), PeerUnavailableError as never);
  writeFileSync(file, both.pem);
  await clock.advance(5000);
  while (a.security.server.credentials().ca !== both.pem) await turn();
  t.equal(await a.call(b, 'b'), 'hello from b');
  t.equal(await b.call(a, 'a'), 'hello from a');
});

t.test('trust anchors need not be roots for those who call', async (t) => {
  const { authority, sentry, anchors } = await setUp(t);
  const b = await joinMesh(t, 'b', { sentry, anchors });
  const a = await joinMesh(t, 'a', { sentry, anchors: { pem: authority.certificate } });
  t.equal(await a.call(b, 'b'), 'hello from b');
});

t.test('what sentry is asked with', async (t) => {
  const { authority, root, anchors } = await setUp(t);
  const token = join(t.testdir({ token: 'a.b.c' }), 'token');
  const sentry = await startSentry(t, { authority, clientAnchors: root.certificate });
  const bootstrap = authority.issue({ uris: ['spiffe://localhost/ns/default/bootstrap'] });
  const settings = { tokenFile: token, bootstrap, identity: 'plant:robot' };
  sentry.answer = ({ certificateSigningRequest: csr }) =>
    authority.sign(publicKeyOfRequest(Buffer.from(csr).toString()), {
      uris: [appSpiffeId('robot', 'plant')],
    });
  const a = await joinMesh(t, 'a', { sentry, anchors, namespace: 'plant', settings });
  t.match(sentry.requests[0], { id: 'plant:robot', namespace: 'plant', token: 'a.b.c', tokenValidator: 3 });
  t.match(a.warnings(), [
    'sentry gave the identity spiffe://public/ns/plant/robot: sidecars that look for /ns/plant/a will refuse it',
  ]);
});

t.test('a sentry that cannot be used is named in the log, and asked again', async (t) => {
  const { root, authority, sentry, anchors } = await setUp(t);
  const now = systemClock().now();
  const startWith = async (own: { uris?: string[]; from?: number; to?: number }): Promise<TestSentry> =>
    startSentry(t, { authority, own: authority.issue({ uris: [SENTRY_ID], ...own }) });
  const cases: readonly [string, Partial<SecuritySettings>, RegExp][] = [
    [
      'wrong authority',
      { trustAnchors: { pem: createAuthority('elsewhere').certificate } },
      /self-signed certificate in|unable to get/,
    ],
    [
      'wrong trust domain',
      { sentryId: SENTRY_ID.replace('localhost', 'other') },
      /unexpected SPIFFE ID: "spiffe:\/\/localhost\/ns\/default\/dapr-sentry"/,
    ],
    [
      'expired',
      { sentryAddress: (await startWith({ from: now - 2 * HOUR, to: now - HOUR })).address },
      /certificate has expired.*The clock of this host says/,
    ],
    [
      'not valid yet',
      { sentryAddress: (await startWith({ from: now + HOUR, to: now + 2 * HOUR })).address },
      /certificate is not yet valid.*The clock of this host says/,
    ],
    ['no name', { sentryAddress: (await startWith({ uris: [] })).address }, /the server has no SPIFFE id/],
    ['not there', { sentryAddress: '127.0.0.1:1' }, /connection refused/],
    ['no token', { tokenFile: join(t.testdir({}), 'none') }, /error obtaining token: failed to read token/],
    [
      'no anchors',
      { trustAnchors: { file: join(t.testdir({}), 'none') } },
      /failed to read trust anchors file/,
    ],
  ];
  for (const [name, change, text] of cases) {
    const log = recordingLogger();
    const clock = fakeClock(now);
    const closing = new AbortController();
    const waiting = openMeshSecurity(
      {
        settings: settingsOf('a', { sentry, anchors, settings: change }),
        clock,
        random: seededRandom(1),
        log,
        metrics,
      },
      closing.signal,
    );
    const ended = t.rejects(waiting, { message: 'enough' }, name);
    while (log.lines.at(-1)?.level !== 'error') await turn();
    t.match(log.lines.at(-1)?.message, text, name);
    closing.abort(new Error('enough'));
    await ended;
  }
  t.equal(sentry.requests.length, 0, 'nothing was asked of a sentry that is not trusted');
  t.ok(root.certificate);
});

t.test('a refusal of sentry, and trust anchors that are none, end the start', async (t) => {
  const { sentry, anchors } = await setUp(t);
  sentry.answer = () => ({ code: 7, details: 'invalid request: app ID must be 64 characters or less' });
  await t.rejects(joinMesh(t, 'a', { sentry, anchors }), {
    message:
      'failed to retrieve the initial identity: error from sentry SignCertificate: rpc error: code = PermissionDenied desc = invalid request: app ID must be 64 characters or less',
  });
  await t.rejects(joinMesh(t, 'a', { sentry, anchors: { pem: 'none' } }), {
    message: /failed to decode trust anchors/,
  });
});
