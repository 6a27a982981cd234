/** `secretstores.local.file` and `secretstores.local.env`, with the data of Dapr's recorded answers. */

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { definition as envDefinition } from '../../../edge-components/secretstores/local-env/component.ts';
import { definition as fileDefinition } from '../../../edge-components/secretstores/local-file/component.ts';
import { decodeMetadata } from '../../../runtime/contracts/metadata.ts';
import type { SecretStore } from '../../../runtime/contracts/secret-store.ts';
import { componentDeps } from '../../support/component-deps.ts';

const never = new AbortController().signal;
const SECRETS = {
  plain: 'value',
  number: 5,
  flag: true,
  nothing: null,
  nested: { inner: 'deep', more: { down: 'deeper' } },
  list: ['zero', { in: 'one' }],
  'with space/slash': 'odd',
  'a:b': 'colon',
  empty: '',
};

async function file(
  t: Test,
  items: Readonly<Record<string, string>> = {},
  text = JSON.stringify(SECRETS),
): Promise<{ store: SecretStore; path: string }> {
  const path = join(t.testdir({ 'secrets.json': text }), 'secrets.json');
  const decoded = decodeMetadata(fileDefinition.metadata, { secretsFile: path, ...items });
  if (!decoded.ok) throw new Error(decoded.faults.join('; '));
  const store = fileDefinition.create(decoded.value, componentDeps());
  await store.init(never);
  return { store, path };
}

const read = (store: SecretStore, name: string): Promise<unknown> => store.get(name, {}, never);

t.test('file: the tree is flattened, every leaf is a secret', async (t) => {
  const { store, path } = await file(t);
  t.strictSame(store.features, []);
  t.strictSame(await read(store, 'plain'), { plain: 'value' });
  t.strictSame(await read(store, 'nested:more:down'), { 'nested:more:down': 'deeper' });
  t.strictSame(await read(store, 'list:1:in'), { 'list:1:in': 'one' });
  t.strictSame(await read(store, 'number'), { number: '%!s(float64=5)' });
  t.strictSame(await read(store, 'nothing'), { nothing: '%!s(<nil>)' });
  for (const name of ['nested', 'nope', 'PLAIN', '__proto__', 'constructor'])
    await t.rejects(read(store, name), { message: `secret ${name} not found` });
  t.strictSame(await store.bulkGet({}, never), {
    plain: { plain: 'value' },
    number: { number: '%!s(float64=5)' },
    flag: { flag: '%!s(bool=true)' },
    nothing: { nothing: '%!s(<nil>)' },
    'nested:inner': { 'nested:inner': 'deep' },
    'nested:more:down': { 'nested:more:down': 'deeper' },
    'list:0': { 'list:0': 'zero' },
    'list:1:in': { 'list:1:in': 'one' },
    'with space/slash': { 'with space/slash': 'odd' },
    'a:b': { 'a:b': 'colon' },
    empty: { empty: '' },
  });
  writeFileSync(path, '{"plain":"changed"}');
  t.strictSame(await read(store, 'plain'), { plain: 'value' }, 'read once, at start');
});

t.test('file: another separator', async (t) => {
  const { store } = await file(t, { nestedSeparator: '.' });
  t.strictSame(await read(store, 'nested.more.down'), { 'nested.more.down': 'deeper' });
});

t.test('file: multi-valued, every top-level entry is a secret', async (t) => {
  const { store } = await file(t, { multiValued: 'true' });
  t.strictSame(store.features, ['MULTIPLE_KEY_VALUES_PER_SECRET']);
  t.strictSame(await read(store, 'nested'), { inner: 'deep', 'more:down': 'deeper' });
  for (const name of ['nested:inner', 'list', 'number'])
    await t.rejects(read(store, name), { message: `secret ${name} not found` });
  t.strictSame(Object.keys((await store.bulkGet({}, never)) ?? {}), [
    'plain',
    'nested',
    'with space/slash',
    'a:b',
    'empty',
  ]);
});

t.test('file: what cannot be read stops the start and names the item', async (t) => {
  await t.rejects(file(t, {}, '{'), {
    message: /^metadata item 'secretsFile': .*secrets\.json is not valid JSON/,
  });
  for (const text of ['[]', '"x"', 'null'])
    await t.rejects(file(t, {}, text), { message: /^metadata item 'secretsFile': .*expected a JSON object/ });
  await t.rejects(file(t, { secretsFile: '/no/such/file' }), {
    message: /^metadata item 'secretsFile': ENOENT/,
  });
  await t.rejects(file(t, { secretsFile: '' }), { message: /'secretsFile': is required/ });
});

t.test('file: closed, it knows nothing', async (t) => {
  const { store } = await file(t);
  await store.close();
  await t.rejects(read(store, 'plain'));
});

function env(prefix?: string): SecretStore {
  const decoded = decodeMetadata(envDefinition.metadata, prefix === undefined ? {} : { prefix });
  if (!decoded.ok) throw new Error(decoded.faults.join('; '));
  const variables = {
    MY_SECRET: 'from-env',
    CT_PREFIXED: 'prefixed',
    DAPR_HIDDEN: 'no',
    dapr_lower: 'no',
    APP_API_TOKEN: 'no',
    EMPTY_ONE: '',
    UNSET: undefined,
  };
  return envDefinition.create(decoded.value, componentDeps({ env: variables }));
}

t.test('env: variables by name, the own ones hidden', async (t) => {
  const store = env();
  await store.init(never);
  t.strictSame(await read(store, 'MY_SECRET'), { MY_SECRET: 'from-env' });
  for (const name of [
    'NO_SUCH_VARIABLE',
    'EMPTY_ONE',
    'my_secret',
    'DAPR_HIDDEN',
    'dapr_lower',
    'APP_API_TOKEN',
    'toString',
  ])
    t.strictSame(await read(store, name), { [name]: '' }, name);
  t.strictSame(await store.bulkGet({}, never), {
    MY_SECRET: { MY_SECRET: 'from-env' },
    CT_PREFIXED: { CT_PREFIXED: 'prefixed' },
    EMPTY_ONE: { EMPTY_ONE: '' },
  });
});

t.test('env: a prefix is added on look-up and taken off in bulk', async (t) => {
  const store = env('CT_');
  t.strictSame(await read(store, 'PREFIXED'), { PREFIXED: 'prefixed' });
  t.strictSame(await read(store, 'MY_SECRET'), { MY_SECRET: '' });
  t.strictSame(await store.bulkGet({}, never), { PREFIXED: { PREFIXED: 'prefixed' } });
  t.strictSame(await read(env('DAPR_'), 'HIDDEN'), { HIDDEN: '' }, 'a prefix does not open what is hidden');
  t.strictSame(await env('APP_API_').bulkGet({}, never), {});
});
