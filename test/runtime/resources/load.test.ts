/** Resource folders: what is taken, what is skipped, what stops the start, and where the fault is said to be. */

import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { loadResources } from '../../../runtime/resources/load.ts';
import { component, load } from './load-rig.ts';

t.test('a component with everything', async (t) => {
  const { components, faults, dir } = await load(t, {
    'a.yaml': `
apiVersion: dapr.io/v1alpha1
kind: Component
metadata:
  name: store
  namespace: ns
spec:
  type: State.SQLite
  version: v1
  ignoreErrors: "yes"
  initTimeout: 1m30s
  metadata:
  - name: text
    value: plain
  - {name: number, value: 5}
  - {name: huge, value: 12345678901234567890}
  - {name: float, value: 1.50}
  - {name: flag, value: yes}
  - {name: nothing, value: null}
  - {name: object, value: {a: [1, "x"]}}
  - {name: date, value: 2024-03-01}
  - {name: time, value: 12:30:45}
  - {name: bare}
  - {name: secret, secretKeyRef: {name: s}}
  - {name: keyed, secretKeyRef: {name: s, key: k}}
  - {name: env, envRef: VAR}
auth: {secretStore: vault}
scopes: [app, other]
`,
  });
  t.strictSame(faults, []);
  t.strictSame(components, [
    {
      kind: 'Component',
      name: 'store',
      namespace: 'ns',
      scopes: ['app', 'other'],
      origin: { file: join(dir, 'a.yaml'), document: 1 },
      type: 'State.SQLite',
      version: 'v1',
      ignoreErrors: true,
      initTimeoutMs: 90_000,
      metadata: [
        { name: 'text', value: 'plain' },
        { name: 'number', value: '5' },
        { name: 'huge', value: '12345678901234567890' },
        { name: 'float', value: '1.5' },
        { name: 'flag', value: 'true' },
        { name: 'nothing', value: '' },
        { name: 'object', value: '{"a":[1,"x"]}' },
        { name: 'date', value: '2024-03-01' },
        { name: 'time', value: '12:30:45' },
        { name: 'bare' },
        { name: 'secret', secretKeyRef: { name: 's', key: 's' } },
        { name: 'keyed', secretKeyRef: { name: 's', key: 'k' } },
        { name: 'env', envRef: 'VAR' },
      ],
      secretStore: 'vault',
    },
  ]);
});

t.test('init timeouts that are none mean five seconds', async (t) => {
  for (const initTimeout of ['', 'soon', '-1s', '0', '5']) {
    const { components } = await load(t, {
      'a.yaml': component('a', '', `type: state.x, initTimeout: "${initTimeout}"`),
    });
    t.equal(components[0]?.initTimeoutMs, 5000, initTimeout);
  }
});

t.test('files by name, several documents each, subfolders and other files not', async (t) => {
  const dir = t.testdir({});
  writeFileSync(
    join(dir, 'b.yml'),
    `${component('b1')}---\n# only a comment\n---\n${component('b2')}--- # more\n${component('b3')}`,
  );
  writeFileSync(join(dir, 'a.YAML'), component('a'));
  writeFileSync(join(dir, 'notes.txt'), 'hello');
  mkdirSync(join(dir, 'sub'));
  writeFileSync(join(dir, 'sub', 'c.yaml'), component('c'));
  const loaded = await loadResources({ directories: [dir], appId: 'app', namespace: undefined });
  t.strictSame(
    loaded.components.map(({ name, origin }) => `${name} ${origin.document}`),
    ['a 1', 'b1 1', 'b2 3', 'b3 4'],
  );
  t.match(loaded.faults, [
    { origin: { file: join(dir, 'notes.txt') }, message: /not a .yaml/, fatal: false },
  ]);
});

t.test('a folder that is not there stops the start', async (t) => {
  const { faults } = await loadResources({ directories: ['/no/such'], appId: 'app', namespace: undefined });
  t.match(faults, [{ field: '--resources-path', message: 'cannot be read: no such directory', fatal: true }]);
});

t.test('broken documents are skipped, the others stay', async (t) => {
  const { names, texts, fatal } = await load(t, {
    'a.yaml': `a: [1\n---\n${component('good')}---\n- a list\n---\njust text\n`,
    'b.yaml': `a: &a [x,x]\n${'b: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\nd: [*c,*c,*c,*c,*c,*c,*c,*c,*c]\n'}`,
    'c.yaml': '\t tabs: no',
  });
  t.strictSame(names, ['good']);
  t.equal(fatal, 0);
  t.match(texts, [
    /^a\.yaml \(document 1\): not valid YAML/,
    /^a\.yaml \(document 3\): expected a mapping/,
    /^a\.yaml \(document 4\): expected a mapping/,
    /^b\.yaml \(document 1\): not valid YAML: Excessive alias count/,
    /^c\.yaml \(document 1\): not valid YAML/,
  ]);
});

