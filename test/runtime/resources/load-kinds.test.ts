/** Subscriptions, endpoints and resiliencies as they are loaded from files. */

import t from 'tap';
import { load } from './load-rig.ts';

t.test('subscriptions of both versions become rules', async (t) => {
  const { subscriptions, faults } = await load(t, {
    'a.yaml': `
apiVersion: dapr.io/v1alpha1
kind: Subscription
metadata: {name: one}
spec: {pubsubname: p, topic: t, route: /r, deadLetterTopic: d, metadata: {max: 1}}
---
apiVersion: dapr.io/v2alpha1
kind: Subscription
metadata: {name: two}
spec:
  pubsubname: p
  topic: t
  bulkSubscribe: {enabled: true, maxMessagesCount: 10, maxAwaitDurationMs: 20}
  routes:
    default: /d
    rules:
    - {match: 'event.type == "x"', path: /x}
scopes: [app]
---
apiVersion: dapr.io/v2alpha1
kind: Subscription
metadata: {name: three}
spec: {pubsubname: p, topic: t}
`,
  });
  t.strictSame(faults, []);
  t.match(subscriptions, [
    {
      name: 'one',
      rules: [{ match: '', path: '/r' }],
      deadLetterTopic: 'd',
      metadata: { max: '1' },
      bulk: { enabled: false },
    },
    {
      name: 'two',
      rules: [
        { match: 'event.type == "x"', path: '/x' },
        { match: '', path: '/d' },
      ],
      bulk: { enabled: true, maxMessagesCount: 10, maxAwaitDurationMs: 20 },
      deadLetterTopic: '',
    },
    { name: 'three', rules: [] },
  ]);
});

t.test('endpoints and resiliencies that are broken are warned about', async (t) => {
  const { httpEndpoints, resiliencies, texts, fatal } = await load(t, {
    'a.yaml': `
apiVersion: dapr.io/v1alpha1
kind: HTTPEndpoint
metadata: {name: good}
spec:
  baseUrl: https://example.com
  headers: [{name: X-Token, secretKeyRef: {name: s}}]
  clientTLS: {rootCA: {value: PEM}, certificate: {secretKeyRef: {name: s, key: k}}}
---
apiVersion: dapr.io/v1alpha1
kind: HTTPEndpoint
metadata: {name: bad}
spec: {baseUrl: example}
---
apiVersion: dapr.io/v1alpha1
kind: Resiliency
metadata: {name: r}
spec: {policies: {}}
---
apiVersion: dapr.io/v1alpha1
kind: Resiliency
metadata: {name: r2}
`,
  });
  t.match(httpEndpoints, [
    {
      name: 'good',
      baseUrl: 'https://example.com',
      headers: [{ name: 'X-Token' }],
      clientTls: { rootCa: { value: 'PEM' }, certificate: { secretKeyRef: { name: 's', key: 'k' } } },
    },
  ]);
  t.match(resiliencies, [{ name: 'r', spec: { policies: {} } }]);
  t.equal(fatal, 0);
  t.match(texts, [/spec\.baseUrl: HTTPEndpoint bad: expected an http or https URL/, /spec: Resiliency r2/]);
});
