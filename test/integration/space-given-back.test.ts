// A backlog that was worked off leaves no large file behind.

import { statSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { call } from './support/http-call.ts';
import { startSidecar } from './support/node-process.ts';
import { component } from './support/resource-files.ts';
import { startApp } from './support/scripted-app.ts';
import { until } from './support/until.ts';

t.test('the file shrinks after draining', async (t) => {
  let away = true;
  const cloud = await startApp(t, {
    '/v1.0/bindings/cloud': () => (away ? { status: 503 } : {}),
  });
  const node = await startSidecar(t, {
    appId: 'gateway',
    resources: [component('cloud', 'bindings.dapr', { baseUrl: `http://127.0.0.1:${cloud.port}` })],
  });
  const data = 'x'.repeat(500_000);
  for (let n = 0; n < 40; n += 1) {
    const body = { operation: 'create', data, metadata: { partitionKey: String(n) } };
    t.equal((await call(`${node.base}/v1.0/bindings/cloud`, { body })).status, 200);
  }
  away = false;
  await until(
    'the drain',
    async () => /"pending":0/.test((await call(`${node.base}/v1.0/skerry/spool`)).text),
    30_000,
  );
  const size = (): number => statSync(join(node.dataDir, 'skerry.db')).size;
  await until('the file to shrink', async () => size() < 10_000_000);
  t.equal((await node.stop()).code, 0);
  t.ok(size() < 10_000_000, `${size()} bytes`);
});
