/**
 * Notices that the far side is back: while deliveries fail for want of a connection it asks for the far sidecar's health
 * at a steady pace, so that the queue does not sit out a long back-off, and does not need new traffic to move.
 */

import type { Clock, Timer } from '../../../runtime/contracts/clock.ts';

export interface LinkProbe {
  /** A delivery found nobody there. */
  lost(): void;
  close(): void;
}

export interface LinkProbeOptions {
  readonly clock: Clock;
  /** Whether the far side answers. */
  readonly ask: (signal: AbortSignal) => Promise<boolean>;
  /** Called once per outage, when it answered again; `lostAt` is when it was noticed, monotonic. */
  readonly back: (lostAt: number) => void;
}

export const PROBE_INTERVAL_MS = 1000;

export function createLinkProbe(options: LinkProbeOptions): LinkProbe {
  const closing = new AbortController();
  let timer: Timer | undefined;
  let probing = false;
  let lostAt: number | undefined;
  const probe = async (): Promise<void> => {
    timer = undefined;
    probing = true;
    const answered = await options.ask(closing.signal).catch(() => false);
    probing = false;
    if (closing.signal.aborted) return;
    if (answered) {
      const since = lostAt ?? options.clock.monotonicMs();
      lostAt = undefined;
      options.back(since);
    } else arm();
  };
  const arm = (): void => {
    timer = options.clock.startTimer(PROBE_INTERVAL_MS, () => void probe(), true);
  };
  return {
    lost: () => {
      lostAt ??= options.clock.monotonicMs();
      if (timer === undefined && !probing && !closing.signal.aborted) arm();
    },
    close: () => {
      closing.abort(new Error('the binding is closing'));
      timer?.cancel();
    },
  };
}
