/** The secrets block: which store, which secrets its scope allows, what failures look like. */

import t from 'tap';
import { createSecretsBlock, secretAllowed } from '../../../../runtime/building-blocks/secrets/secrets.ts';
import type { SecretScope } from '../../../../runtime/contracts/resource.ts';
import { blockRig, loaded, refusal, retrying } from '../../../support/block-rig.ts';

const scope = (more: Partial<SecretScope>): SecretScope => ({
  storeName: 'vault',
  defaultAccess: 'allow',
  allowedSecrets: [],
  deniedSecrets: [],
  ...more,
});

const SECRETS: Readonly<Record<string, string>> = { a: '1', b: '2' };
const vault = loaded('secretstores', 'vault', {
  features: [],
  get: async (name, metadata) => {
    if (metadata['fail'] !== undefined) throw new Error('no link');
    const value = SECRETS[name];
    return value === undefined ? undefined : { [name]: value };
  },
  bulkGet: async (metadata) => {
    if (metadata['fail'] !== undefined) throw new Error('no link');
    return metadata['none'] === undefined ? { a: { a: '1' }, b: { b: '2' } } : undefined;
  },
});

t.test('a secret, none, all', async (t) => {
  const rig = blockRig([vault]);
  const block = createSecretsBlock({ ...rig, scopes: [] });
  t.strictSame(await block.get('vault', 'a', {}, rig.call), { a: '1' });
  t.equal(await block.get('vault', 'c', {}, rig.call), undefined);
  t.strictSame(await block.bulkGet('vault', {}, rig.call), { a: { a: '1' }, b: { b: '2' } });
  t.equal(await block.bulkGet('vault', { none: '' }, rig.call), undefined);
  t.strictSame(rig.counted, [
    'component_secret_count vault get true',
    'component_secret_count vault get true',
    'component_secret_count vault bulk_get true',
    'component_secret_count vault bulk_get true',
  ]);
});

t.test('failures', async (t) => {
  const rig = blockRig([vault]);
  const block = createSecretsBlock({ ...rig, scopes: [scope({ deniedSecrets: ['b'] })] });
  t.match(await refusal(block.get('vault', 'a', { fail: '' }, rig.call)), {
    status: 500,
    code: 'ERR_SECRET_GET',
    message: 'failed getting secret with key a from secret store vault: no link',
  });
  t.match(await refusal(block.bulkGet('vault', { fail: '' }, rig.call)), { status: 500, message: /no link/ });
  t.match(await refusal(block.get('vault', 'b', {}, rig.call)), {
    status: 403,
    code: 'ERR_PERMISSION_DENIED',
    message: /access denied by policy to get "b" from "vault"/,
  });
  t.match(await refusal(block.get('nope', 'a', {}, rig.call)), {
    status: 401,
    code: 'ERR_SECRET_STORE_NOT_FOUND',
    message: 'failed finding secret store with key nope',
  });
  const none = blockRig([]);
  t.match(await refusal(createSecretsBlock({ ...none, scopes: [] }).get('vault', 'a', {}, none.call)), {
    status: 500,
    code: 'ERR_SECRET_STORES_NOT_CONFIGURED',
  });
});

t.test('bulk answers leave out what the scope denies', async (t) => {
  const rig = blockRig([vault]);
  const block = createSecretsBlock({
    ...rig,
    scopes: [scope({ defaultAccess: 'deny', allowedSecrets: ['b', 'z'] })],
  });
  t.strictSame(await block.bulkGet('vault', {}, rig.call), { b: { b: '2' } });
});

t.test('scopes: an allow list is exclusive, then the deny list, then the default', async (t) => {
  const allowed = (more: Partial<SecretScope>, key = 'a', store = 'vault'): boolean =>
    secretAllowed([scope(more)], store, key);
  t.ok(allowed({}));
  t.notOk(allowed({ defaultAccess: 'deny' }));
  t.ok(allowed({ defaultAccess: 'deny', allowedSecrets: ['a'] }));
  t.notOk(allowed({ allowedSecrets: ['b'] }));
  t.notOk(allowed({ deniedSecrets: ['a'] }));
  t.ok(allowed({ allowedSecrets: ['a'], deniedSecrets: ['a'] }), 'as in Dapr');
  t.ok(allowed({ defaultAccess: 'deny' }, 'a', 'other'), 'a store without a scope is open');
});

t.test('a read is tried again under a policy', async (t) => {
  let attempts = 0;
  const flaky = loaded('secretstores', 'flaky', {
    features: [],
    get: async () => {
      attempts += 1;
      if (attempts < 3) throw new Error('no link');
      return { a: '1' };
    },
    bulkGet: async () => undefined,
  });
  const rig = blockRig([flaky], retrying(3));
  t.strictSame(await createSecretsBlock({ ...rig, scopes: [] }).get('flaky', 'a', {}, rig.call), { a: '1' });
  t.equal(attempts, 3);
});
