/** Sync documents: what they become, and every fault with its field. */

import t from 'tap';
import { syncFaults } from '../../../runtime/building-blocks/sync/check.ts';
import type { ComponentResource, SyncResource } from '../../../runtime/contracts/resource.ts';
import { parseSync } from '../../../runtime/resources/sync-schema.ts';

const document = (spec: unknown, name = 's') => ({
  origin: { file: 'sync.yaml', document: 1 },
  value: { apiVersion: 'skerry.dev/v1alpha1', kind: 'Sync', metadata: { name }, spec } as Record<
    string,
    unknown
  >,
});
const faultsOf = (spec: unknown): readonly string[] => {
  const parsed = parseSync(document(spec));
  return parsed.ok ? [] : parsed.faults.map(({ field, message }) => `${field}: ${message}`);
};
const syncOf = (spec: unknown, name?: string): SyncResource => {
  const parsed = parseSync(document(spec, name));
  if (!parsed.ok) throw new Error(JSON.stringify(parsed.faults));
  return parsed.resource;
};

const topic = { local: { pubsub: 'l', topic: 'a' }, remote: { pubsub: 'r', topic: 'b' } };
const state = { local: 'near', remote: 'far', keys: ['k'] };

t.test('what a flow does not say is taken from spec', (t) => {
  const { flows, conflictTopic } = syncOf({
    direction: 'both',
    priority: 7,
    ttl: '1h',
    maxRate: 5,
    maxBytesPerHour: '10Mi',
    quietHours: ['22:00-06:30'],
    conflict: 'merge',
    conflictTopic: { pubsub: 'l', topic: 'c' },
    topics: [topic, { ...topic, name: 'urgent', direction: 'up', priority: 9, ttl: 30 }],
    state: [{ ...state, keys: ['k', { local: 'x', remote: 'y' }], pollInterval: '5s' }],
  });
  t.match(flows, [
    { name: 'l/a', direction: 'both', priority: 7, ttlMs: 3_600_000, maxRate: 5, quietHours: [[1320, 390]] },
    { name: 'urgent', direction: 'up', priority: 9, ttlMs: 30_000, maxBytesPerHour: 10 * 1024 * 1024 },
    {
      name: 'near',
      conflict: 'merge',
      pollMs: 5000,
      keys: [
        { local: 'k', remote: 'k' },
        { local: 'x', remote: 'y' },
      ],
    },
  ]);
  t.same(conflictTopic, { pubsub: 'l', topic: 'c' });
  t.end();
});

