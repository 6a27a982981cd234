/** The life of components: found, given their items, started in order and in time, closed again. */

import t from 'tap';
import {
  ComponentFailure,
  type ComponentHost,
  createComponentHost,
} from '../../../runtime/components/host.ts';
import { createRegistry } from '../../../runtime/components/registry.ts';
import { type ComponentStore, createComponentStore } from '../../../runtime/components/store.ts';
import { type AnyComponentDefinition, defineComponent } from '../../../runtime/contracts/component.ts';
import { metadataSchema, optionalText, requiredText } from '../../../runtime/contracts/metadata.ts';
import type { ComponentResource, MetadataEntry } from '../../../runtime/contracts/resource.ts';
import { componentDeps } from '../../support/component-deps.ts';
import { countingIds } from '../../support/counting-ids.ts';
import { type FakeClock, fakeClock } from '../../support/fake-clock.ts';
import { type RecordingLogger, recordingLogger } from '../../support/recording-logger.ts';

const never = new AbortController().signal;

interface Rig {
  readonly host: ComponentHost;
  readonly store: ComponentStore;
  readonly log: RecordingLogger;
  readonly clock: FakeClock;
  /** What happened to instances, in order. */
  readonly life: string[];
  /** Metadata of the state stores created. */
  readonly created: Readonly<Record<string, unknown>>[];
  readonly counted: string[];
}

type Init = (name: string, signal: AbortSignal) => Promise<void>;

function rig(
  options: { init?: Init; denied?: readonly string[]; env?: Readonly<Record<string, string>> } = {},
): Rig {
  const life: string[] = [];
  const created: Readonly<Record<string, unknown>>[] = [];
  const counted: string[] = [];
  const log = recordingLogger();
  const clock = fakeClock();
  const instance = (name: string) => ({
    init: async (signal: AbortSignal) => {
      life.push(`init ${name}`);
      await options.init?.(name, signal);
    },
    close: async () => void life.push(`close ${name}`),
  });
  const state = defineComponent({
    category: 'state',
    type: 'state.fake',
    metadata: metadataSchema({ path: requiredText(), token: optionalText() }),
    capabilities: [],
    create: (metadata, deps) => {
      created.push(metadata);
      if (metadata.path === 'explode') throw new Error('cannot be made');
      return { ...instance(deps.componentName), features: ['ETAG', 'TRANSACTIONAL'] } as never;
    },
  });
  const secrets = defineComponent({
    category: 'secretstores',
    type: 'secretstores.fake',
    metadata: metadataSchema({ token: optionalText() }),
    capabilities: [],
    create: (_metadata, deps) => ({
      ...instance(deps.componentName),
      features: [],
      get: async (name) => {
        if (name === 'gone') throw new Error('secret gone not found');
        return { [name]: `value of ${name}`, key: 'value of key', empty: '' };
      },
      bulkGet: async () => undefined,
    }),
  });
  const store = createComponentStore();
  const host = createComponentHost({
    registry: createRegistry({
      'state.fake/v1': async () => ({ definition: state as AnyComponentDefinition }),
      'secretstores.fake/v1': async () => ({ definition: secrets as AnyComponentDefinition }),
    }),
    store,
    log,
    metrics: { count: (name) => void counted.push(name), observe: () => {}, gauge: () => {} },
    sources: { env: options.env ?? {}, ids: countingIds(), appId: 'app', namespace: 'ns' },
    denied: options.denied ?? [],
    deps: (componentName) => componentDeps({ componentName, clock }),
  });
  return { host, store, log, clock, life, created, counted };
}

const resource = (name: string, more: Partial<ComponentResource> = {}): ComponentResource => ({
  kind: 'Component',
  name,
  namespace: '',
  scopes: [],
  origin: { file: `/r/${name}.yaml`, document: 1 },
  type: 'state.fake',
  version: '',
  ignoreErrors: false,
  initTimeoutMs: 5000,
  metadata: [{ name: 'path', value: '/data' }],
  secretStore: '',
  ...more,
});
const vault = resource('vault', { type: 'secretstores.fake', metadata: [] });
const levels = (log: RecordingLogger, level: string): readonly string[] =>
  log.lines.filter((line) => line.level === level).map(({ message }) => message);

