/**
 * What mutual TLS needs to know, from flags, environment and Configuration (CLI reference, sections 1.2 and 1.3).
 * Flags win over the environment, the environment over `spec.mtls`.
 */

import { createPrivateKey } from 'node:crypto';
import { errorText } from '../contracts/error.ts';
import type { ConfigurationResource } from '../contracts/resource.ts';
import { isTrustDomain, type Workload, workloadPath } from '../contracts/spiffe.ts';
import { parseCertificates } from './pem.ts';

/** Flags of one sidecar; `undefined` where they were not given. */
export interface MtlsFlags {
  readonly enabled: boolean | undefined;
  readonly sentryAddress: string | undefined;
  readonly controlPlaneTrustDomain: string | undefined;
  readonly controlPlaneNamespace: string | undefined;
}

export interface SettingsInput {
  readonly appId: string;
  readonly flags: MtlsFlags;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly configuration: ConfigurationResource['mtls'];
}

export interface SecuritySettings {
  readonly sentryAddress: string;
  /** SPIFFE id that sentry must show. */
  readonly sentryId: string;
  readonly trustAnchors: { readonly pem: string } | { readonly file: string };
  /** Who we are. */
  readonly workload: Workload;
  /** Name to give to sentry: the app id, unless `SENTRY_LOCAL_IDENTITY` says another. */
  readonly identity: string;
  /** Token for sentry's JWKS validator. */
  readonly tokenFile: string | undefined;
  /** Certificate for a sentry that asks for one before it signs. */
  readonly bootstrap: { readonly chain: string; readonly key: string } | undefined;
}

/** Throws with what is missing or wrong. */
export function securitySettings({ appId, flags, env, configuration }: SettingsInput): SecuritySettings {
  const workload = { namespace: given(env['NAMESPACE']) ?? 'default', appId };
  const trustDomain =
    given(flags.controlPlaneTrustDomain) ??
    given(env['DAPR_CONTROLPLANE_TRUST_DOMAIN']) ??
    given(configuration?.controlPlaneTrustDomain) ??
    'localhost';
  const namespace =
    given(flags.controlPlaneNamespace) ?? given(env['DAPR_CONTROLPLANE_NAMESPACE']) ?? 'default';
  if (!isTrustDomain(trustDomain)) {
    throw new Error(
      `invalid control plane trust domain ${JSON.stringify(trustDomain)}: expected lower-case letters, digits, '.', '-' and '_'`,
    );
  }
  return {
    sentryAddress: sentryAddress(given(flags.sentryAddress) ?? given(configuration?.sentryAddress)),
    sentryId: `spiffe://${trustDomain}${workloadPath({ namespace, appId: 'dapr-sentry' })}`,
    trustAnchors: anchorSource(given(env['DAPR_TRUST_ANCHORS']), given(env['DAPR_TRUST_ANCHORS_FILE'])),
    workload,
    identity: given(env['SENTRY_LOCAL_IDENTITY']) ?? appId,
    tokenFile: tokenFile(env['DAPR_SENTRY_TOKEN_FILE']),
    bootstrap: bootstrap(given(env['DAPR_CERT_CHAIN']), given(env['DAPR_CERT_KEY'])),
  };
}

function given(text: string | undefined): string | undefined {
  return text === undefined || text === '' ? undefined : text;
}

function anchorSource(pem: string | undefined, file: string | undefined): SecuritySettings['trustAnchors'] {
  if (pem !== undefined && file !== undefined) {
    throw new Error(
      'trust anchors cannot be specified in both DAPR_TRUST_ANCHORS and DAPR_TRUST_ANCHORS_FILE',
    );
  }
  if (pem !== undefined) return { pem };
  if (file !== undefined) return { file };
  throw new Error('trust anchors are required: set DAPR_TRUST_ANCHORS (PEM) or DAPR_TRUST_ANCHORS_FILE');
}

function sentryAddress(text: string | undefined): string {
  if (text === undefined) throw new Error('the address of sentry is required: set --sentry-address');
  const address = text.replace(/^dns:\/{0,3}/, '');
  if (!/^(\[[0-9A-Fa-f:.]+\]|[^:/\s[\]]+):\d{1,5}$/.test(address))
    throw new Error(`invalid --sentry-address ${JSON.stringify(text)}: expected host:port`);
  return address;
}

function tokenFile(path: string | undefined): string | undefined {
  if (path !== '') return path;
  throw new Error('environmental variable DAPR_SENTRY_TOKEN_FILE is set with an empty value');
}

function bootstrap(chain: string | undefined, key: string | undefined): SecuritySettings['bootstrap'] {
  if (chain === undefined && key === undefined) return undefined;
  if (chain === undefined || key === undefined)
    throw new Error('DAPR_CERT_CHAIN and DAPR_CERT_KEY belong together: one of them is not set');
  let matches: boolean;
  try {
    matches = parseCertificates(chain)[0]?.checkPrivateKey(createPrivateKey(key)) === true;
  } catch (cause) {
    throw new Error(`DAPR_CERT_CHAIN or DAPR_CERT_KEY cannot be read: ${errorText(cause)}`, { cause });
  }
  if (!matches) throw new Error('DAPR_CERT_KEY is not the key of the first certificate in DAPR_CERT_CHAIN');
  return { chain, key };
}
