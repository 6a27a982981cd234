/** Configuration files: defaults, layers, variables, and that everything wrong in them is fatal. */

import { join } from 'node:path';
import t, { type Test } from 'tap';
import type { ConfigurationResource } from '../../../runtime/contracts/resource.ts';
import {
  DEFAULT_LATENCY_BUCKETS,
  expandEnvironment,
  loadConfiguration,
} from '../../../runtime/resources/configuration.ts';
import { faultText } from '../../../runtime/resources/documents.ts';

const file = (spec: string): string =>
  `apiVersion: dapr.io/v1alpha1\nkind: Configuration\nmetadata: {name: c}\nspec:\n${spec}\n`;

async function load(t: Test, specs: readonly string[], env = {}): Promise<ConfigurationResource> {
  const dir = t.testdir(Object.fromEntries(specs.map((spec, index) => [`${index}.yaml`, file(spec)])));
  const loaded = await loadConfiguration(
    specs.map((_, index) => join(dir, `${index}.yaml`)),
    env,
  );
  if (!loaded.ok) throw new Error(loaded.faults.map(faultText).join('\n'));
  return loaded.configuration;
}

t.test('no file gives the defaults', async (t) => {
  const loaded = await loadConfiguration([], {});
  t.match(loaded, {
    ok: true,
    configuration: {
      name: 'daprsystem',
      tracing: { samplingRate: '', stdout: false, otel: { isSecure: true } },
      metrics: { enabled: true, increasedCardinality: true, latencyBuckets: DEFAULT_LATENCY_BUCKETS },
      httpPipeline: [],
      nameResolution: { component: 'mdns', version: 'v1', configuration: {} },
      secretScopes: [],
      api: { allowed: [], denied: [] },
      deniedComponents: [],
      features: {},
      apiLogging: { enabled: false },
    },
  });
  t.equal(loaded.ok && loaded.configuration.accessControl, undefined);
});

t.test('members as written', async (t) => {
  const configuration = await load(t, [
    `
  tracing: {samplingRate: 1, stdout: true, zipkin: {endpointAddress: http://z}}
  metrics: {enabled: false, http: {excludeVerbs: true, pathMatching: [/a]}, latencyDistributionBuckets: [1, 2]}
  httpPipeline: {handlers: [{name: upper, type: middleware.http.uppercase}]}
  appHttpPipeline: {handlers: [{name: x}]}
  nameResolution: {component: sqlite, configuration: {a: 1}}
  secrets: {scopes: [{storeName: s, defaultAccess: deny, allowedSecrets: [a]}, {storeName: s2}]}
  api: {allowed: [{name: state, version: v1, protocol: http}]}
  accessControl: {defaultAction: deny, policies: [{appId: a, trustDomain: public, namespace: default, operations: [{name: /x, httpVerb: [GET], action: allow}]}]}
  features: [{name: F, enabled: true}, {name: G}]
  components: {deny: [state.x]}
  logging: {apiLogging: {enabled: true, obfuscateURLs: true}}`,
  ]);
  t.match(configuration, {
    name: 'c',
    tracing: { samplingRate: '1', stdout: true, zipkinEndpoint: 'http://z' },
    metrics: { enabled: false, excludeVerbs: true, pathMatching: ['/a'], latencyBuckets: [1, 2] },
    httpPipeline: [{ name: 'upper', type: 'middleware.http.uppercase' }],
    appHttpPipeline: [{ name: 'x', type: '' }],
    nameResolution: { component: 'sqlite', version: 'v1', configuration: { a: 1 } },
    secretScopes: [
      { storeName: 's', defaultAccess: 'deny', allowedSecrets: ['a'], deniedSecrets: [] },
      { storeName: 's2', defaultAccess: 'allow' },
    ],
    api: { allowed: [{ name: 'state', version: 'v1', protocol: 'http' }], denied: [] },
    accessControl: {
      defaultAction: 'deny',
      trustDomain: 'public',
      policies: [{ appId: 'a', operations: [{ name: '/x' }] }],
    },
    features: { F: true, G: false },
    deniedComponents: ['state.x'],
    apiLogging: { enabled: true, obfuscateUrls: true, omitHealthChecks: false },
  });
});

