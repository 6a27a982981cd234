// A relay in a mesh with mutual TLS: apps of nodes have their own identity there, and policies at either end go by who calls. The
// cloud runs a Skerry sidecar, or a real daprd (SKERRY_TEST_DAPRD names one).

import t, { type Test } from 'tap';
import { createAuthority } from '../support/certificate-authority.ts';
import { startSentry } from '../support/sentry.ts';
import { call } from './support/http-call.ts';
import { nodesDirectory, type RunningNode, startSidecar } from './support/node-process.ts';
import { realProgram } from './support/real-dapr.ts';
import { aloneConfiguration, enrolledFolder, startRelay } from './support/relay-process.ts';
import { configuration, writeFiles } from './support/resource-files.ts';
import { startApp } from './support/scripted-app.ts';
import { until } from './support/until.ts';

const { path: DAPRD, missing: withoutDaprd } = realProgram('SKERRY_TEST_DAPRD', 'daprd');
const LOOPBACK = '--dapr-internal-grpc-listen-address=127.0.0.1';

/** Lets `appId` GET /open, and nobody do anything else. */
const only = (appId: string): object => ({
  accessControl: {
    defaultAction: 'deny',
    trustDomain: 'public',
    policies: [
      {
        appId,
        namespace: 'default',
        trustDomain: 'public',
        defaultAction: 'deny',
        operations: [{ name: '/open', httpVerb: ['GET'], action: 'allow' }],
      },
    ],
  },
});

async function inMesh(t: Test, executable: string | undefined): Promise<void> {
  const tag = `${process.pid}${executable === undefined ? 's' : 'd'}`;
  const ids = { door: `door-${tag}`, lamp: `lamp-${tag}`, billing: `billing-${tag}`, other: `other-${tag}` };
  const authority = createAuthority();
  const sentry = await startSentry(t, { authority });
  const env = { DAPR_TRUST_ANCHORS: authority.certificate, NAMESPACE: 'default' };
  const mesh = ['--enable-mtls', `--sentry-address=${sentry.address}`];
  const app = await startApp(t, { '/open': () => ({ body: 'open' }), '/closed': () => ({ body: 'closed' }) });
  const relay = await startRelay(t, { args: ['--internal-address=127.0.0.1', ...mesh], env });
  const [door, lamp] = await Promise.all([
    enrolledFolder(t, relay, `site-1-${tag}`, [ids.door]),
    enrolledFolder(t, relay, `site-2-${tag}`, [ids.lamp]),
  ]);
  const cloud = executable === undefined ? { env } : { env, executable };
  const policy = writeFiles(nodesDirectory(t), `policy-${tag}`, { 'c.yaml': configuration(only(ids.door)) });
  const [edgeDoor, edgeLamp, billing, other] = await Promise.all([
    startSidecar(t, {
      appId: ids.door,
      appPort: app.port,
      dataDir: door,
      args: [LOOPBACK, aloneConfiguration(t, `1-${tag}`, only(ids.billing))],
    }),
    startSidecar(t, { appId: ids.lamp, dataDir: lamp, args: [LOOPBACK, aloneConfiguration(t, `2-${tag}`)] }),
    startSidecar(t, {
      ...cloud,
      appId: ids.billing,
      appPort: app.port,
      args: [LOOPBACK, ...mesh, `--config=${policy}/c.yaml`],
    }),
    startSidecar(t, { ...cloud, appId: ids.other, args: [LOOPBACK, ...mesh] }),
  ]);
  const invoke = (from: RunningNode, id: string, path: string) =>
    call(`${from.base}/v1.0/invoke/${id}/method/${path}`);
  await until('the way down', async () => (await invoke(billing, ids.door, 'open')).status === 200);
  await until('the way up', async () => (await invoke(edgeDoor, ids.billing, 'open')).status === 200);
  t.equal(app.to('/open').at(-1)?.headers['dapr-caller-app-id'], ids.door);
  t.equal((await invoke(billing, ids.door, 'closed')).status, 403, 'down: another operation');
  t.equal((await invoke(other, ids.door, 'open')).status, 403, 'down: another app of the cloud');
  t.equal((await invoke(edgeDoor, ids.billing, 'closed')).status, 403, 'up: another operation');
  t.equal((await invoke(edgeLamp, ids.billing, 'open')).status, 403, 'up: another node');
  t.equal((await invoke(edgeLamp, ids.door, 'open')).status, 403, 'across: another node');
  t.same(app.to('/closed'), []);
}

t.setTimeout(60_000);
t.test('the cloud runs Skerry', (t) => inMesh(t, undefined));
t.test('the cloud runs daprd', { skip: withoutDaprd }, (t) => inMesh(t, DAPRD));
