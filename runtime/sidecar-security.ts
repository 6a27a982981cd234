/** Whether a sidecar belongs to a mesh, and its identity there. The code of mutual TLS is loaded only where it is on. */

import { errorText } from './contracts/error.ts';
import type { MeshSecurity } from './contracts/mesh-security.ts';
import type { SidecarOptions } from './flags.ts';
import type { Node } from './node.ts';
import type { IdentityMemory } from './security/identity.ts';
import type { SecuritySettings } from './security/settings.ts';
import type { SidecarSetup } from './sidecar-setup.ts';

type Mtls = SidecarSetup['configuration']['mtls'];
type Env = Node['env'];

/**
 * As for daprd the flag alone turns mutual TLS on. `launched` is for our own commands, which follow `spec.mtls.enabled` as
 * Dapr's launcher does.
 */
function wantsMutualTls(options: SidecarOptions, mtls: Mtls, launched: boolean): boolean {
  return options.mtls.enabled ?? (launched && mtls?.enabled === true);
}

/** Waits for the identity; `undefined` without mutual TLS. */
export async function openSecurity(
  node: Node,
  options: SidecarOptions,
  setup: SidecarSetup,
  launched: boolean,
  signal: AbortSignal,
): Promise<MeshSecurity | undefined> {
  const { mtls } = setup.configuration;
  const log = node.log.child('dapr.runtime.security', { app_id: options.appId });
  if (!wantsMutualTls(options, mtls, launched)) {
    if (mtls?.enabled === true && options.mtls.enabled === undefined)
      log.warn(
        'spec.mtls.enabled is true, but --enable-mtls was not given: calls between sidecars are plaintext',
      );
    return undefined;
  }
  const { openMeshSecurity } = await import('./security/mesh-security.ts');
  const settings = await settingsOf(options, mtls, node.env);
  const { clock, random } = node;
  const memory = memoryOf(node, settings);
  return openMeshSecurity({ settings, clock, random, log, metrics: setup.metrics, memory }, signal);
}

/** What each sidecar of a process was, for its next start: resources are reloaded by restarts, with sentry away as well. */
// By what all views of a node share: a sidecar may see it with a log of its own.
const memories = new WeakMap<Node['shared'], Map<string, IdentityMemory>>();

function memoryOf(node: Node, { sentryId, trustAnchors, workload }: SecuritySettings): IdentityMemory {
  const ofNode = memories.get(node.shared) ?? new Map<string, IdentityMemory>();
  memories.set(node.shared, ofNode);
  const key = JSON.stringify([sentryId, trustAnchors, workload]);
  const memory = ofNode.get(key) ?? { identity: undefined };
  ofNode.set(key, memory);
  return memory;
}

async function settingsOf(options: SidecarOptions, mtls: Mtls, env: Env): Promise<SecuritySettings> {
  const { securitySettings } = await import('./security/settings.ts');
  return securitySettings({ appId: options.appId, flags: options.mtls, env, configuration: mtls });
}

/** What a start would refuse, for `--validate`. */
export async function securityFaults(
  options: SidecarOptions,
  mtls: Mtls,
  env: Env,
  launched: boolean,
): Promise<readonly string[]> {
  if (!wantsMutualTls(options, mtls, launched)) return [];
  try {
    const { fixedTrustAnchors } = await import('./security/trust-anchors.ts');
    const { trustAnchors } = await settingsOf(options, mtls, env);
    if ('pem' in trustAnchors) fixedTrustAnchors(trustAnchors.pem);
    return [];
  } catch (error) {
    return [`mTLS of ${options.appId}: ${errorText(error)}`];
  }
}
