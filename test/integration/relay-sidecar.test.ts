// The sidecar beside a relay, asked over the link of a node: state, publishing up, events down, Sync, a link that is cut and
// comes back, and a node that asks for what it may not. The cloud is a Skerry node, and a real daprd where SKERRY_TEST_DAPRD
// names one; the node at the edge has no address of it and no token.

import { isDeepStrictEqual } from 'node:util';
import t, { type Test } from 'tap';
import { GrpcCode } from '../../runtime/contracts/grpc-code.ts';
import { systemClock } from '../../runtime/platform/system-clock.ts';
import { type EdgeSession, openEdgeSession } from '../../runtime/relay/edge-session.ts';
import { enrolNode } from '../../runtime/relay/enroll-client.ts';
import { createUnpacker, PACKING, packAlone } from '../../runtime/relay/packing.ts';
import { SIDECAR_HTTP_PATH, SIDECAR_SUBSCRIBE_PATH } from '../../runtime/relay/protocol.ts';
import { startReverseCall } from '../../runtime/relay/reverse-call.ts';
import { decodeAnswerMessage, encodeRequest } from '../../runtime/relay/sidecar-message.ts';
import { recordingLogger } from '../support/recording-logger.ts';
import { call } from './support/http-call.ts';
import { freePorts, nodesDirectory, runToEnd, startSidecar } from './support/node-process.ts';
import { program } from './support/package-folder.ts';
import { realProgram } from './support/real-dapr.ts';
import {
  aloneConfiguration,
  enrolledFolder,
  type RelayProcess,
  startRelay,
  startWire,
} from './support/relay-process.ts';
import { component, subscription, writeFiles } from './support/resource-files.ts';
import { startApp } from './support/scripted-app.ts';
import { says, until } from './support/until.ts';

const TOKEN = 'cloud-token';
const { path: daprd, missing: withoutDaprd } = realProgram('SKERRY_TEST_DAPRD', 'daprd');
const LOOPBACK = '--dapr-internal-grpc-listen-address=127.0.0.1';

const endpoint = (baseUrl: string): string =>
  JSON.stringify({
    apiVersion: 'dapr.io/v1alpha1',
    kind: 'HTTPEndpoint',
    metadata: { name: 'cloud' },
    spec: { baseUrl },
  });

const SYNC = JSON.stringify({
  apiVersion: 'skerry.dev/v1alpha1',
  kind: 'Sync',
  metadata: { name: 'plant' },
  spec: {
    direction: 'up',
    topics: [
      {
        name: 'commands',
        direction: 'down',
        local: { pubsub: 'local', topic: 'commands' },
        remote: { pubsub: 'pubsub', topic: 'plant/commands' },
      },
    ],
    state: [
      {
        name: 'sensors',
        local: 'statestore',
        remote: 'cloudstore',
        keyPrefixes: [{ local: 'sensor-', remote: 'plant-' }],
      },
    ],
  },
});