t.test('faults name their field', (t) => {
  const cases: readonly [unknown, readonly (string | RegExp)[]][] = [
    [undefined, [/^spec: /]],
    [{}, ['spec: expected at least one flow in topics or state']],
    [{ topics: [topic] }, ['spec.topics.0.direction: expected up, down or both (here or in spec)']],
    [{ direction: 'sideways', topics: [topic] }, ['spec.direction: expected up, down or both']],
    [{ direction: 'up', topics: [{ local: topic.local }] }, [/^spec\.topics\.0\.remote: /]],
    [
      { direction: 'up', topics: [{ ...topic, remote: { pubsub: 'r' } }] },
      ['spec.topics.0.remote.topic: expected a topic'],
    ],
    [{ direction: 'up', tpics: [topic], topics: [topic] }, ['spec: not known here: tpics']],
    [
      { direction: 'up', priority: 10, topics: [topic] },
      ['spec.priority: expected a number from 0 (bulk) to 9 (urgent)'],
    ],
    [
      { direction: 'up', ttl: 'soon', topics: [topic] },
      ["spec.ttl: expected a duration such as 24h, got 'soon'"],
    ],
    [
      { direction: 'up', maxBytesPerHour: 'lots', topics: [topic] },
      ["spec.maxBytesPerHour: expected a number of bytes such as 10Mi, got 'lots'"],
    ],
    [
      { direction: 'up', quietHours: ['25:00-06:00'], topics: [topic] },
      ["spec.quietHours.0: expected a time such as 22:00-06:00, got '25:00-06:00'"],
    ],
    [
      { direction: 'up', topics: [topic, topic] },
      [/^spec\.topics\.1: another flow \(spec\.topics\.0\) is called l\/a too/],
    ],
    [
      { direction: 'up', state: [{ ...state, keys: [] }] },
      ['spec.state.0.keys: expected at least one of keys and keyPrefixes'],
    ],
    [
      { direction: 'up', state: [{ ...state, keys: ['a||b'] }] },
      ["spec.state.0.keys.0: must not contain '||'"],
    ],
    [
      { direction: 'up', state: [{ ...state, remote: 'near' }] },
      ['spec.state.0.remote: must be another store than local'],
    ],
    [
      { direction: 'both', conflict: 'ask', state: [state] },
      ['spec.state.0.conflict: ask needs a topic to ask on: set spec.conflictTopic'],
    ],
    [
      { direction: 'both', conflict: 'dice', state: [state] },
      [/^spec\.conflict: expected last-write, .* or ask$/],
    ],
    [
      { direction: 'down', state: [{ ...state, keyPrefixes: ['p-'] }] },
      [/^spec\.state\.0\.keyPrefixes: Dapr's API cannot list keys/],
    ],
    [
      { direction: 'both', state: [{ ...state, pollInterval: '1ms' }] },
      ['spec.state.0.pollInterval: expected at least 100ms'],
    ],
  ];
  for (const [spec, expected] of cases) {
    const found = faultsOf(spec);
    t.equal(found.length, expected.length, JSON.stringify(found));
    for (const [at, text] of expected.entries()) t.match(found[at], text);
  }
  t.same(faultsOf({ direction: 'both', state: [{ ...state, keyPrefixes: ['p-'], journal: 'j' }] }), []);
  t.end();
});

const component = (
  name: string,
  type: string,
  items: Readonly<Record<string, string>> = {},
): ComponentResource => ({
  kind: 'Component',
  name,
  namespace: '',
  scopes: [],
  origin: { file: 'c.yaml', document: 1 },
  type,
  version: 'v1',
  ignoreErrors: false,
  initTimeoutMs: 5000,
  metadata: Object.entries(items).map(([item, value]) => ({ name: item, value })),
  secretStore: '',
});

const COMPONENTS = [
  component('l', 'pubsub.mqtt3'),
  component('r', 'pubsub.dapr', { baseUrl: 'http://cloud' }),
  component('near', 'state.sqlite'),
  component('near2', 'state.sqlite'),
  component('far', 'state.dapr', { baseUrl: 'http://cloud' }),
  component('mem', 'state.in-memory'),
  component('copy', 'state.dapr', { baseUrl: 'http://cloud', mode: 'cached' }),
  component('lost', 'state.dapr', { endpointName: 'nowhere' }),
];
const check = (...specs: unknown[]): readonly string[] =>
  syncFaults({
    syncs: specs.map((spec, at) => syncOf(spec, `s${at}`)),
    components: COMPONENTS,
    httpEndpoints: [],
  }).map(({ field, message }) => message.replace(/^Sync (\w+): /, `$1: ${field}: `));

t.test('what is wrong among resources', (t) => {
  t.same(check({ direction: 'up', topics: [topic], state: [state] }), []);
  const cases: readonly [readonly unknown[], RegExp][] = [
    [
      [{ direction: 'up', state: [{ ...state, remote: 'none' }] }],
      /^s0: spec\.state\.0\.remote: there is no state store none for this app$/,
    ],
    [
      [{ direction: 'up', state: [{ ...state, remote: 'l' }] }],
      /^s0: spec\.state\.0\.remote: expected the name of a state store, and l is a pubsub\.mqtt3$/,
    ],
    [
      [{ direction: 'up', state: [{ ...state, local: 'mem' }] }],
      /^s0: spec\.state\.0\.local: expected a state\.sqlite/,
    ],
    [
      [{ direction: 'up', state: [{ ...state, remote: 'copy' }] }],
      /^s0: spec\.state\.0\.remote: expected a state\.dapr with mode remote/,
    ],
    [
      [{ direction: 'up', state: [{ ...state, remote: 'lost' }] }],
      /^s0: spec\.state\.0\.remote: lost names the HTTPEndpoint nowhere/,
    ],
    [
      [{ direction: 'up', topics: [{ ...topic, local: { pubsub: 'none', topic: 'a' } }] }],
      /^s0: spec\.topics\.0\.local\.pubsub: there is no pub\/sub component none/,
    ],
    [
      [{ direction: 'down', topics: [topic] }],
      /^s0: spec\.topics\.0\.direction: down needs events from r, whose metadata item grpcAddress/,
    ],
    [
      [{ direction: 'up', filter: 'event.', topics: [topic] }],
      /^s0: spec\.topics\.0\.filter: match expression/,
    ],
    [
      [{ direction: 'up', conflictTopic: { pubsub: 'x', topic: 'c' }, topics: [topic] }],
      /^s0: spec\.conflictTopic\.pubsub: there is no/,
    ],
    [
      [{ direction: 'up', state: [state, { ...state, name: 'again', local: 'near2' }] }],
      /^s0: spec\.state\.1\.keys: s0\/near writes k of state far too: one flow per key$/,
    ],
    [
      [
        { direction: 'up', state: [{ ...state, keyPrefixes: ['a-'] }] },
        { direction: 'up', state: [{ ...state, keys: ['a-b'], local: 'near2' }] },
      ],
      /^s1: spec\.state\.0\.keys: s0\/near writes a-b of state far too/,
    ],
    [
      [
        { direction: 'up', topics: [topic] },
        { direction: 'up', topics: [{ name: 'back', local: topic.remote, remote: topic.local }] },
      ],
      /^s1: spec\.topics\.0: goes in a circle with s0\/l\/a: use one flow with direction both$/,
    ],
    [
      [
        { direction: 'up', state: [state] },
        { direction: 'down', state: [{ ...state, local: 'near2' }] },
        { direction: 'up', state: [{ ...state, local: 'near2', remote: 'near' }] },
      ],
      /^s2: spec\.state\.0: goes in a circle with s0\/near, s1\/near2/,
    ],
  ];
  for (const [specs, expected] of cases) {
    const found = check(...specs);
    t.equal(found.length, 1, JSON.stringify(found));
    t.match(found[0], expected);
  }
  t.end();
});
