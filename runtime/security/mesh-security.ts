/**
 * Mutual TLS of one sidecar: identity and trust anchors put together into what servers and connections use. Loaded only
 * where mTLS is on.
 */

import { createSecureContext, type SecureContext } from 'node:tls';
import type { Clock } from '../contracts/clock.ts';
import type { Logger } from '../contracts/logger.ts';
import type { Credentials, MeshSecurity } from '../contracts/mesh-security.ts';
import type { Metrics } from '../contracts/metrics.ts';
import type { Random } from '../contracts/random.ts';
import { workloadPath } from '../contracts/spiffe.ts';
import { type IdentityMemory, obtainIdentity } from './identity.ts';
import { signCertificate } from './sentry.ts';
import { verifiedBy } from './server-identity.ts';
import type { SecuritySettings } from './settings.ts';
import { fixedTrustAnchors, trustAnchorsFile } from './trust-anchors.ts';

export interface MeshSecurityParts {
  readonly settings: SecuritySettings;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly metrics: Metrics;
  readonly memory?: IdentityMemory | undefined;
}

/** Waits for an identity. Rejects when there can be none, or with the signal's reason. */
export async function openMeshSecurity(parts: MeshSecurityParts, signal: AbortSignal): Promise<MeshSecurity> {
  const { settings, clock, log } = parts;
  const source = settings.trustAnchors;
  const anchors =
    'pem' in source ? fixedTrustAnchors(source.pem) : trustAnchorsFile(source.file, { clock, log });
  const keeper = await obtainIdentity(
    {
      ...parts,
      sign: async (csr, signSignal) =>
        signCertificate({ csr, trustAnchors: await anchors.current() }, settings, clock, signSignal),
    },
    signal,
  );
  const { id } = keeper.current;
  const own = workloadPath(settings.workload);
  if (id.path !== own)
    log.warn(`sentry gave the identity ${id.text}: sidecars that look for ${own} will refuse it`);

  let trusted = await anchors.current();
  let dialContext: SecureContext | undefined;
  const listeners = new Set<() => void>();
  const changed = (): void => {
    dialContext = undefined;
    for (const run of listeners) run();
  };
  const credentials = (): Credentials => ({
    cert: keeper.current.chain,
    key: keeper.current.key,
    ca: trusted,
    minVersion: 'TLSv1.3',
  });
  keeper.start(changed);
  anchors.watch((pem) => {
    trusted = pem;
    changed();
  });

  return {
    get id() {
      return keeper.current.id;
    },
    server: {
      credentials,
      onChange: (run) => {
        listeners.add(run);
        return () => void listeners.delete(run);
      },
    },
    dial: (callee) => {
      dialContext ??= createSecureContext({ ...credentials(), allowPartialTrustChain: true });
      const path = workloadPath(callee);
      return { ...verifiedBy((shown) => shown.path === path), secureContext: dialContext };
    },
    close: async () => {
      anchors.close();
      listeners.clear();
      await keeper.close();
    },
  };
}
