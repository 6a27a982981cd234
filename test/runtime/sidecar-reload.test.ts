/** Hot reload: what a change in a resource folder does to components, subscriptions and the sidecar. */

import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import type { ComponentResource, SubscriptionResource } from '../../runtime/contracts/resource.ts';
import { loadResources } from '../../runtime/resources/load.ts';
import { createReload, type Reload } from '../../runtime/sidecar-reload.ts';
import { type FakeClock, fakeClock } from '../support/fake-clock.ts';
import { type RecordingLogger, recordingLogger } from '../support/recording-logger.ts';

const INTERVAL_MS = 5000;

interface Rig {
  readonly clock: FakeClock;
  readonly log: RecordingLogger;
  readonly reload: Reload;
  readonly live: { subscriptions: readonly SubscriptionResource[] };
  /** What was done, in order; takes it. */
  did(): readonly string[];
  readonly failures: unknown[];
  /** Names of components whose loading fails. */
  readonly broken: Set<string>;
  /** Writes files (`undefined` removes one), lets the interval pass and waits for the end of the reading. */
  change(files: Readonly<Record<string, string | undefined>>): Promise<void>;
}

async function rig(
  t: Test,
  files: Readonly<Record<string, string>>,
  features: Readonly<Record<string, boolean>> = {},
): Promise<Rig> {
  const dir = t.testdir(files as Record<string, string>);
  const clock = fakeClock();
  const log = recordingLogger();
  const loaded = await loadResources({ directories: [dir], appId: 'app', namespace: undefined });
  const running = new Map<string, ComponentResource>(loaded.components.map((c) => [c.name, c]));
  const steps: string[] = [];
  const failures: unknown[] = [];
  const broken = new Set<string>();
  const live = { subscriptions: loaded.subscriptions };
  const readings = { begun: 0, ended: 0 };
  const reload = createReload({
    options: { appId: 'app', resourcePaths: [dir], reloadIntervalMs: INTERVAL_MS },
    namespace: undefined,
    features,
    loaded,
    live,
    host: {
      settled: () => [...running.values()],
      unload: async (name) => {
        running.delete(name);
        steps.push(`unload ${name}`);
      },
      load: async (resource) => {
        steps.push(`load ${resource.name} ${resource.type}`);
        if (broken.has(resource.name) && !resource.ignoreErrors) throw new Error(`no ${resource.name}`);
        if (!broken.has(resource.name)) running.set(resource.name, resource);
      },
    },
    subscriptions: { reload: async () => void steps.push('subscriptions') },
    inputs: { reload: async () => {} },
    clock,
    log,
    restart: () => void steps.push('restart'),
    fail: (error) => void failures.push(error),
    read: async (options) => {
      readings.begun += 1;
      const now = await loadResources(options);
      readings.ended += 1;
      return now;
    },
  });
  reload.start();
  t.teardown(() => reload.close());
  const settle = async (): Promise<void> => {
    for (let turn = 0; turn < 5; turn += 1) await new Promise(setImmediate);
  };
  return {
    clock,
    log,
    reload,
    live,
    did: () => steps.splice(0),
    failures,
    broken,
    change: async (changes) => {
      for (const [file, text] of Object.entries(changes)) {
        if (text === undefined) rmSync(join(dir, file));
        else writeFileSync(join(dir, file), text);
      }
      const before = readings.begun;
      await clock.advance(INTERVAL_MS);
      // A reading that was under way may be followed by another one.
      while ((readings.begun === before || readings.ended < readings.begun) && clock.pending > 0)
        await settle();
      await settle();
    },
  };
}

const document = (kind: string, name: string, spec: string, more = ''): string =>
  `apiVersion: dapr.io/v1alpha1\nkind: ${kind}\nmetadata: {name: ${name}}\nspec: ${spec}\n${more}\n---\n`;
const component = (name: string, type = 'state.in-memory', more = ''): string =>
  document('Component', name, `{type: ${type}, version: v1${more}}`);
