/** Readiness (HTTP reference, section 20): `healthz` once every target is ready, `outbound` once the APIs serve. */

import type { HealthBlock } from '../../contracts/blocks.ts';
import { runtimeError } from '../../contracts/error.ts';

/** A part of the runtime that has to come up before the sidecar counts as ready. */
export type HealthTarget = 'app' | 'api-server' | 'http-server' | 'internal-grpc-server' | 'runtime';

export interface Health extends HealthBlock {
  ready(target: HealthTarget): void;
  notReady(target: HealthTarget): void;
  setOutbound(ready: boolean): void;
}

export function createHealth(appId: string, targets: readonly HealthTarget[]): Health {
  const waiting = new Set<HealthTarget>(targets);
  let outbound = false;
  return {
    ready: (target) => void waiting.delete(target),
    notReady: (target) => void waiting.add(target),
    setOutbound: (ready) => {
      outbound = ready;
    },
    check: (wanted) => {
      if (waiting.size > 0) throw runtimeError('notReady', { targets: [...waiting].join(' ') });
      if (wanted !== undefined && wanted !== appId) throw runtimeError('appIdMismatch');
    },
    checkOutbound: () => {
      if (!outbound) throw runtimeError('outboundNotReady');
    },
  };
}