t.test('a key given twice has its last value, and is told', async (t) => {
  const { names, texts, fatal } = await load(t, { 'a.yaml': `apiVersion: dapr.io/v2\n${component('a')}` });
  t.strictSame(names, ['a']);
  t.strictSame(texts, ['a.yaml (document 1): a key is given twice, see its line 2']);
  t.equal(fatal, 0);
});

t.test('members in any letter case, names of the user as they are', async (t) => {
  const { components, subscriptions, resiliencies, faults } = await load(t, {
    'a.yaml': `apiVersion: dapr.io/v1alpha1
Kind: Component
kind: Component
Metadata: {NAME: a}
SPEC: {Type: state.in-memory, Version: v1, metadata: [{Name: Key, Value: V}], Other: 1}
---
apiVersion: dapr.io/v2alpha1
Kind: Subscription
metadata: {name: s}
spec: {PubsubName: p, topic: t, Metadata: {rawPayload: "true"}, routes: {Rules: [{Path: /x}]}}
---
APIVersion: dapr.io/v1alpha1
kind: Resiliency
metadata: {name: r}
spec: {Policies: {}}
`,
  });
  t.strictSame(faults, []);
  t.match(components, [
    { name: 'a', type: 'state.in-memory', version: 'v1', metadata: [{ name: 'Key', value: 'V' }] },
  ]);
  t.match(subscriptions, [
    { pubsubName: 'p', topic: 't', metadata: { rawPayload: 'true' }, rules: [{ match: '', path: '/x' }] },
  ]);
  t.match(resiliencies, [{ spec: { Policies: {} } }]);
});

t.test('kinds and versions of others', async (t) => {
  const { names, texts, fatal } = await load(t, {
    'a.yaml': [
      'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}',
      'apiVersion: dapr.io/v1alpha1\nkind: Configuration\nmetadata: {name: x}',
      'apiVersion: dapr.io/v2\nkind: Component\nmetadata: {name: x}\nspec: {type: state.x}',
      'metadata: {name: x}',
    ].join('\n---\n'),
  });
  t.strictSame(names, []);
  t.equal(fatal, 0);
  t.match(texts, [
    /'ConfigMap' is not a kind this runtime reads/,
    /apiVersion: expected dapr\.io\/v1alpha1 for Component, got 'dapr\.io\/v2'/,
    /kind: expected a kind/,
  ]);
});

t.test('a component with faults stops the start; all faults are told, by their place', async (t) => {
  const { texts, fatal } = await load(t, {
    'a.yaml': [
      component('a', '', 'version: v1'),
      component('a/b'),
      component('""'),
      component('c', '', 'type: state.x, metadata: [{value: 1}]'),
      component('d', '', 'type: state.x, metadata: {a: b}'),
      component('e', 'scopes: app'),
      'apiVersion: dapr.io/v1alpha1\nkind: Component\nmetadata: {}',
    ].join('---\n'),
  });
  t.match(texts, [
    'a.yaml (document 1): spec.type: Component a: expected a component type such as state.sqlite',
    /document 2\): metadata\.name: Component a\/b: must not contain/,
    /document 3\): metadata\.name: must not be empty/,
    /document 4\): spec\.metadata\.0\.name: Component c: expected the item name/,
    /document 5\): spec\.metadata: Component d: expected a list of \{name, value\}/,
    /document 6\): scopes: Component e: expected a list of app ids/,
    /document 7\): metadata\.name: expected a name/,
    /document 7\): spec: expected an object with a type/,
  ]);
  t.equal(fatal, texts.length);
});

t.test('faults in what is meant for others stop nothing', async (t) => {
  const broken = (more: string, metadata = 'name: a'): string =>
    `apiVersion: dapr.io/v1alpha1\nkind: Component\nmetadata: {${metadata}}\nspec: {}\n${more}`;
  t.equal((await load(t, { 'a.yaml': broken('scopes: [other]') })).fatal, 0);
  t.equal(
    (await load(t, { 'a.yaml': broken('', 'name: a, namespace: ns2') }, { namespace: 'ns1' })).fatal,
    0,
  );
  t.equal((await load(t, { 'a.yaml': broken('scopes: [other, app]') })).fatal, 1);
  t.equal((await load(t, { 'a.yaml': broken('', 'name: a, namespace: ns2') })).fatal, 1);
});

