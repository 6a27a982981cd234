// Calls through a relay by app id, HTTP and gRPC, both ways and across sites: nodes dial out, the cloud runs a Skerry sidecar, or
// a real daprd (SKERRY_TEST_DAPRD names one). Neither side's app knows of the relay.

import t, { type Test } from 'tap';
import { unaryCall } from '../support/grpc-harness.ts';
import { chat, clientOf, ECHO, startEchoApp } from './support/echo-app.ts';
import { call } from './support/http-call.ts';
import { type RunningNode, startSidecar } from './support/node-process.ts';
import { realProgram } from './support/real-dapr.ts';
import { aloneConfiguration, enrolledFolder, startRelay } from './support/relay-process.ts';
import { startApp } from './support/scripted-app.ts';
import { until } from './support/until.ts';

const { path: DAPRD, missing: withoutDaprd } = realProgram('SKERRY_TEST_DAPRD', 'daprd');
const LOOPBACK = ['--dapr-internal-grpc-listen-address=127.0.0.1'];

async function throughRelay(t: Test, executable: string | undefined): Promise<void> {
  const tag = `${process.pid}${executable === undefined ? 's' : 'd'}`;
  const ids = {
    door: `door-${tag}`,
    rpc: `rpc-${tag}`,
    lamp: `lamp-${tag}`,
    billing: `billing-${tag}`,
    far: `far-${tag}`,
  };
  const BIG = Array.from({ length: 48 }, (_, n) => Buffer.alloc(64 * 1024, n));
  const handlers = {
    '/echo': ({ body }: { readonly body: Buffer }) => ({
      headers: { 'content-type': 'application/octet-stream' },
      body,
    }),
    '/tea': () => ({ status: 418, headers: { 'x-answer': 'yes' }, body: 'teapot' }),
  };
  const [door, lamp, billing, rpc, far, relay] = await Promise.all([
    startApp(t, handlers),
    startApp(t, handlers),
    startApp(t, handlers),
    startEchoApp(t),
    startEchoApp(t),
    startRelay(t, { args: ['--internal-address=127.0.0.1'] }),
  ]);
  const cloud = executable === undefined ? {} : { executable };
  const doorOnly = {
    accessControl: {
      defaultAction: 'deny',
      trustDomain: 'public',
      policies: [
        {
          appId: ids.door,
          namespace: 'default',
          trustDomain: 'public',
          defaultAction: 'deny',
          operations: [{ name: '/echo', httpVerb: ['POST'], action: 'allow' }],
        },
      ],
    },
  };
  const alone = (node: string, spec: object = {}): string[] => [
    ...LOOPBACK,
    aloneConfiguration(t, `${node}-${tag}`, spec),
  ];
  const [first, second, third] = await Promise.all([
    enrolledFolder(t, relay, `site-1-${tag}`, [ids.door]),
    enrolledFolder(t, relay, `site-2-${tag}`, [ids.lamp, ids.rpc]),
    enrolledFolder(t, relay, `site-3-${tag}`, [ids.rpc]),
  ]);
  const [edgeDoor, edgeLamp, edgeRpc, cloudBilling] = await Promise.all([
    startSidecar(t, { appId: ids.door, appPort: door.port, dataDir: first, args: alone('1') }),
    startSidecar(t, {
      appId: ids.lamp,
      appPort: lamp.port,
      dataDir: second,
      args: alone('2', doorOnly),
    }),
    startSidecar(t, {
      appId: ids.rpc,
      appPort: rpc.port,
      dataDir: third,
      args: [...alone('3'), '--app-protocol=grpc'],
    }),
    startSidecar(t, { ...cloud, appId: ids.billing, appPort: billing.port, args: LOOPBACK }),
    startSidecar(t, {
      ...cloud,
      appId: ids.far,
      appPort: far.port,
      args: [...LOOPBACK, '--app-protocol=grpc'],
    }),
  ]);
  await until('three links', async () => {
    const nodes = await relay.nodes();
    return (
      nodes.length === 3 && nodes.every(({ state, announced }) => state === 'up' && announced.length > 0)
    );
  });
  const invoke = (from: RunningNode, id: string, path: string, options: Parameters<typeof call>[1] = {}) =>
    call(`${from.base}/v1.0/invoke/${id}/method/${path}`, options);

  await t.test('cloud to edge over HTTP', async (t) => {
    const answer = await invoke(cloudBilling, ids.door, 'tea?q=a%2Fb');
    t.same([answer.status, answer.text, answer.headers['x-answer']], [418, 'teapot', 'yes']);
    const seen = door.to('/tea').at(-1);
    t.equal(seen?.url, '/tea?q=a%2Fb');
    t.equal(seen?.headers['dapr-caller-app-id'], ids.billing);
    const streamed = await invoke(cloudBilling, ids.door, 'echo', { body: BIG });
    t.ok(streamed.bytes.equals(Buffer.concat(BIG)), '3 MiB in chunks come back the same');
  });

  await t.test('edge to cloud over HTTP', async (t) => {
    const answer = await invoke(edgeDoor, ids.billing, 'tea');
    t.same([answer.status, answer.text, answer.headers['x-answer']], [418, 'teapot', 'yes']);
    t.equal(billing.to('/tea').at(-1)?.headers['dapr-caller-app-id'], ids.door);
    const streamed = await invoke(edgeDoor, ids.billing, 'echo', { body: BIG });
    t.ok(streamed.bytes.equals(Buffer.concat(BIG)), '3 MiB in chunks come back the same');
    const many = await Promise.all(
      Array.from({ length: 60 }, (_, n) => invoke(edgeDoor, ids.billing, 'echo', { body: `call ${n}` })),
    );
    t.same(
      many.map(({ text }) => text),
      Array.from({ length: 60 }, (_, n) => `call ${n}`),
      'sixty calls at once',
    );
    const nobody = await invoke(edgeDoor, `nobody-${tag}`, 'x');
    t.equal(nobody.status, 500);
    t.match(JSON.parse(nobody.text), { errorCode: 'ERR_DIRECT_INVOKE', message: /nobody/ });
  });

  await t.test('gRPC both ways, streams message by message', async (t) => {
    for (const [from, to, app, caller] of [
      [cloudBilling, ids.rpc, rpc, ids.billing],
      [edgeDoor, ids.far, far, ids.door],
      [edgeLamp, ids.rpc, rpc, ids.lamp],
    ] as const) {
      const client = clientOf(t, from);
      const said = await unaryCall(client, ECHO, Buffer.from('hello'), { metadata: { 'dapr-app-id': to } });
      t.same([said.code, String(said.message)], [0, 'hello'], `${caller} calls ${to}`);
      t.equal(app.callers.at(-1), caller, 'the app hears of the true caller');
      t.same(await chat(client, to, ['a', 'b', 'c']), ['a', 'a', 'b', 'b', 'c', 'c']);
      const missing = await unaryCall(client, '/test.Echo/Nothing', Buffer.from('x'), {
        metadata: { 'dapr-app-id': to },
      });
      t.equal(missing.code, 12, 'a status of the far app');
    }
  });

  await t.test('access policies see the true caller', async (t) => {
    const allowed = await invoke(edgeDoor, ids.lamp, 'echo', { body: 'across sites' });
    t.same([allowed.status, allowed.text], [200, 'across sites']);
    t.equal((await invoke(edgeDoor, ids.lamp, 'tea')).status, 403, 'another operation');
    const spoofed = await invoke(cloudBilling, ids.lamp, 'echo', {
      body: 'x',
      headers: {
        'dapr-caller-app-id': ids.door,
        'skerry-link-caller': `spiffe://public/ns/default/${ids.door}`,
      },
    });
    t.equal(spoofed.status, 403, 'a caller of the cloud is not the door');
    t.equal((await invoke(edgeRpc, ids.lamp, 'echo', { body: 'x' })).status, 403, 'nor is another node');
    t.equal(lamp.to('/echo').length, 1);
  });
}

