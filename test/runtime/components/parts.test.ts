/** The component store, validation without a start, and HTTP endpoints with their references. */

import t from 'tap';
import { resolveEndpoints } from '../../../runtime/components/endpoints.ts';
import { createRegistry } from '../../../runtime/components/registry.ts';
import { createComponentStore } from '../../../runtime/components/store.ts';
import { validateComponent } from '../../../runtime/components/validate.ts';
import { type AnyComponentDefinition, defineComponent } from '../../../runtime/contracts/component.ts';
import { integer, metadataSchema, requiredText } from '../../../runtime/contracts/metadata.ts';
import type {
  ComponentResource,
  HttpEndpointResource,
  MetadataEntry,
} from '../../../runtime/contracts/resource.ts';
import { loaded } from '../../support/block-rig.ts';
import { countingIds } from '../../support/counting-ids.ts';
import { recordingLogger } from '../../support/recording-logger.ts';

t.test('the store keeps categories apart and tells of changes', async (t) => {
  const store = createComponentStore();
  const seen: string[] = [];
  const stop = store.onChange(({ kind, component }) => void seen.push(`${kind} ${component.name}`));
  const a = loaded('lock', 'a', {} as never);
  store.add(a);
  t.equal(store.get('lock', 'a'), a);
  t.equal(store.get('state', 'a'), undefined);
  t.strictSame(store.list('state'), []);
  t.equal(store.remove('b'), undefined);
  t.equal(store.remove('a'), a);
  stop();
  store.add(a);
  t.strictSame(seen, ['added a', 'removed a']);
});

const origin = { file: 'f', document: 1 };
const registry = createRegistry({
  'lock.fake/v1': async () => ({
    definition: defineComponent({
      category: 'lock',
      type: 'lock.fake',
      metadata: metadataSchema({ path: requiredText(), port: integer(1) }, { aliases: { p: 'port' } }),
      capabilities: [],
      create: () => {
        throw new Error('validation creates nothing');
      },
    }) as AnyComponentDefinition,
  }),
});

t.test('validation: type, items, references count as present', async (t) => {
  const faults = (metadata: readonly MetadataEntry[], type = 'lock.fake'): Promise<readonly string[]> =>
    validateComponent({ type, version: '', metadata, origin } as unknown as ComponentResource, registry);
  t.strictSame(await faults([{ name: 'path', value: 'x' }]), []);
  t.strictSame(await faults([{ name: 'path', secretKeyRef: { name: 's', key: 's' } }]), []);
  t.strictSame(await faults([{ name: 'path', envRef: 'V' }]), []);
  t.strictSame(await faults([]), ["metadata item 'path': is required"]);
  t.strictSame(
    await faults([
      { name: 'Path', value: 'x' },
      { name: 'pth', value: 'y' },
    ]),
    ["metadata item 'pth' is not known (known: path, port)"],
  );
  for (const name of ['port', 'PORT', 'P']) {
    const path = { name: 'path', value: 'x' };
    t.strictSame(await faults([path, { name, envRef: 'V' }]), [], 'what a reference leads to is not known');
    t.match(await faults([path, { name, value: 'many' }]), [/'port': expected an integer/]);
  }
  t.match(await faults([], 'lock.nope'), [/couldn't find lock store lock\.nope\/v1 \(known: lock\.fake\)/]);
});

t.test('endpoints get what their items refer to', async (t) => {
  const store = createComponentStore();
  store.add(
    loaded('secretstores', 'vault', {
      features: [],
      get: async (name) => ({ [name]: `value of ${name}` }),
      bulkGet: async () => undefined,
    }),
  );
  const endpoint = (name: string, more: Partial<HttpEndpointResource>): HttpEndpointResource => ({
    kind: 'HTTPEndpoint',
    name,
    namespace: '',
    scopes: [],
    origin,
    baseUrl: 'https://x',
    headers: [],
    clientTls: { renegotiation: '' },
    secretStore: '',
    ...more,
  });
  const log = recordingLogger();
  const endpoints = await resolveEndpoints(
    [
      endpoint('plain', {}),
      endpoint('full', {
        headers: [
          { name: 'X', value: 'v' },
          { name: 'Y', secretKeyRef: { name: 's', key: 's' } },
          { name: 'Z', envRef: 'V' },
        ],
        clientTls: { renegotiation: '', rootCa: { name: 'ca', secretKeyRef: { name: 'ca', key: 'ca' } } },
        secretStore: 'vault',
      }),
    ],
    store,
    { env: { V: 'env' }, ids: countingIds(), appId: 'app', namespace: '', log },
  );
  t.strictSame(
    [...endpoints.values()],
    [
      { name: 'plain', baseUrl: 'https://x', headers: [] },
      {
        name: 'full',
        baseUrl: 'https://x',
        headers: [
          ['X', 'v'],
          ['Y', 'value of s'],
          ['Z', 'env'],
        ],
        tls: { rootCa: 'value of ca' },
      },
    ],
  );
});