/** An enrolled node with a program of its own. */
async function hostile(t: Test, relay: RelayProcess, victim: string): Promise<void> {
  const liar = `liar-${process.pid}`;
  const enrolment = await enrolNode({ relay: relay.url, token: await relay.token([liar]), node: liar });
  const session = await new Promise<EdgeSession>((resolve) => {
    const opened = openEdgeSession({
      enrolment,
      clock: systemClock(),
      log: recordingLogger(),
      probeMs: 10_000,
      probeTimeoutMs: 5000,
      app: () => undefined,
      opened: (session) =>
        session.send({ type: 'hello', apps: [liar], namespace: 'default', probeMs: 10_000, version: 't' }),
      received: (message) => {
        if (message.type !== 'welcome') return;
        t.same(message.sidecar, { http: true, subscribe: true, packings: [PACKING] });
        resolve(opened);
      },
      closed: () => {},
    });
  });
  t.teardown(() => session.close('the test is over'));
  const send = async (bytes: Uint8Array, caller = liar, path = SIDECAR_HTTP_PATH, packing = PACKING) => {
    const taken = await session.take(undefined).catch((error: { code: number }) => error.code);
    if (typeof taken === 'number') return { status: -taken, headers: {}, body: Buffer.from('') };
    const stream = startReverseCall(
      taken,
      { path, caller, callee: '-', namespace: 'default', packing },
      { clock: systemClock(), maxMessageBytes: 4 * 1024 * 1024 },
    );
    stream.end(bytes);
    return await stream.next().then(
      async (answer) =>
        decodeAnswerMessage(await createUnpacker().unpack(answer ?? Buffer.from([0]), 1_000_000)),
      (error: { code: number; message: string }) => ({
        status: -error.code,
        headers: {},
        body: Buffer.from(error.message),
      }),
    );
  };
  const ask = async (method: string, path: string, caller?: string, headers = {}) => {
    const message = encodeRequest({ method, path, headers }, Buffer.from('[{"key":"x","value":1}]'));
    const { status, body } = await send(await packAlone(message), caller);
    return `${status} ${String(body).slice(0, 100)}`;
  };
  t.match(await ask('POST', '/v1.0/state/cloudstore'), /^204/, 'what is allowed');
  for (const [method, path] of [
    ['POST', '/v1.0/shutdown'],
    ['GET', '/v1.0/metadata'],
    ['GET', '/v1.0/state/other/a'],
    ['GET', `/v1.0/state/other/${victim}.a`],
    ['POST', '/v1.0/state/other'],
    ['GET', '/v1.0/secrets/vault/DOOR_CODE'],
    ['GET', '/v1.0/state/cloudstore/%2e%2e%2f%2e%2e%2fmetadata'],
    ['POST', `/v1.0/invoke/${victim}/method/x`],
  ] as const)
    t.match(await ask(method, path), /^403 .*ERR_RELAY_REFUSED.*does not allow/, `${method} ${path}`);
  t.match(
    await ask('GET', '/v1.0/state/cloudstore/a', victim),
    /^403 .*may not ask in the name of/,
    'as another',
  );
  t.match(
    await ask('POST', '/v1.0/state/cloudstore', liar, { 'dapr-api-token': 'x', 'skerry-node': victim }),
    /^204/,
  );

  t.match(await ask('GET', `/v1.0/state/other/${liar}.a`), /^204/, 'names of its own');

  const invalid = `-${GrpcCode.InvalidArgument}`;
  const outcome = async (bytes: Uint8Array, path?: string, packing?: string) =>
    String((await send(bytes, liar, path, packing)).status);
  t.equal(await outcome(await packAlone(Buffer.alloc(64 * 1024 * 1024))), invalid, 'a bomb');
  t.equal(await outcome(Buffer.from([7, 7, 7])), invalid, 'noise');
  t.equal(
    await outcome(await packAlone(Buffer.from('GET /v1.0/healthz HTTP/1.1\r\n\r\n'.repeat(4)))),
    invalid,
  );
  t.equal(await outcome(Buffer.from([1, 0, 0, 0, 9, 0, 0, 0, 1, 2])), `-${GrpcCode.FailedPrecondition}`);
  t.equal(await outcome(Buffer.from([0]), SIDECAR_HTTP_PATH, 'zstd-9'), invalid, 'another packing');
  t.equal(await outcome(Buffer.from([0, 255]), SIDECAR_SUBSCRIBE_PATH), invalid, 'no subscription');
  t.equal(await outcome(Buffer.from([0]), '/skerry.relay.v1.Sidecar/Other'), `-${GrpcCode.Unimplemented}`);
  const crowd = await Promise.all(
    Array.from({ length: 400 }, async () => (await ask('GET', '/v1.0/state/cloudstore/a')).slice(0, 3)),
  );
  t.ok(
    crowd.every((status) => /^(?:204|200|429|-\d)/.test(status)),
    [...new Set(crowd)].join(),
  );
  t.match(await ask('POST', '/v1.0/state/cloudstore'), /^204/, 'and then as before');
}