t.test('a component is started, found by name, closed once', async (t) => {
  const { host, store, life, counted } = rig();
  await host.load(resource('mem', { type: 'State.Fake', version: 'V0' }), never);
  const component = store.get('state', 'mem');
  t.match(component, { name: 'mem', type: 'State.Fake', version: 'V0', metadata: { path: '/data' } });
  t.strictSame(component?.capabilities, ['ETAG', 'TRANSACTIONAL', 'ACTOR']);
  await host.unload('mem');
  await host.unload('mem');
  t.equal(store.get('state', 'mem'), undefined);
  t.strictSame(life, ['init mem', 'close mem']);
  t.ok(counted.includes('runtime_component_loaded'));
});

t.test('secret stores come first, the rest in their order', async (t) => {
  const { host, life, store } = rig();
  await host.loadAll([resource('b'), vault, resource('a')], never);
  t.strictSame(life, ['init vault', 'init b', 'init a']);
  await host.closeAll();
  t.strictSame(life.slice(3).sort(), ['close a', 'close b', 'close vault']);
  t.strictSame(store.all(), []);
});

t.test('what cannot start stops the start, and what had started is closed', async (t) => {
  const { host, store, life } = rig({
    init: async (name) => void (name === 'bad' && (await Promise.reject(new Error('no disk')))),
  });
  await t.rejects(host.loadAll([vault, resource('good'), resource('bad'), resource('never')], never), {
    message:
      'process component bad error: [INIT_COMPONENT_FAILURE]: initialization error occurred for bad (state.fake/v1): no disk [/r/bad.yaml]',
  });
  t.strictSame(store.all(), []);
  t.strictSame([...life].sort(), [
    'close bad',
    'close good',
    'close vault',
    'init bad',
    'init good',
    'init vault',
  ]);
});

