/**
 * Notices that the far side is back: from the first delivery that found nobody there it asks for the far sidecar's health at
 * a steady pace, each time anew, so that neither a long back-off nor a question that got lost in the dark is sat out, and no
 * new traffic is needed to move.
 */

import type { Clock, Timer } from '../../../runtime/contracts/clock.ts';

export interface LinkProbe {
  /** A delivery found nobody there. */
  lost(): void;
  /** A delivery of that moment was answered: if it began after the loss, the link is back and no question is needed. */
  answered(startedAt: number): void;
  /** The link may be back: asks at once, when it was lost. */
  ask(): void;
  close(): void;
}

/** Moments of an outage, monotonic. */
export interface LinkOutage {
  /** It was noticed. */
  readonly lostAt: number;
  /** The question (or delivery) that was answered was asked. */
  readonly askedAt: number;
}

export interface LinkProbeOptions {
  readonly clock: Clock;
  /** Whether the far side answers. */
  readonly ask: (signal: AbortSignal) => Promise<boolean>;
  /** Called once per outage, when it answered again. */
  readonly back: (outage: LinkOutage) => void;
}

export const PROBE_INTERVAL_MS = 1000;
/** Questions under way together: over a link of seconds an answer takes longer than the pace. */
const MAX_UNDER_WAY = 5;

export function createLinkProbe(options: LinkProbeOptions): LinkProbe {
  const { clock } = options;
  let asking = new AbortController();
  let closed = false;
  let timer: Timer | undefined;
  let underWay = 0;
  let lostAt: number | undefined;

  const found = (askedAt: number): void => {
    const outage = { lostAt: lostAt ?? askedAt, askedAt };
    lostAt = undefined;
    timer?.cancel();
    timer = undefined;
    asking.abort(new Error('another question was answered'));
    asking = new AbortController();
    options.back(outage);
  };
  const probe = (): void => {
    timer?.cancel();
    timer = clock.startTimer(PROBE_INTERVAL_MS, probe, true);
    if (underWay >= MAX_UNDER_WAY) return;
    const askedAt = clock.monotonicMs();
    const { signal } = asking;
    underWay += 1;
    void options
      .ask(signal)
      .catch(() => false)
      .then((answered) => {
        underWay -= 1;
        if (answered && !signal.aborted) found(askedAt);
      });
  };
  return {
    lost: () => {
      lostAt ??= clock.monotonicMs();
      if (timer === undefined && !closed) timer = clock.startTimer(PROBE_INTERVAL_MS, probe, true);
    },
    answered: (startedAt) => {
      if (lostAt !== undefined && startedAt > lostAt) found(startedAt);
    },
    ask: () => {
      if (lostAt !== undefined && !closed) probe();
    },
    close: () => {
      closed = true;
      timer?.cancel();
      asking.abort(new Error('the component is closing'));
    },
  };
}
