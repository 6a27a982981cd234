// Two nodes in a mesh whose sentry and authority the test plays: calls, access policies by certificate, and starts that
// cannot succeed. mutual-tls-with-dapr.test.ts has the same with Dapr's own parts.

import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { createAuthority } from '../support/certificate-authority.ts';
import { startSentry } from '../support/sentry.ts';
import { call } from './support/http-call.ts';
import {
  freePorts,
  healthy,
  nodesDirectory,
  portFlags,
  runToEnd,
  startSidecar,
} from './support/node-process.ts';
import { program } from './support/package-folder.ts';
import { freePort } from './support/ports.ts';
import { configuration, writeFiles } from './support/resource-files.ts';
import { startApp } from './support/scripted-app.ts';
import { says, until } from './support/until.ts';

const authority = createAuthority();
const issuer = authority.intermediate('issuer');
const env = { DAPR_TRUST_ANCHORS: authority.certificate };

function configFlag(t: Test, name: string, spec: object): string {
  const folder = writeFiles(nodesDirectory(t), name, { 'c.yaml': configuration(spec) });
  return `--config=${join(folder, 'c.yaml')}`;
}

t.test('calls between nodes, access by certificate, and a sentry that comes late', async (t) => {
  const id = (name: string): string => `${name}-${process.pid}`;
  const port = await freePort();
  const mesh = ['--enable-mtls', `--sentry-address=127.0.0.1:${port}`];
  const app = await startApp(t, { '/open': () => ({ body: 'open' }) });
  const policy = {
    appId: id('caller'),
    namespace: 'default',
    trustDomain: 'public',
    defaultAction: 'deny',
    operations: [{ name: '/open', httpVerb: ['GET'], action: 'allow' }],
  };
  const policies = configFlag(t, 'policies', {
    accessControl: { defaultAction: 'deny', policies: [policy] },
  });
  const anchors = join(nodesDirectory(t), 'ca.pem');
  writeFileSync(anchors, authority.certificate);
  const [caller, other, callee, plain] = await Promise.all([
    startSidecar(t, { appId: id('caller'), args: mesh, env, healthy: false }),
    startSidecar(t, {
      appId: id('other'),
      args: mesh,
      env: { DAPR_TRUST_ANCHORS_FILE: anchors },
      healthy: false,
    }),
    startSidecar(t, {
      appId: id('callee'),
      appPort: app.port,
      args: [...mesh, policies],
      env,
      healthy: false,
    }),
    startSidecar(t, { appId: id('plain') }),
  ]);
  await until('sentry to be missed', () => caller.output().includes('trying again'));
  await says(t, caller, /level=error msg="failed to retrieve the initial identity: .*connection refused/);
  await t.rejects(call(`${caller.base}/v1.0/healthz`), 'nothing is served without an identity');

  const sentry = await startSentry(t, { authority: issuer, port });
  await Promise.all([caller, other, callee].map((node) => healthy(node)));
  const invoke = (from: { base: string }, path: string, options: Parameters<typeof call>[1] = {}) =>
    call(`${from.base}/v1.0/invoke/${id('callee')}/method/${path}`, options);
  await until('the callee to be found', async () => (await invoke(caller, 'open')).status === 200);
  await invoke(caller, 'open', { headers: { 'dapr-caller-app-id': 'somebody-else' } });
  t.equal(app.requests.at(-1)?.headers['dapr-caller-app-id'], id('caller'));
  const denied = await invoke(caller, 'shut');
  t.equal(denied.status, 403);
  t.match(
    denied.text,
    `denied access to id: spiffe://public/ns/default/${id('caller')} operation: shut verb: GET`,
  );
  t.equal((await invoke(other, 'open')).status, 403, 'another app has no policy');
  const unknown = await invoke(plain, 'open');
  t.equal(unknown.status, 500, 'a sidecar without mTLS reaches nobody');
  await says(t, callee, /level=warning msg="refused a connection/);
  const metrics = await call(`http://127.0.0.1:${callee.ports.metrics}/metrics`);
  t.match(metrics.text, /dapr_runtime_mtls_init_total\{app_id="callee-\d+"\} 1/);
  t.match(metrics.text, /dapr_runtime_acl_app_policy_action_blocked_total\{.*trustDomain="public"\} 1/);
  t.equal(sentry.requests.length, 3);

  sentry.close();
  process.kill(caller.pid, 'SIGHUP');
  await until('the restart', () => caller.output().includes('the identity of before the restart is used on'));
  await healthy(caller);
  t.equal((await invoke(caller, 'open')).status, 200, 'a restart without sentry');
  for (const node of [caller, other, callee]) {
    const ended = await node.stop();
    t.equal(ended.code, 0);
    t.notMatch(ended.output, /PRIVATE KEY/, 'no key in the log');
  }
});

t.test('a stop while sentry is awaited', async (t) => {
  const args = ['--enable-mtls', '--sentry-address=127.0.0.1:1'];
  const node = await startSidecar(t, { appId: 'waiting', args, env, healthy: false });
  await until('sentry to be missed', () => node.output().includes('trying again'));
  t.equal((await node.stop()).code, 0);
});

t.test('starts that cannot succeed say why', async (t) => {
  const sentry = await startSentry(t, { authority: issuer });
  const address = `--sentry-address=${sentry.address}`;
  const refuse = async (text: RegExp, args: readonly string[], given: Record<string, string> = env) => {
    const { DAPR_TRUST_ANCHORS: _anchors, ...rest } = process.env;
    const all = [
      '--app-id=a',
      ...portFlags(await freePorts()),
      `--data-dir=${nodesDirectory(t)}/data`,
      ...args,
    ];
    const ended = await runToEnd(t, program('daprd'), all, { env: { ...rest, ...given } });
    t.equal(ended.code, 1);
    t.match(ended.output, text);
  };
  sentry.answer = () => ({ code: 7, details: 'invalid request' });
  await Promise.all([
    refuse(/Fatal error from runtime: trust anchors are required/, ['--enable-mtls', address], {}),
    refuse(/failed to decode trust anchors: there is no certificate in PEM/, ['--enable-mtls', address], {
      DAPR_TRUST_ANCHORS: 'x',
    }),
    refuse(/the address of sentry is required/, ['--enable-mtls']),
    refuse(/SignCertificate: rpc error: code = PermissionDenied desc = invalid request/, [
      '--enable-mtls',
      address,
    ]),
    refuse(/spec\.mtls\.allowedClockSkew.*expected a duration/, [
      configFlag(t, 'bad', { mtls: { allowedClockSkew: 'much' } }),
    ]),
  ]);
});

t.test('spec.mtls turns it on for `skerry run`, and is only said to daprd', async (t) => {
  const sentry = await startSentry(t, { authority: issuer });
  const config = configFlag(t, 'mtls', {
    mtls: { enabled: true, sentryAddress: sentry.address, workloadCertTTL: '24h', allowedClockSkew: '15m' },
  });
  const node = await startSidecar(t, { appId: 'plaintext', args: [config] });
  await says(t, node, /level=warning msg="spec.mtls.enabled is true, but --enable-mtls was not given/);
  t.equal(sentry.requests.length, 0);
  const done = join(nodesDirectory(t), 'done');
  const ended = await runToEnd(
    t,
    program('skerry'),
    [
      'run',
      '--app-id=launched',
      ...portFlags(await freePorts()),
      `--data-dir=${nodesDirectory(t)}/data`,
      '--mqtt-port=off',
      config,
      '--',
      'touch',
      done,
    ],
    { env: { ...process.env, ...env } },
  );
  t.equal(ended.code, 0, ended.output);
  t.equal(readFileSync(done, 'utf8'), '');
  t.equal(sentry.requests[0]?.id, 'launched');
});