const subscription = (name: string, topic: string): string =>
  document('Subscription', name, `{pubsubname: ps, topic: ${topic}, route: /${topic}}`);

t.test('components: removed, changed in place, added, secret stores first', async (t) => {
  const r = await rig(t, { 'a.yaml': component('kept') + component('changed') + component('gone') });
  await r.change({
    'a.yaml': component('kept') + component('new') + component('changed', 'pubsub.in-memory'),
    'b.yaml': component('vault', 'secretstores.local.env'),
  });
  t.strictSame(r.did(), [
    'unload gone',
    'unload changed',
    'load changed pubsub.in-memory',
    'load vault secretstores.local.env',
    'load new state.in-memory',
  ]);
  const messages = r.log.lines.map(({ message }) => message);
  t.ok(messages.includes('Closing existing Component to reload: changed (pubsub.in-memory/v1)'));
  t.ok(messages.includes('Component updated: vault (secretstores.local.env/v1)'));
  await r.change({});
  t.strictSame(r.did(), [], 'nothing more to do');
});

t.test('what was written just before the watch began is found soon after', async (t) => {
  const r = await rig(t, { 'a.yaml': component('a') });
  writeFileSync(join(t.testdirName, 'b.yaml'), component('b'));
  await r.clock.advance(1000);
  while (r.did().length === 0) await new Promise(setImmediate);
});

t.test('a failing init ends the sidecar', async (t) => {
  const r = await rig(t, {});
  r.broken.add('bad');
  await r.change({ 'a.yaml': component('bad') + component('next') });
  t.match(r.failures, [/no bad/]);
  t.ok(r.log.lines.some(({ message }) => message.includes('daprd will exit gracefully: no bad')));
  t.strictSame(r.did(), ['load bad state.in-memory'], 'nothing after it');
  t.equal(r.clock.pending, 0, 'and no watching');
});

t.test('a failing init that is to be ignored is tried again', async (t) => {
  const r = await rig(t, {});
  r.broken.add('bad');
  const text = component('bad', 'state.in-memory', ', ignoreErrors: true');
  await r.change({ 'a.yaml': text });
  t.ok(r.did().includes('load bad state.in-memory'));
  await r.change({});
  t.ok(r.did().includes('load bad state.in-memory'));
  t.strictSame(r.failures, []);
});

t.test('subscriptions: what changed goes to the end', async (t) => {
  const r = await rig(t, { 'a.yaml': subscription('one', 'a') + subscription('two', 'b') });
  await r.change({
    'a.yaml': subscription('one', 'c') + subscription('two', 'b') + subscription('three', 'd'),
  });
  t.strictSame(r.did(), ['subscriptions']);
  t.strictSame(
    r.live.subscriptions.map(({ topic }) => topic),
    ['b', 'c', 'd'],
  );
  await r.change({ 'a.yaml': undefined });
  t.strictSame(r.live.subscriptions, []);
});

for (const [kind, spec, other] of [
  ['HTTPEndpoint', '{baseUrl: "http://a"}', '{baseUrl: "http://b"}'],
  ['Resiliency', '{policies: {}}', '{policies: {timeouts: {t: 5s}}}'],
  ['Configuration', '{}', '{tracing: {samplingRate: "1"}}'],
] as const) {
  t.test(`${kind}: a change restarts the sidecar`, async (t) => {
    const events = async (before: string, after: string): Promise<readonly string[]> => {
      const r = await rig(t, { 'a.yaml': before });
      await r.change({ 'a.yaml': after, 'b.yaml': component('c') });
      t.strictSame(r.did(), ['restart'], 'which does all the rest');
      return r.log.lines.flatMap(({ message }) => (message.includes('SIGHUP') ? [message] : []));
    };
    const line = (event: string): string => `Received ${kind} ${event} event: x - triggering SIGHUP reload`;
    t.strictSame(await events('', document(kind, 'x', spec)), [line('CREATED')]);
    t.strictSame(await events(document(kind, 'x', spec), document(kind, 'x', other)), [line('UPDATED')]);
    t.strictSame(await events(document(kind, 'x', spec), ''), [line('DELETED')]);
    const r = await rig(t, { 'a.yaml': document(kind, 'x', spec) });
    await r.change({ 'a.yaml': `# moved on\n${document(kind, 'x', spec)}`, 'b.yaml': '' });
    t.strictSame(r.did(), []);
  });
}

