import t from 'tap';
import { type MtlsFlags, type SettingsInput, securitySettings } from '../../../runtime/security/settings.ts';
import { createAuthority } from '../../support/certificate-authority.ts';

const authority = createAuthority();
const NO_FLAGS = {
  enabled: true,
  sentryAddress: 'sentry:50001',
  controlPlaneTrustDomain: undefined,
  controlPlaneNamespace: undefined,
};
const ANCHORS = { DAPR_TRUST_ANCHORS: authority.certificate };

function settings(
  env: SettingsInput['env'],
  given: Omit<Partial<SettingsInput>, 'flags'> & { flags?: Partial<MtlsFlags> } = {},
) {
  return securitySettings({
    appId: 'app',
    configuration: undefined,
    ...given,
    env: { ...ANCHORS, ...env },
    flags: { ...NO_FLAGS, ...given.flags },
  });
}

t.test('defaults are those of daprd', (t) => {
  t.same(settings({}), {
    sentryAddress: 'sentry:50001',
    sentryId: 'spiffe://localhost/ns/default/dapr-sentry',
    trustAnchors: { pem: authority.certificate },
    workload: { namespace: 'default', appId: 'app' },
    identity: 'app',
    tokenFile: undefined,
    bootstrap: undefined,
  });
  t.end();
});

t.test('flags win over the environment, the environment over the Configuration', (t) => {
  const configuration = { enabled: true, sentryAddress: 'c:1', controlPlaneTrustDomain: 'conf' };
  const env = { DAPR_CONTROLPLANE_TRUST_DOMAIN: 'env', DAPR_CONTROLPLANE_NAMESPACE: 'sys' };
  const none = { sentryAddress: undefined };
  t.match(settings({}, { configuration, flags: none }), {
    sentryAddress: 'c:1',
    sentryId: 'spiffe://conf/ns/default/dapr-sentry',
  });
  t.match(settings(env, { configuration }), {
    sentryAddress: 'sentry:50001',
    sentryId: 'spiffe://env/ns/sys/dapr-sentry',
  });
  const flags = { controlPlaneTrustDomain: 'flag', controlPlaneNamespace: 'dapr-system' };
  t.equal(settings(env, { configuration, flags }).sentryId, 'spiffe://flag/ns/dapr-system/dapr-sentry');
  t.end();
});

t.test('namespace, local identity, token, bootstrap certificate', (t) => {
  const own = authority.issue({ uris: ['spiffe://localhost/ns/default/x'] });
  const env = {
    NAMESPACE: 'plant',
    SENTRY_LOCAL_IDENTITY: 'plant:robot',
    DAPR_SENTRY_TOKEN_FILE: '/run/token',
    DAPR_CERT_CHAIN: own.chain,
    DAPR_CERT_KEY: own.key,
  };
  t.match(settings(env), {
    workload: { namespace: 'plant', appId: 'app' },
    identity: 'plant:robot',
    tokenFile: '/run/token',
    bootstrap: own,
  });
  t.same(settings({ DAPR_TRUST_ANCHORS: '', DAPR_TRUST_ANCHORS_FILE: '/ca.pem' }).trustAnchors, {
    file: '/ca.pem',
  });
  t.equal(settings({}, { flags: { sentryAddress: 'dns:///s:1' } }).sentryAddress, 's:1');
  t.equal(settings({}, { flags: { sentryAddress: '[::1]:50001' } }).sentryAddress, '[::1]:50001');
  t.end();
});

t.test('what is missing or wrong is named', (t) => {
  const own = authority.issue({});
  const wrong = (text: RegExp, env: SettingsInput['env'], flags: Partial<MtlsFlags> = {}) => {
    t.throws(() => settings(env, { flags }), { message: text }, String(text));
  };
  wrong(/^trust anchors are required/, { DAPR_TRUST_ANCHORS: undefined });
  wrong(/cannot be specified in both DAPR_TRUST_ANCHORS and DAPR_TRUST_ANCHORS_FILE/, {
    DAPR_TRUST_ANCHORS_FILE: '/x',
  });
  wrong(/address of sentry is required: set --sentry-address/, {}, { sentryAddress: '' });
  wrong(/invalid --sentry-address "sentry": expected host:port/, {}, { sentryAddress: 'sentry' });
  wrong(/invalid --sentry-address/, {}, { sentryAddress: 'https://sentry:50001' });
  wrong(/invalid control plane trust domain "Not OK"/, {}, { controlPlaneTrustDomain: 'Not OK' });
  wrong(/DAPR_SENTRY_TOKEN_FILE is set with an empty value/, { DAPR_SENTRY_TOKEN_FILE: '' });
  wrong(/belong together/, { DAPR_CERT_CHAIN: own.chain });
  wrong(/belong together/, { DAPR_CERT_KEY: own.key });
  wrong(/cannot be read: there is no certificate/, { DAPR_CERT_CHAIN: 'x', DAPR_CERT_KEY: own.key });
  wrong(/cannot be read/, { DAPR_CERT_CHAIN: own.chain, DAPR_CERT_KEY: 'x' });
  wrong(/is not the key of the first certificate/, {
    DAPR_CERT_CHAIN: own.chain,
    DAPR_CERT_KEY: authority.key,
  });
  t.end();
});