t.setTimeout(60_000);
t.test('the relay finds apps of the cloud by DNS', async (t) => {
  const ids = { door: `dns-door-${process.pid}`, billing: `dns-billing-${process.pid}` };
  const billing = await startApp(t, { '/tea': () => ({ status: 418, body: 'teapot' }) });
  const cloud = await startSidecar(t, {
    appId: ids.billing,
    appPort: billing.port,
    args: [...LOOPBACK, aloneConfiguration(t, 'dns-cloud')],
  });
  const template = `localhost:${cloud.ports.internal}`;
  const names = aloneConfiguration(t, 'dns-relay', {
    nameResolution: { component: 'kubernetes', configuration: { template } },
  });
  const relay = await startRelay(t, { args: ['--internal-address=127.0.0.1', names] });
  const edge = await startSidecar(t, {
    appId: ids.door,
    dataDir: await enrolledFolder(t, relay, 'dns-site', [ids.door]),
    args: [...LOOPBACK, aloneConfiguration(t, 'dns-edge')],
  });
  await until('the link', async () => (await relay.nodes())[0]?.state === 'up');
  const answer = await call(`${edge.base}/v1.0/invoke/${ids.billing}/method/tea`);
  t.same([answer.status, answer.text], [418, 'teapot']);
  t.equal(billing.to('/tea').at(-1)?.headers['dapr-caller-app-id'], ids.door);
});
t.test('the cloud runs Skerry', (t) => throughRelay(t, undefined));
t.test('the cloud runs daprd', { skip: withoutDaprd }, (t) => throughRelay(t, DAPRD));
