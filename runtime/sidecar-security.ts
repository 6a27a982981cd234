/** Whether a sidecar belongs to a mesh, and its identity there. The code of mutual TLS is loaded only where it is on. */

import type { MeshSecurity } from './contracts/mesh-security.ts';
import type { SidecarOptions } from './flags.ts';
import type { Node } from './node.ts';
import type { SidecarSetup } from './sidecar-setup.ts';

/**
 * As for daprd the flag alone turns mutual TLS on. `launched` is for our own commands, which follow `spec.mtls.enabled` as
 * Dapr's launcher does.
 */
export function wantsMutualTls(
  options: SidecarOptions,
  mtls: SidecarSetup['configuration']['mtls'],
  launched: boolean,
): boolean {
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
  const { securitySettings } = await import('./security/settings.ts');
  const { openMeshSecurity } = await import('./security/mesh-security.ts');
  const settings = securitySettings({
    appId: options.appId,
    flags: options.mtls,
    env: node.env,
    configuration: mtls,
  });
  const { clock, random } = node;
  return openMeshSecurity({ settings, clock, random, log, metrics: setup.metrics }, signal);
}
