/** Resource files: documents of every kind with members of the wrong type, damaged text, and YAML made to blow up. */

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { stringify } from 'yaml';
import { catalog } from '../../../edge-components/catalog.ts';
import { compileRules } from '../../../runtime/building-blocks/pubsub/routing-rules.ts';
import { createRegistry } from '../../../runtime/components/registry.ts';
import { decodeMetadata } from '../../../runtime/contracts/metadata.ts';
import { createPolicies } from '../../../runtime/resiliency/policies.ts';
import { loadConfiguration } from '../../../runtime/resources/configuration.ts';
import { faultText } from '../../../runtime/resources/documents.ts';
import { type LoadedResources, loadResources } from '../../../runtime/resources/load.ts';
import { fakeClock } from '../../support/fake-clock.ts';
import { recordingLogger } from '../../support/recording-logger.ts';
import { seededRandom } from '../../support/seeded-random.ts';
import type { Draw } from '../support/draw.ts';
import { ensure, type Fuzzing, type FuzzTarget } from '../support/target.ts';

type Json = Record<string, unknown>;

const document = (apiVersion: string, kind: string, spec: unknown): Json => ({
  apiVersion,
  kind,
  metadata: { name: 'one', namespace: 'default' },
  scopes: ['fuzz'],
  spec,
});
const V1 = 'dapr.io/v1alpha1';
const TYPES = Object.keys(catalog).map((key) => key.replace(/\/v1$/, ''));

/** A good document of each kind. */
const KINDS: readonly ((draw: Draw) => Json)[] = [
  (draw) => ({
    ...document(V1, 'Component', {
      type: draw.pick(TYPES),
      version: 'v1',
      initTimeout: '5s',
      ignoreErrors: false,
      metadata: [
        {
          name: draw.pick([
            'connectionString',
            'url',
            'schedule',
            'rootPath',
            'baseUrl',
            'items',
            'ttlInSeconds',
            draw.word(),
          ]),
          value: draw.json(1),
        },
        { name: 'secret', secretKeyRef: { name: 'a', key: 'b' } },
        { name: 'env', envRef: 'HOME' },
      ],
    }),
    auth: { secretStore: 'secrets' },
  }),
  () =>
    document(V1, 'Subscription', {
      pubsubname: 'p',
      topic: 't',
      route: '/r',
      metadata: { a: 'b' },
      deadLetterTopic: 'd',
      bulkSubscribe: { enabled: true, maxMessagesCount: 5, maxAwaitDurationMs: 10 },
    }),
  () =>
    document('dapr.io/v2alpha1', 'Subscription', {
      pubsubname: 'p',
      topic: 't',
      routes: { rules: [{ match: 'event.type == "a"', path: '/a' }], default: '/b' },
    }),
  () =>
    document(V1, 'HTTPEndpoint', {
      baseUrl: 'http://x',
      headers: [{ name: 'a', value: 'b' }],
      clientTLS: { rootCA: { value: 'x' }, renegotiation: 'NEVER' },
    }),
  () =>
    document(V1, 'Resiliency', {
      policies: {
        timeouts: { t: '5s' },
        retries: {
          r: {
            policy: 'constant',
            duration: '1s',
            maxInterval: '10s',
            maxRetries: 3,
            matching: { httpStatusCodes: '500-599', gRPCStatusCodes: '1-5' },
          },
        },
        circuitBreakers: {
          c: { maxRequests: 1, interval: '8s', timeout: '45s', trip: 'consecutiveFailures > 8' },
        },
      },
      targets: {
        apps: { a: { timeout: 't', retry: 'r', circuitBreaker: 'c' } },
        components: { s: { outbound: { retry: 'r' } } },
      },
    }),
  () =>
    document(V1, 'Configuration', {
      tracing: { samplingRate: '1', zipkin: { endpointAddress: 'http://x' } },
      metric: {
        enabled: true,
        rules: [{ name: 'r', labels: [{ name: 'l', regex: { a: 'b' } }] }],
        http: { pathMatching: ['/a/{b}'] },
      },
      httpPipeline: { handlers: [{ name: 'a', type: 'middleware.http.uppercase' }] },
      secrets: { scopes: [{ storeName: 's', defaultAccess: 'deny', allowedSecrets: ['a'] }] },
      accessControl: {
        defaultAction: 'deny',
        trustDomain: 'public',
        policies: [
          {
            appId: 'a',
            defaultAction: 'allow',
            operations: [{ name: '/a', httpVerb: ['POST'], action: 'allow' }],
          },
        ],
      },
      api: { allowed: [{ name: 'state', version: 'v1', protocol: 'http' }] },
      features: [{ name: 'f', enabled: true }],
      nameResolution: { component: 'sqlite', configuration: { a: 1 } },
      logging: { apiLogging: { enabled: true } },
    }),
];