t.test('phases and words of failures', async (t) => {
  const failure = async (more: Partial<ComponentResource>): Promise<string> => {
    const { host } = rig();
    const error: unknown = await host.load(resource('x', more), never).catch((cause: unknown) => cause);
    t.ok(error instanceof ComponentFailure);
    return (error as Error).message.replace('process component x error: ', '');
  };
  t.match(
    await failure({ type: 'state.fke' }),
    /^\[CREATE_COMPONENT_FAILURE\]: creation error occurred for x \(state\.fke\/v1\): couldn't find state store state\.fke\/v1 \(known: state\.fake\)/,
  );
  t.match(await failure({ version: 'v2' }), /couldn't find state store state\.fake\/v2/);
  t.match(await failure({ type: 'stat.fake' }), /incorrect type stat\.fake: expected <category>\.<name>/);
  t.match(await failure({ type: 'fake' }), /incorrect type fake/);
  t.match(
    await failure({ metadata: [] }),
    /^\[INIT_COMPONENT_FAILURE\].*: metadata item 'path': is required/,
  );
  t.match(
    await failure({
      metadata: [
        { name: 'PATH', value: '/a' },
        { name: 'path', value: '/b' },
      ],
    }),
    /metadata item 'path' repeats 'PATH'/,
  );
  t.match(
    await failure({ metadata: [{ name: 'path', value: 'explode' }] }),
    /^\[CREATE_COMPONENT_FAILURE\].*: cannot be made/,
  );
  t.match(await failure({ metadata: [{ name: 'path', value: '{podName}' }] }), /^\[INIT_FAILURE\].*POD_NAME/);
});

t.test('ignoreErrors leaves a component out and goes on', async (t) => {
  const { host, store, log } = rig();
  await host.loadAll([resource('bad', { type: 'state.nope', ignoreErrors: true }), resource('good')], never);
  t.strictSame(
    store.all().map(({ name }) => name),
    ['good'],
  );
  t.match(levels(log, 'error'), [/process component bad error/]);
});

t.test('names of items: any case; misspelt ones are warned about with what exists', async (t) => {
  const { host, created, log } = rig();
  const metadata: MetadataEntry[] = [
    { name: 'PATH', value: '/a' },
    { name: 'tokn', value: 'x' },
    { name: 'keyPrefix', value: 'none' },
  ];
  await host.load(resource('x', { metadata }), never);
  t.strictSame(created, [{ path: '/a' }]);
  t.strictSame(levels(log, 'warn'), [
    "component x (state.fake): metadata item 'tokn' is not known and has no effect (known: path, token) [/r/x.yaml]",
  ]);
});

t.test('denied types are not loaded', async (t) => {
  for (const denied of ['State.FAKE', 'state.fake/v1']) {
    const { host, store, log } = rig({ denied: ['state.other', denied] });
    await host.load(resource('x'), never);
    t.strictSame(store.all(), []);
    t.match(levels(log, 'warn'), [/component x of type state\.fake is denied/]);
  }
  const other = rig({ denied: ['state.fake/v2'] });
  await other.host.load(resource('x'), never);
  t.equal(other.store.all().length, 1);
});

t.test('init has a time, also when it does not listen', async (t) => {
  let seen: AbortSignal | undefined;
  const { host, clock, life, store } = rig({
    init: (_name, signal) => {
      seen = signal;
      return new Promise(() => {});
    },
  });
  const slow = t.rejects(host.load(resource('slow', { initTimeoutMs: 1500 }), never), {
    message: /\[INIT_COMPONENT_FAILURE\].*: init timed out for component slow exceeded after 1\.5s/,
  });
  await clock.advance(1500);
  await slow;
  t.ok(seen?.aborted);
  t.strictSame(life, ['init slow', 'close slow']);
  t.strictSame(store.all(), []);
  t.equal(clock.pending, 0);
});

t.test('init that ends in time leaves no timer; a shutdown ends it at once', async (t) => {
  const quick = rig();
  await quick.host.load(resource('x'), never);
  t.equal(quick.clock.pending, 0);
  const stuck = rig({ init: () => new Promise(() => {}) });
  const shutdown = new AbortController();
  const ended = t.rejects(stuck.host.load(resource('x'), shutdown.signal), { message: /going down/ });
  shutdown.abort(new Error('going down'));
  await ended;
  t.strictSame(stuck.life, ['init x', 'close x']);
});

t.test('secrets, variables, templates', async (t) => {
  const { host, created, log, store } = rig({ env: { VAR: 'from env', DAPR_SECRET: 'no' } });
  const token = async (entry: Omit<MetadataEntry, 'name'>): Promise<unknown> => {
    const metadata: MetadataEntry[] = [
      { name: 'path', value: '/a' },
      { name: 'token', ...entry },
    ];
    await host.load(resource('x', { metadata, secretStore: 'vault' }), never);
    const found = created.at(-1)?.['token'];
    await host.unload('x');
    return found;
  };
  await host.load(vault, never);
  t.equal(await token({ secretKeyRef: { name: 'a', key: 'a' } }), 'value of a');
  t.equal(await token({ secretKeyRef: { name: 'a', key: 'key' } }), 'value of key');
  t.equal(await token({ secretKeyRef: { name: 'a', key: 'nope' } }), undefined);
  t.equal(await token({ secretKeyRef: { name: 'a', key: 'toString' } }), undefined);
  t.equal(await token({ secretKeyRef: { name: 'a', key: 'empty' } }), undefined);
  t.equal(
    await token({ secretKeyRef: { name: 'gone', key: 'gone' } }),
    undefined,
    'missing, and the log says so',
  );
  t.match(levels(log, 'error'), [/item token of component x: secret gone cannot be read/]);
  t.equal(await token({ value: 'literal', envRef: 'VAR', secretKeyRef: { name: 'a', key: 'a' } }), 'literal');
  t.equal(await token({ envRef: 'VAR', secretKeyRef: { name: 'a', key: 'a' } }), 'from env');
  t.equal(await token({ envRef: 'UNSET' }), '');
  t.equal(await token({ envRef: 'toString' }), '');
  t.equal(await token({ envRef: 'DAPR_SECRET' }), undefined, 'the own variables are not for components');
  t.match(levels(log, 'warn'), [/envRef must not read the variable DAPR_SECRET/]);
  t.equal(await token({ value: '{appID}/{namespace}' }), 'app/ns.app');
  t.match(await token({ value: '{uuid} {uuid}' }), /^(\S{36}) (?!\1)\S{36}$/);
  await host.load(
    resource('named', {
      metadata: [
        { name: 'path', secretKeyRef: { name: 's', key: 'key' } },
        { name: 'token', value: '{namespace}' },
      ],
      secretStore: 'vault',
    }),
    never,
  );
  t.match(store.get('state', 'named'), { secretNames: { path: 's' }, namespaceScoped: true });
});

t.test('DAPR_ENV_KEYS limits what may be read', async (t) => {
  const { host, created } = rig({ env: { A: '1', B: '2', DAPR_ENV_KEYS: 'A C' } });
  for (const envRef of ['A', 'B'])
    await host.load(
      resource(envRef, {
        metadata: [
          { name: 'path', value: '/' },
          { name: 'token', envRef },
        ],
      }),
      never,
    );
  t.match(created, [{ token: '1' }, { token: undefined }]);
});

t.test('a component waits for its secret store and starts with it', async (t) => {
  const { host, store, log } = rig();
  const metadata: MetadataEntry[] = [{ name: 'path', secretKeyRef: { name: 's', key: 's' } }];
  const waiting = resource('x', { metadata, secretStore: 'vault' });
  await host.load(waiting, never);
  t.strictSame(store.all(), []);
  t.match(levels(log, 'warn'), [/component x waits for the secret store vault/]);
  await host.load(vault, never);
  t.match(store.get('state', 'x'), { metadata: { path: 'value of s' } });
  const gone = rig();
  await gone.host.load(waiting, never);
  await gone.host.unload('x');
  await gone.host.load(vault, never);
  t.equal(gone.store.get('state', 'x'), undefined, 'removed while it waited');
});

t.test('what is settled: all but the failed; what is drained: before the instance closes', async (t) => {
  const { host, life } = rig({ denied: ['lock.fake'] });
  const metadata: MetadataEntry[] = [{ name: 'path', secretKeyRef: { name: 's', key: 's' } }];
  const waiting = resource('waiting', { metadata, secretStore: 'vault' });
  const denied = resource('denied', { type: 'lock.fake' });
  const failed = resource('failed', { type: 'state.nope', ignoreErrors: true });
  await host.loadAll([resource('a'), waiting, denied, failed], never);
  const names = (): readonly string[] => host.settled().map(({ name }) => name);
  t.strictSame(names(), ['a', 'waiting', 'denied']);
  await host.unload('a', async ({ name }) => void life.push(`drain ${name}`));
  await host.unload('waiting', async () => void t.fail('nothing runs that could be drained'));
  t.strictSame(life, ['init a', 'drain a', 'close a']);
  t.strictSame(names(), ['denied']);
  await host.closeAll();
  t.strictSame(names(), []);
});

t.test('a secret store may need another one', async (t) => {
  const { host, store } = rig();
  const second = resource('second', {
    type: 'secretstores.fake',
    metadata: [{ name: 'token', secretKeyRef: { name: 's', key: 's' } }],
    secretStore: 'vault',
  });
  await host.loadAll([second, vault], never);
  t.match(store.get('secretstores', 'second'), { metadata: { token: 'value of s' } });
});

t.test('without auth.secretStore a reference leads nowhere', async (t) => {
  const { host, log } = rig();
  await t.rejects(
    host.load(resource('x', { metadata: [{ name: 'path', secretKeyRef: { name: 's', key: 's' } }] }), never),
    {
      message: /'path': is required/,
    },
  );
  t.match(levels(log, 'error'), [/secretKeyRef needs auth\.secretStore/]);
});

t.test('closing goes on when one component cannot close', async (t) => {
  const { host, store, log, life } = rig();
  await host.loadAll([resource('a'), resource('b')], never);
  const first = store.get('state', 'a');
  if (first !== undefined) first.instance.close = () => Promise.reject(new Error('stuck'));
  await host.closeAll();
  t.ok(life.includes('close b'));
  t.match(levels(log, 'error'), [/closing component a failed/]);
});