t.test('scopes and namespaces', async (t) => {
  const files = {
    'a.yaml': [
      component('all'),
      component('mine', 'scopes: [app]'),
      component('theirs', 'scopes: [other]'),
      component('none', 'scopes: []'),
      component('ns1, namespace: ns1'),
      component('ns2, namespace: ns2'),
    ].join('---\n'),
  };
  t.strictSame(
    (await load(t, files)).names,
    ['all', 'mine', 'none', 'ns1', 'ns2'],
    'namespaces are not compared',
  );
  t.strictSame((await load(t, files, { namespace: 'ns1' })).names, ['all', 'mine', 'none', 'ns1']);
});

t.test('a name twice is fatal, unless one of the two is for others', async (t) => {
  const { texts, fatal, names } = await load(t, {
    'a.yaml': component('a'),
    'b.yaml': component('a', '', 'type: pubsub.in-memory'),
  });
  t.strictSame(names, ['a']);
  t.equal(fatal, 1);
  t.match(texts, [
    'b.yaml (document 1): metadata.name: duplicate definition of Component name a (pubsub.in-memory/v1) with existing a (state.in-memory/v1)',
  ]);
  t.equal(
    (await load(t, { 'a.yaml': component('a'), 'b.yaml': component('a', 'scopes: [other]') })).fatal,
    0,
  );
  const subscription =
    'apiVersion: dapr.io/v1alpha1\nkind: Subscription\nmetadata: {name: a}\nspec: {pubsubname: p, topic: t, route: /r}\n';
  const mixed = await load(t, { 'a.yaml': component('a'), 'b.yaml': subscription });
  t.strictSame([mixed.fatal, mixed.subscriptions.length], [0, 1], 'kinds have names of their own');
});

t.test('names and topics that are numbers or truth values are texts', async (t) => {
  const subscription = `apiVersion: dapr.io/v1alpha1\nkind: Subscription\nmetadata: {name: 7}\nspec: {pubsubname: yes, topic: 12, route: /x}\n`;
  const { names, subscriptions, texts } = await load(t, {
    'a.yaml': `${component('123')}---\n${subscription}`,
  });
  t.strictSame(texts, []);
  t.strictSame(names, ['123']);
  t.match(subscriptions, [{ name: '7', pubsubName: 'true', topic: '12' }]);
});

t.test('a quoted text may end under its own key, as for the YAML library of Go', async (t) => {
  const metadata = `
  - name: routes
    value: '{
\t"/it''s": "/a",
  "/b": "/c"
    }'
  - name: words
    value: "one
 two \\"three\\"
"
`;
  const { components, texts } = await load(t, {
    'a.yaml': `apiVersion: dapr.io/v1alpha1\nkind: Component\nmetadata: {name: x}\nspec:\n  type: state.in-memory\n  metadata:${metadata}`,
    'b.yaml': "kind: Component\nspec: 'never closed\nmetadata: x\n",
  });
  t.match(components[0]?.metadata, [
    { name: 'routes', value: `{ "/it's": "/a", "/b": "/c" }` },
    { name: 'words', value: 'one two "three" ' },
  ]);
  t.match(texts, [/^b\.yaml \(document 1\): not valid YAML: Missing closing/]);
});

t.test('documents that are made to blow up are refused in time', async (t) => {
  const rows = (count: number, row: (index: number) => string): string =>
    Array.from({ length: count }, (_, index) => row(index)).join('\n');
  const head = 'apiVersion: dapr.io/v1alpha1\nkind: Component\nmetadata: {name: big}\n';
  const { texts, names } = await load(t, {
    'aliases.yaml': `${rows(4000, (i) => `k${i}: &a${i} v`)}\n${rows(4000, (i) => `z${i}: *a${i}`)}`,
    'circle.yaml': 'spec: &x {type: a, metadata: *x}',
    'keys.yaml': `${head}spec: {type: state.in-memory}\n${rows(20_000, (i) => `k${i}: 1`)}`,
    'name.yaml': 'apiVersion: {toString: 1}\nkind: Component\nmetadata: {name: {toString: 1}}',
    'other.yaml': 'kind: Configuration\nmetadata: {name: {toString: 1, valueOf: 1}}',
    'quotes.yaml': rows(3000, (i) => `q${i}: "a\nb"`),
    'same.yaml': 'a: 1\nb: 2\na: 3',
  });
  t.same(names, ['big']);
  t.match(texts.join('\n'), /aliases\.yaml.*4000 aliases in a document of 12001 nodes/);
  t.match(texts.join('\n'), /circle\.yaml.*\*x stands inside &x/);
  t.match(
    texts.join('\n'),
    /name\.yaml.*apiVersion: expected dapr\.io\/v1alpha1 for Component, got 'an object'/,
  );
  t.match(texts.join('\n'), /quotes\.yaml.*not valid YAML/);
  t.match(texts.join('\n'), /same\.yaml.*a key is given twice, see its line 3/);
});