/** One member anywhere replaced, renamed or removed. */
function spoil(draw: Draw, value: unknown): unknown {
  if (draw.chance(0.15) || typeof value !== 'object' || value === null)
    return draw.pick([
      draw.json(2),
      { toString: 1, valueOf: null },
      [],
      {},
      Number.NaN,
      Number.POSITIVE_INFINITY,
    ]);
  if (Array.isArray(value)) {
    const at = draw.int(0, value.length);
    return at === value.length
      ? [...value, draw.json(1)]
      : value.map((item, index) => (index === at ? spoil(draw, item) : item));
  }
  const names = Object.keys(value);
  if (names.length === 0) return draw.json(1);
  const name = draw.pick(names);
  const { [name]: member, ...rest } = value as Json;
  const kind = draw.int(0, 4);
  if (kind === 0) return rest;
  if (kind === 1) return { ...rest, [draw.text(30)]: member };
  return { ...rest, [name]: spoil(draw, member) };
}

const HEAD = `apiVersion: ${V1}\nkind: Component\nmetadata:\n  name: one\nspec:\n  type: state.in-memory\n`;

function bomb(draw: Draw): string {
  const many = draw.int(10, 3000);
  const rows = (make: (index: number) => string): string =>
    Array.from({ length: many }, (_, i) => make(i)).join('\n');
  return draw.pick([
    () =>
      `a: &a [x,x,x,x,x,x,x,x,x]\n${[...'bcdefghi'].map((c, i) => `${c}: &${c} [${Array(9).fill(`*${'abcdefgh'[i]}`).join(',')}]`).join('\n')}\n${HEAD}`,
    () => `${HEAD}  x: ${'['.repeat(many)}`,
    () => `${HEAD}  x: ${'{a: '.repeat(many)}${'}'.repeat(many)}`,
    () => rows((i) => `${' '.repeat(i)}a:`),
    () => HEAD + rows((i) => `k${i}: ${i}`),
    () => HEAD + rows(() => 'same: 1'),
    () => `${rows((i) => `k${i}: &a${i} v`)}\n${rows((i) => `z${i}: *a${i}`)}\n${HEAD}`,
    () => `${HEAD}  metadata: &m\n  - name: a\n    value: *m\n`,
    () => `x: &x {a: 1, <<: *x}\n${HEAD}`,
    () => `${HEAD}${'k'.repeat(many * 30)}: 1\n`,
    () => `${HEAD}? ${'[a, '.repeat(50)}${']'.repeat(50)}\n: 1\n`,
    () => `${HEAD}n: ${'9'.repeat(many * 10)}\n`,
    () => `${HEAD}n: !!js/function 'x'\nb: !!binary ${'A'.repeat(many)}\ns: !!set {a, b}\no: !!omap [a: 1]\n`,
    () => `${HEAD}${rows((i) => `q${i}: "a\nb"`)}\n`,
    () => `${HEAD}---\n`.repeat(Math.min(many, 100)),
    () => `%YAML 9.9\n---\n${HEAD}`,
    () => `${HEAD}t: |${'9'.repeat(draw.int(1, 5))}\n x\n`,
    () => `\u0000\ufeff${HEAD}`,
  ])();
}

function fileText(draw: Draw): string {
  if (draw.chance(0.03)) return bomb(draw);
  let value: unknown = draw.pick(KINDS)(draw);
  for (let times = draw.int(0, 2); times > 0; times -= 1) value = spoil(draw, value);
  const text = draw.chance(0.5) ? stringify(value, { version: '1.1' }) : (JSON.stringify(value) ?? '');
  return draw.chance(0.75) ? text : draw.mutate(Buffer.from(text)).toString('utf8');
}

async function open(): Promise<Fuzzing> {
  const directory = mkdtempSync(join(tmpdir(), 'skerry-fuzz-yaml-'));
  const file = join(directory, 'resource.yaml');
  const registry = createRegistry(catalog);
  const one = async (draw: Draw): Promise<void> => {
    writeFileSync(file, fileText(draw));
    const loaded = await loadResources({ directories: [directory], appId: 'fuzz', namespace: undefined });
    for (const fault of loaded.faults)
      ensure(
        faultText(fault).includes('resource.yaml') && fault.message !== '',
        () => 'a fault without place or words',
      );
    await use(loaded);
    if (loaded.configurations.length === 0 && draw.chance(0.9)) return;
    const configured = await loadConfiguration([file], { HOME: '/' });
    if (!configured.ok)
      for (const fault of configured.faults) ensure(fault.message !== '', () => 'a fault without words');
  };
  /** What the sidecar does with resources before anything runs. */
  const use = async ({ components, subscriptions, resiliencies }: LoadedResources): Promise<void> => {
    for (const { type, version, metadata } of components) {
      const definition = await registry.find(type, version).catch(() => undefined);
      if (definition === undefined) continue;
      const items = Object.fromEntries(metadata.map(({ name, value = '' }) => [name, value]));
      const decoded = decodeMetadata(definition.metadata, items);
      if (!decoded.ok) ensure(decoded.faults.length > 0, () => 'refused without a reason');
    }
    for (const { rules } of subscriptions) {
      try {
        compileRules(rules);
      } catch (error) {
        ensure(error instanceof Error && !(error instanceof TypeError), () => String(error));
      }
    }
    createPolicies({
      resources: resiliencies,
      appId: 'fuzz',
      clock: fakeClock(),
      random: seededRandom(1),
      metrics: { count: () => {}, observe: () => {}, gauge: () => {} },
      log: recordingLogger(),
    });
  };
  return { one, close: async () => rmSync(directory, { recursive: true, force: true }) };
}

export const yaml: FuzzTarget = { name: 'yaml', inputs: 2_500, open };