t.test('spec.mtls, and policies without a name', async (t) => {
  t.equal((await load(t, ['  features: []'])).mtls, undefined);
  const mtls = '{enabled: true, sentryAddress: "s:1", controlPlaneTrustDomain: td, workloadCertTTL: 24h}';
  t.same((await load(t, [`  mtls: ${mtls}`])).mtls, {
    enabled: true,
    sentryAddress: 's:1',
    controlPlaneTrustDomain: 'td',
  });
  const refused = async (spec: string): Promise<unknown> => {
    const file = join(t.testdir({ 'c.yaml': `kind: Configuration\nspec:\n  ${spec}` }), 'c.yaml');
    const loaded = await loadConfiguration([file], {});
    return loaded.ok ? 'accepted' : loaded.faults.map(({ field, message }) => `${field} ${message}`);
  };
  t.same(await refused('mtls: {workloadCertTTL: long}'), [
    'spec.mtls.workloadCertTTL expected a duration such as 15m',
  ]);
  t.same(
    await refused('accessControl: {policies: [{appId: "", trustDomain: "", namespace: "", operations: []}]}'),
    [
      'spec.accessControl.policies.0.appId expected an app id',
      'spec.accessControl.policies.0.trustDomain expected a trust domain',
      'spec.accessControl.policies.0.namespace expected a namespace',
    ],
  );
});

t.test('later files lie over earlier ones, member by member; metrics wins over metric', async (t) => {
  const configuration = await load(t, [
    '  tracing: {samplingRate: "0", stdout: true}\n  metric: {enabled: false}',
    '  tracing: {samplingRate: "1"}\n  components: {deny: [a]}',
    '  components: {deny: [b]}\n  metrics: {enabled: true}',
  ]);
  t.match(configuration, {
    tracing: { samplingRate: '1', stdout: true },
    deniedComponents: ['b'],
    metrics: { enabled: true },
  });
});

t.test('variables are expanded, unset ones are empty', async (t) => {
  // biome-ignore lint/suspicious/noTemplateCurlyInString: it is the syntax under test
  t.equal(expandEnvironment('$A-${A}-$B-${B}-$-5$', { A: 'x' }), 'x-x---$-5$');
  const configuration = await load(t, ['  tracing: {samplingRate: "$RATE"}'], { RATE: '0.5' });
  t.equal(configuration.tracing.samplingRate, '0.5');
});

t.test('anything wrong is fatal and names its place', async (t) => {
  const dir = t.testdir({
    'broken.yaml': 'a: [',
    'kind.yaml': 'kind: Component\nmetadata: {name: x}',
    'members.yaml': file(
      '  httpPipeline: {handlers: [{type: x}]}\n  secrets: {scopes: [{storeName: s, defaultAccess: maybe}]}\n  tracing: {otel: {protocol: udp}}',
    ),
    'twice.yaml': file('  secrets: {scopes: [{storeName: s}, {storeName: s}]}'),
    'empty.yaml': '',
  });
  const faults = async (...names: string[]): Promise<readonly string[]> => {
    const loaded = await loadConfiguration(
      names.map((name) => join(dir, name)),
      {},
    );
    if (loaded.ok) return [];
    t.ok(loaded.faults.every((fault) => fault.fatal));
    return loaded.faults.map((fault) => faultText(fault).replaceAll(`${dir}/`, ''));
  };
  t.match(await faults('broken.yaml'), [/^broken\.yaml \(document 1\): not valid YAML/]);
  t.match(await faults('kind.yaml', 'nope.yaml'), [
    /^kind\.yaml: kind: expected Configuration, got 'Component'/,
    /^nope\.yaml: --config: cannot be read: ENOENT/,
  ]);
  t.match(await faults('members.yaml'), [
    /spec\.tracing\.otel\.protocol: expected 'grpc' or 'http'/,
    /spec\.httpPipeline\.handlers\.0\.name/,
    /spec\.secrets\.scopes\.0\.defaultAccess: expected 'allow' or 'deny'/,
  ]);
  t.match(await faults('twice.yaml'), [/spec\.secrets\.scopes: a store may be named once only/]);
  t.strictSame(await faults('empty.yaml'), []);
});
