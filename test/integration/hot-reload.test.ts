// Resource folders while the node runs: changes are taken in place or by a restart inside the process, SIGHUP restarts it,
// and what cannot be started ends it.

import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { call } from './support/http-call.ts';
import { healthy, startSidecar } from './support/node-process.ts';
import { component, writeFiles } from './support/resource-files.ts';
import { says, until } from './support/until.ts';

t.test('components, an HTTPEndpoint, SIGHUP, and a component that cannot start', async (t) => {
  const resources = writeFiles(t.testdir(), 'resources', {
    'kept.yaml': component('kept', 'state.in-memory'),
  });
  const node = await startSidecar(t, { appId: 'reloader', resources });
  const write = (file: string, text: string): void => writeFileSync(join(resources, file), text);
  const put = async (store: string): Promise<number> =>
    (await call(`${node.base}/v1.0/state/${store}`, { body: [{ key: 'k', value: 1 }] })).status;
  const get = async (store: string): Promise<string> =>
    (await call(`${node.base}/v1.0/state/${store}/k`)).text;
  await put('kept');

  write('new.yaml', component('new', 'state.in-memory'));
  await until('the new store', async () => (await put('new')) === 204);
  write('new.yaml', component('new', 'state.sqlite', { connectionString: 'skerry:system' }));
  await until('an empty one in its place', async () => (await get('new')) === '');
  write('new.yaml', '{"apiVersion": ');
  t.equal(await put('new'), 204, 'a broken file changes nothing');
  rmSync(join(resources, 'new.yaml'));
  await until('no store', async () => (await put('new')) === 400);
  t.equal(await get('kept'), '1', 'what did not change goes on');

  const endpoint = {
    apiVersion: 'dapr.io/v1alpha1',
    kind: 'HTTPEndpoint',
    metadata: { name: 'far' },
    spec: { baseUrl: node.base },
  };
  write('far.yaml', JSON.stringify(endpoint));
  const far = `${node.base}/v1.0/invoke/far/method/v1.0/healthz/outbound`;
  await until('the endpoint', async () => (await call(far).catch(() => undefined))?.status === 204);
  await says(t, node, /Received HTTPEndpoint CREATED event: far - triggering SIGHUP reload/);
  t.equal(await get('kept'), '', 'all of it has started anew');

  await put('kept');
  process.kill(node.pid, 'SIGHUP');
  await until('the restart', async () => {
    const answer = await call(`${node.base}/v1.0/state/kept/k`).catch(() => undefined);
    return answer?.status === 204;
  });
  await healthy(node);
  await says(t, node, /Received signal 'hangup'; restarting/);

  write('bad.yaml', component('bad', 'state.nonsense'));
  const ended = await node.ended;
  t.equal(ended.code, 1);
  t.match(ended.output, /level=fatal msg="Fatal error from runtime: process component bad error: /);
  t.notMatch(ended.output, /Daprd shutdown gracefully/);
});
