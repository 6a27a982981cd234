// One mesh of real Dapr parts and Skerry: sentry signs for all, daprd and Skerry call each other over HTTP and gRPC, and
// access policies go by certificates. SKERRY_TEST_SENTRY and SKERRY_TEST_DAPRD name the binaries.

import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import * as grpc from '@grpc/grpc-js';
import t, { type Test } from 'tap';
import { unaryCall } from '../support/grpc-harness.ts';
import { type Answer, call } from './support/http-call.ts';
import { nodesDirectory, type RunningNode, startProcess, startSidecar } from './support/node-process.ts';
import { freePort } from './support/ports.ts';
import { realProgram } from './support/real-dapr.ts';
import { configuration, writeFiles } from './support/resource-files.ts';
import { startApp } from './support/scripted-app.ts';
import { until } from './support/until.ts';

const { path: DAPRD, missing: withoutDaprd } = realProgram('SKERRY_TEST_DAPRD', 'binary');
const { path: SENTRY, missing: withoutSentry } = realProgram('SKERRY_TEST_SENTRY', 'binary');
const skip = withoutSentry || withoutDaprd;

const ECHO = '/test.Echo/Say';

interface Mesh {
  readonly env: Readonly<Record<string, string>>;
  readonly args: readonly string[];
}

async function startMesh(t: Test): Promise<Mesh> {
  const folder = join(nodesDirectory(t), 'authority');
  mkdirSync(folder);
  const port = await freePort();
  const sentry = startProcess(t, String(SENTRY), [
    `--port=${port}`,
    '--listen-address=127.0.0.1',
    `--healthz-port=${await freePort()}`,
    `--metrics-port=${await freePort()}`,
    `--issuer-credentials=${folder}`,
    `--config=${join(writeFiles(nodesDirectory(t), 'sentry', { 'config.yaml': configuration({}) }), 'config.yaml')}`,
  ]);
  await until('sentry to run', () => sentry.output().includes('Running gRPC server on port'));
  return {
    env: { DAPR_TRUST_ANCHORS: readFileSync(join(folder, 'ca.crt'), 'utf8'), NAMESPACE: 'default' },
    args: ['--enable-mtls', `--sentry-address=127.0.0.1:${port}`],
  };
}

/** Lets `caller` use /open by GET, and everything else by nobody. */
function policies(t: Test, caller: string): string {
  const operations = [
    { name: '/open', httpVerb: ['GET'], action: 'allow' },
    { name: ECHO, httpVerb: ['*'], action: 'allow' },
  ];
  const spec = {
    accessControl: {
      defaultAction: 'deny',
      trustDomain: 'public',
      policies: [
        { appId: caller, defaultAction: 'deny', trustDomain: 'public', namespace: 'default', operations },
      ],
    },
  };
  const folder = writeFiles(nodesDirectory(t), `policies-for-${caller}`, { 'c.yaml': configuration(spec) });
  return `--config=${join(folder, 'c.yaml')}`;
}

interface EchoApp {
  readonly port: number;
  readonly callers: (string | undefined)[];
}

async function startEchoApp(t: Test): Promise<EchoApp> {
  const server = new grpc.Server();
  const callers: (string | undefined)[] = [];
  const bytes = (value: Buffer): Buffer => value;
  const codec = {
    requestSerialize: bytes,
    requestDeserialize: bytes,
    responseSerialize: bytes,
    responseDeserialize: bytes,
  };
  const handle = (incoming: grpc.ServerUnaryCall<Buffer, Buffer>, done: grpc.sendUnaryData<Buffer>): void => {
    callers.push(incoming.metadata.get('dapr-caller-app-id').map(String).join());
    done(null, incoming.request);
  };
  server.addService(
    {
      Say: { path: ECHO, requestStream: false, responseStream: false, ...codec },
      Hide: { path: '/test.Echo/Hide', requestStream: false, responseStream: false, ...codec },
    },
    { Say: handle, Hide: handle },
  );
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', grpc.ServerCredentials.createInsecure(), (error, bound) =>
      error === null ? resolve(bound) : reject(error),
    );
  });
  t.teardown(() => server.forceShutdown());
  return { port, callers };
}

interface Ends {
  readonly caller: { readonly executable?: string };
  readonly callee: { readonly executable?: string };
}