async function story(t: Test, executable: string | undefined): Promise<void> {
  const tag = `${process.pid}${executable === undefined ? 's' : 'd'}`;
  const directory = t.testdir();
  const cloudApp = await startApp(t, { '/readings': () => ({}) });
  const edgeApp = await startApp(t, { '/commands': () => ({}), '/news': () => ({}) });
  const ports = await freePorts();
  const folder = writeFiles(nodesDirectory(t), `token-${tag}`, { token: `${TOKEN}\n` });
  const cloud = await startSidecar(t, {
    appId: `cloud-${tag}`,
    appPort: cloudApp.port,
    ports,
    ...(executable === undefined ? {} : { executable }),
    env: { DAPR_API_TOKEN: TOKEN, DOOR_CODE: '1234' },
    args: [LOOPBACK],
    resources: [
      component('cloudstore', 'state.sqlite', { connectionString: `${directory}/cloud.db` }),
      component('other', 'state.sqlite', { connectionString: `${directory}/other.db` }),
      component('pubsub', 'pubsub.in-memory', {}),
      component('vault', 'secretstores.local.env', {}),
      subscription('readings', 'pubsub', 'plant/readings', '/readings'),
    ],
  });
  const relay = await startRelay(t, {
    args: [
      '--internal-address=127.0.0.1',
      `--sidecar-http=http://127.0.0.1:${ports.http}`,
      `--sidecar-grpc=127.0.0.1:${ports.grpc}`,
      `--sidecar-api-token-file=${folder}/token`,
      '--sidecar-allow=state:cloudstore,state:other/{app}.,publish,subscribe:pubsub',
    ],
  });
  const wire = await startWire(t, relay.port);
  const edgeId = `edge-${tag}`;
  const dataDir = await enrolledFolder(t, relay, `site-${tag}`, [edgeId], wire.url);
  const edge = await startSidecar(t, {
    appId: edgeId,
    appPort: edgeApp.port,
    dataDir,
    args: [LOOPBACK, aloneConfiguration(t, edgeId)],
    resources: [
      endpoint('relay:'),
      component('statestore', 'state.sqlite', {}),
      component('local', 'pubsub.mqtt3', { url: 'embedded:' }),
      component('cloudstore', 'state.dapr', { endpointName: 'cloud' }),
      component('other', 'state.dapr', { endpointName: 'cloud' }),
      component('pubsub', 'pubsub.dapr', { endpointName: 'cloud' }),
      component('vault', 'secretstores.dapr', { endpointName: 'cloud' }),
      subscription('commands', 'local', 'commands', '/commands'),
      subscription('news', 'pubsub', 'news', '/news'),
      SYNC,
    ],
  });
  const far = `http://127.0.0.1:${ports.http}`;
  const withToken = { 'dapr-api-token': TOKEN };
  const at = async (base: string, store: string, key: string, headers = {}): Promise<unknown> => {
    const { text } = await call(`${base}/v1.0/state/${store}/${key}`, { headers });
    return text === '' ? undefined : JSON.parse(text);
  };
  const publish = (base: string, pubsub: string, topic: string, data: object, headers = {}) =>
    call(`${base}/v1.0/publish/${pubsub}/${topic}`, { body: data, headers });

  await until('the link', async () => (await call(`${edge.base}/v1.0/state/cloudstore/none`)).status === 204);
  await t.test('state', async (t) => {
    const saved = await call(`${edge.base}/v1.0/state/cloudstore`, { body: [{ key: 'a', value: { n: 1 } }] });
    t.equal(saved.status, 204);
    const read = await call(`${edge.base}/v1.0/state/cloudstore/a`);
    t.same([read.status, JSON.parse(read.text)], [200, { n: 1 }]);
    const etag = String(read.headers['etag']);
    t.not(etag, 'undefined');
    const stale = await call(`${edge.base}/v1.0/state/cloudstore`, {
      body: [{ key: 'a', value: 2, etag: `${etag}9`, options: { concurrency: 'first-write' } }],
    });
    t.equal(stale.status, 409, 'ETags are those over there');
    const big = 'x'.repeat(300_000);
    t.equal(
      (await call(`${edge.base}/v1.0/state/cloudstore`, { body: [{ key: 'big', value: big }] })).status,
      204,
    );
    t.equal(await at(edge.base, 'cloudstore', 'big'), big);
    const many = await Promise.all(
      Array.from({ length: 100 }, (_, n) =>
        call(`${edge.base}/v1.0/state/cloudstore`, {
          body: [{ key: `many-${n}`, value: { n, text: `value ${n}` } }],
        }),
      ),
    );
    t.ok(
      many.every(({ status }) => status === 204),
      'a hundred at once',
    );
    t.same(await at(edge.base, 'cloudstore', 'many-73'), { n: 73, text: 'value 73' });
  });

  await t.test('events up and down', async (t) => {
    t.equal((await publish(edge.base, 'pubsub', 'plant/readings', { c: 21 })).status, 204);
    await cloudApp.received('/readings');
    t.match(cloudApp.jsonTo('/readings')[0], { data: { c: 21 }, source: edgeId });
    await until('the news', async () => {
      await publish(far, 'pubsub', 'news', { hello: 'edge' }, withToken);
      return edgeApp.to('/news').length > 0;
    });
    t.match(edgeApp.jsonTo('/news')[0], { data: { hello: 'edge' }, topic: 'news' });
  });

  await t.test('Sync', async (t) => {
    await call(`${edge.base}/v1.0/state/statestore`, { body: [{ key: 'sensor-1', value: { c: 21 } }] });
    await until('the sensor in the cloud', async () =>
      isDeepStrictEqual(await at(far, 'cloudstore', 'plant-1', withToken), { c: 21 }),
    );
    await until('the command', async () => {
      await publish(far, 'pubsub', 'plant/commands', { open: true }, withToken);
      return edgeApp.to('/commands').length > 0;
    });
    t.match(edgeApp.jsonTo('/commands')[0], { data: { open: true }, topic: 'commands' });
  });

  await t.test('what the relay does not allow', async (t) => {
    const store = await call(`${edge.base}/v1.0/state/other/a`);
    t.equal(store.status, 500);
    t.match(store.text, /the relay does not allow its nodes GET \/v1\.0\/state\/other\/a/);
    const secret = await call(`${edge.base}/v1.0/secrets/vault/DOOR_CODE`);
    t.not(secret.status, 200);
    t.notMatch(secret.text, /1234/);
    await says(t, relay, /a node asked the sidecar for what it may not/);
    const metrics = (await call(`http://127.0.0.1:${relay.metricsPort}/metrics`)).text;
    t.match(metrics, /skerry_relay_refused_total\{[^}]*reason="sidecar"[^}]*\} [1-9]/);
  });

  await t.test('a link that is cut and comes back', async (t) => {
    wire.cut();
    await until('the link to be down', async () => {
      const read = await call(`${edge.base}/v1.0/state/cloudstore/a`);
      return read.status === 500 && /the link to the relay is down/.test(read.text);
    });
    await call(`${edge.base}/v1.0/state/statestore`, { body: [{ key: 'sensor-1', value: { c: 30 } }] });
    t.equal((await publish(edge.base, 'pubsub', 'plant/readings', { c: 30 })).status, 204, 'kept on disk');
    const heard = edgeApp.to('/news').length;
    wire.heal();
    await until('the sensor in the cloud', async () =>
      isDeepStrictEqual(await at(far, 'cloudstore', 'plant-1', withToken), { c: 30 }),
    );
    await until('the reading in the cloud', () =>
      (cloudApp.jsonTo('/readings') as { data: { c: number } }[]).some(({ data }) => data.c === 30),
    );
    await until('the news after the cut', async () => {
      await publish(far, 'pubsub', 'news', { hello: 'again' }, withToken);
      return edgeApp.to('/news').length > heard;
    });
    t.match(edgeApp.jsonTo('/news').at(-1), { data: { hello: 'again' } });
    t.same(await at(edge.base, 'cloudstore', 'a'), { n: 1 });
  });

  if (executable === undefined) await t.test('a node that lies', (t) => hostile(t, relay, edgeId));

  await cloud.stop();
  const gone = await call(`${edge.base}/v1.0/state/cloudstore/a`);
  t.equal(gone.status, 500, 'the sidecar beside the relay is gone');
  t.match(gone.text, /the sidecar beside the relay gives no answer/);
}

t.setTimeout(60_000);
t.test('the cloud runs Skerry', (t) => story(t, undefined));
t.test('the cloud runs daprd', { skip: withoutDaprd }, (t) => story(t, daprd));

t.test('an endpoint at a relay on a node that has none, and one with an address behind it', async (t) => {
  const folder = t.testdir({
    'endpoint.yaml': endpoint('relay:'),
    'store.yaml': component('cloudstore', 'state.dapr', { endpointName: 'cloud' }),
  });
  const args = ['--app-id=edge', `--resources-path=${folder}`, '--dapr-http-port=0', '--dapr-grpc-port=0'];
  const started = await runToEnd(t, program('daprd'), [...args, `--data-dir=${folder}/data`]);
  t.equal(started.code, 1);
  t.match(started.output, /HTTPEndpoint 'cloud': baseUrl 'relay:': this node has no link to a relay/);
  const wrong = t.testdir({ 'endpoint.yaml': endpoint('relay://cloud/x') });
  const validated = await runToEnd(t, program('daprd'), [
    '--app-id=edge',
    `--resources-path=${wrong}`,
    '--validate',
  ]);
  t.match(validated.output, /spec\.baseUrl: HTTPEndpoint cloud: expected an http or https URL, or relay:/);
});
