// What belongs to whom: secrets and references to them, components scoped to an app, the API token, and what metadata and
// health tell about it.

import t from 'tap';
import { type Answer, call } from './support/http-call.ts';
import { startSidecar } from './support/node-process.ts';
import { component, configuration, writeFiles } from './support/resource-files.ts';
import { startApp } from './support/scripted-app.ts';

const json = (answer: Answer): unknown => JSON.parse(answer.text);

t.test('secrets, secretKeyRef, scopes, token, metadata, health', async (t) => {
  const directory = t.testdir();
  const files = writeFiles(directory, 'files', {
    'secrets.json': JSON.stringify({
      database: { path: 'skerry:system' },
      mqtt: { password: 'pw-1' },
      hidden: 'no',
    }),
    'config.yaml': configuration({
      secrets: { scopes: [{ storeName: 'vault', defaultAccess: 'allow', deniedSecrets: ['hidden'] }] },
    }),
  });
  const app = await startApp(t, { '/hello': () => ({ body: 'hi' }) });
  const node = await startSidecar(t, {
    appId: 'owner',
    appPort: app.port,
    env: { DAPR_API_TOKEN: 'token-1', APP_API_TOKEN: 'token-2', GREETING: 'good morning' },
    args: [`--config=${files}/config.yaml`],
    resources: [
      component('vault', 'secretstores.local.file', {
        secretsFile: `${files}/secrets.json`,
        nestedSeparator: ':',
      }),
      component('env', 'secretstores.local.env', {}),
      component(
        'statestore',
        'state.sqlite',
        { connectionString: { secretKeyRef: { name: 'database:path', key: 'database:path' } } },
        { secretStore: 'vault', scopes: ['owner', 'friend'] },
      ),
      component('foreign', 'state.in-memory', {}, { scopes: ['friend'] }),
    ],
  });
  const ask = (path: string, options: Parameters<typeof call>[1] = {}): Promise<Answer> =>
    call(`${node.base}/v1.0/${path}`, {
      ...options,
      headers: { 'dapr-api-token': 'token-1', ...options.headers },
    });

  const nobody = await call(`${node.base}/v1.0/metadata`);
  t.equal(nobody.status, 401, 'without the token nothing is told');
  t.equal(
    (await call(`${node.base}/v1.0/state/statestore/a`, { headers: { 'dapr-api-token': 'wrong' } })).status,
    401,
  );
  t.equal((await call(`${node.base}/v1.0/healthz`)).status, 204, 'health needs no token');
  t.equal((await call(`${node.base}/v1.0/healthz/outbound`)).status, 204);
  t.equal((await ask('healthz?appid=owner')).status, 204);
  t.equal((await ask('healthz?appid=other')).status, 500);

  t.same(json(await ask('secrets/vault/mqtt:password')), { 'mqtt:password': 'pw-1' });
  t.same(json(await ask('secrets/env/GREETING')), { GREETING: 'good morning' });
  const denied = await ask('secrets/vault/hidden');
  t.same([denied.status, (json(denied) as { errorCode: string }).errorCode], [403, 'ERR_PERMISSION_DENIED']);
  const bulk = json(await ask('secrets/vault/bulk')) as Record<string, unknown>;
  t.notOk('hidden' in bulk, 'nor does the bulk call give it');
  const own = await ask('secrets/env/DAPR_API_TOKEN');
  t.notOk(own.text.includes('token-1'), 'the token is no secret for apps');

  t.equal(
    (await ask('state/statestore', { body: [{ key: 'a', value: 1 }] })).status,
    204,
    'the reference was resolved',
  );
  t.equal((await ask('state/statestore/a')).text, '1');
  const foreign = await ask('state/foreign/a');
  t.same(
    [foreign.status, (json(foreign) as { errorCode: string }).errorCode],
    [400, 'ERR_STATE_STORE_NOT_FOUND'],
  );

  const metadata = json(await ask('metadata')) as { id: string; components: { name: string }[] };
  t.equal(metadata.id, 'owner');
  t.same(
    metadata.components.map(({ name }) => name).sort(),
    ['env', 'statestore', 'vault'],
    'scoped components of others are unseen',
  );
  t.equal(
    (await ask('metadata/place', { method: 'PUT', body: 'wall', headers: { 'content-type': 'text/plain' } }))
      .status,
    204,
  );
  t.match(json(await ask('metadata')), { extended: { place: 'wall' } });

  t.equal((await ask('invoke/owner/method/hello')).text, 'hi');
  const [request] = app.to('/hello');
  t.equal(request?.headers['dapr-api-token'], 'token-2', 'the app is given its own token');
  t.notOk(
    node.output().includes('pw-1') || node.output().includes('token-1') || node.output().includes('token-2'),
    'no secret in the log',
  );
  t.equal((await node.stop()).code, 0);
});

t.test('another app of the same resources sees its own components', async (t) => {
  const resources = [
    component('mine', 'state.in-memory', {}, { scopes: ['friend'] }),
    component('theirs', 'state.in-memory', {}, { scopes: ['owner'] }),
  ];
  const node = await startSidecar(t, { appId: 'friend', resources });
  t.equal((await call(`${node.base}/v1.0/state/mine/x`)).status, 204);
  t.equal((await call(`${node.base}/v1.0/state/theirs/x`)).status, 400);
});