t.test('no restart into a start that would fail', async (t) => {
  const r = await rig(t, { 'a.yaml': component('a'), 'b.yaml': component('b') });
  const endpoint = document('HTTPEndpoint', 'x', '{baseUrl: "http://a"}');
  await r.change({
    'a.yaml': document('Component', 'a', '{version: v1}'),
    'c.yaml': endpoint + component('c'),
  });
  t.strictSame(r.did(), ['load c state.in-memory']);
  t.ok(r.log.lines.some(({ message }) => message.startsWith('No restart while a resource is broken')));
  await r.change({ 'a.yaml': component('a') });
  t.strictSame(r.did(), ['restart'], 'once it is mended');
});

t.test('a broken file is warned about once and keeps what runs', async (t) => {
  const r = await rig(t, { 'a.yaml': component('a') + component('b') });
  await r.change({ 'a.yaml': `${component('a', 'pubsub.in-memory')}spec: [`, 'c.yaml': component('c') });
  t.strictSame(r.did(), ['load c state.in-memory']);
  await r.change({});
  const warnings = r.log.lines.filter(({ level }) => level === 'warn');
  t.match(warnings, [{ message: /a\.yaml.*not valid YAML/ }]);
  t.equal(warnings.length, 1);
  await r.change({ 'a.yaml': component('a', 'pubsub.in-memory') });
  t.strictSame(r.did(), ['unload b', 'unload a', 'load a pubsub.in-memory']);
});

t.test('a folder that cannot be read keeps what runs', async (t) => {
  const r = await rig(t, { 'a.yaml': component('a') });
  rmSync(t.testdirName, { recursive: true });
  await r.change({});
  t.strictSame([r.did(), r.failures], [[], []]);
});

t.test('two components of one name end the sidecar', async (t) => {
  const r = await rig(t, { 'a.yaml': component('foo') });
  await r.change({ 'b.yaml': component('foo', 'pubsub.in-memory') + component('foo') });
  t.match(r.failures, [
    new Error(
      'failed to load resources from disk: duplicate definition of Component name foo (pubsub.in-memory/v1) with existing foo (state.in-memory/v1)\n' +
        'duplicate definition of Component name foo (state.in-memory/v1) with existing foo (state.in-memory/v1)',
    ),
  ]);
  t.strictSame(r.did(), []);
});

t.test('turned off by its feature; needs folders; wants to watch them', async (t) => {
  const off = await rig(t, { 'a.yaml': component('a') }, { HotReload: false });
  await off.change({ 'b.yaml': component('b') });
  t.strictSame(off.did(), []);
  t.equal(off.clock.pending, 0);
  const r = await rig(t, {});
  await r.reload.close();
  const lost = createReload({
    options: { appId: 'app', resourcePaths: [join(t.testdirName, 'no')], reloadIntervalMs: 0 },
    namespace: undefined,
    features: {},
    loaded: await loadResources({ directories: [], appId: 'app', namespace: undefined }),
    live: { subscriptions: [] },
    host: { settled: () => [], load: async () => {}, unload: async () => {} },
    subscriptions: { reload: async () => {} },
    inputs: { reload: async () => {} },
    clock: r.clock,
    log: r.log,
    restart: () => {},
    fail: () => {},
  });
  t.throws(() => lost.start(), /failed to add target .*no: no such file or directory$/);
});