async function meshCalls(t: Test, { caller: callerBinary, callee: calleeBinary }: Ends): Promise<void> {
  const mesh = await startMesh(t);
  const kind = `${callerBinary.executable === undefined ? 's' : 'd'}${calleeBinary.executable === undefined ? 's' : 'd'}-${process.pid}`;
  const ids = { caller: `caller-${kind}`, web: `web-${kind}`, rpc: `rpc-${kind}`, other: `other-${kind}` };
  const web = await startApp(t, { '/open': () => ({ body: 'open' }), '/closed': () => ({ body: 'closed' }) });
  const rpc = await startEchoApp(t);
  const shared = { env: mesh.env };
  const policy = policies(t, ids.caller);
  const [caller, other] = await Promise.all([
    startSidecar(t, { ...shared, ...callerBinary, appId: ids.caller, args: mesh.args }),
    startSidecar(t, { ...shared, ...callerBinary, appId: ids.other, args: mesh.args }),
    startSidecar(t, {
      ...shared,
      ...calleeBinary,
      appId: ids.web,
      appPort: web.port,
      args: [...mesh.args, policy],
    }),
    startSidecar(t, {
      ...shared,
      ...calleeBinary,
      appId: ids.rpc,
      appPort: rpc.port,
      args: [...mesh.args, policy, '--app-protocol=grpc'],
    }),
  ]);

  const invoke = (
    from: RunningNode,
    path: string,
    options: Parameters<typeof call>[1] = {},
  ): Promise<Answer> => call(`${from.base}/v1.0/invoke/${ids.web}/method/${path}`, options);
  await until('the callee to be found', async () => (await invoke(caller, 'open')).status === 200);
  const spoofed = await invoke(caller, 'open', { headers: { 'dapr-caller-app-id': 'somebody-else' } });
  t.equal(spoofed.text, 'open');
  const seen = web.to('/open').at(-1)?.headers;
  t.match(
    { id: seen?.['dapr-caller-app-id'], namespace: seen?.['dapr-caller-namespace'] },
    { id: ids.caller, namespace: 'default' },
    'the app hears of the true caller',
  );
  const denied = await invoke(caller, 'closed');
  t.equal(denied.status, 403);
  t.match(JSON.parse(denied.text), {
    errorCode: 'ERR_DIRECT_INVOKE',
    message: `access control policy has denied access to id: spiffe://public/ns/default/${ids.caller} operation: closed verb: GET`,
  });
  t.equal((await invoke(caller, 'open', { method: 'POST', body: 'x' })).status, 403, 'another verb');
  t.equal((await invoke(other, 'open')).status, 403, 'another app');
  t.equal(web.to('/closed').length, 0);

  const client = (node: RunningNode): grpc.Client => {
    const made = new grpc.Client(`127.0.0.1:${node.ports.grpc}`, grpc.credentials.createInsecure());
    t.teardown(() => made.close());
    return made;
  };
  const say = (from: grpc.Client, path: string) =>
    unaryCall(from, path, Buffer.from('hello'), {
      metadata: { 'dapr-app-id': ids.rpc, 'dapr-caller-app-id': 'somebody-else' },
    });
  const fromCaller = client(caller);
  await until('the gRPC callee to be found', async () => (await say(fromCaller, ECHO)).code === 0);
  const echoed = await say(fromCaller, ECHO);
  t.same([echoed.code, String(echoed.message)], [0, 'hello']);
  // Between two of its own kind daprd hands the invented name on, in front of the true one.
  const daprAlone = callerBinary.executable !== undefined && calleeBinary.executable !== undefined;
  t.equal(rpc.callers.at(-1), daprAlone ? `somebody-else, ${ids.caller}` : ids.caller);
  const hidden = await say(fromCaller, '/test.Echo/Hide');
  t.equal(hidden.code, 7);
  t.match(
    hidden.text,
    /access control policy has denied access to id: spiffe:\/\/public\/ns\/default\/caller/,
  );
  t.equal((await say(client(other), ECHO)).code, 7);
}

t.test('Skerry calls daprd', { skip }, (t) =>
  meshCalls(t, { caller: {}, callee: { executable: String(DAPRD) } }),
);
t.test('daprd calls Skerry', { skip }, (t) =>
  meshCalls(t, { caller: { executable: String(DAPRD) }, callee: {} }),
);
t.test('Skerry calls Skerry', { skip }, (t) => meshCalls(t, { caller: {}, callee: {} }));
t.test('the same with daprd alone, to judge this test by', { skip }, (t) =>
  meshCalls(t, { caller: { executable: String(DAPRD) }, callee: { executable: String(DAPRD) } }),
);
