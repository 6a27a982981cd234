/**
 * The link to a far sidecar as one that comes and goes: what fails for want of it starts the probe, and when that (or a
 * later request) is answered, requests that were sent into the dark are given up, since the repeats of their connections may
 * be many seconds apart. They get a moment first: one that is merely slower than the probe would be sent twice. What they
 * carried must be safe to send again.
 */

import type { Timer } from '../../../runtime/contracts/clock.ts';
import type { ComponentDeps } from '../../../runtime/contracts/component.ts';
import { type FarSidecar, LinkDownError } from './far-sidecar.ts';
import { createLinkProbe, type LinkOutage } from './link-probe.ts';

export interface FarLink {
  /**
   * Runs a request; its signal aborts with `signal` and with a link that was away meanwhile. `alive` tells an answer of the
   * far side from one that a gateway in between gave in its place.
   */
  run<T>(
    signal: AbortSignal,
    request: (signal: AbortSignal) => Promise<T>,
    alive?: (answer: T) => boolean,
  ): Promise<T>;
  close(): void;
}

interface Flight {
  readonly startedAt: number;
  readonly abort: AbortController;
}

/** Two round trips over a link of 2 s. */
const PROBE_LIMIT_MS = 5000;
/** What a request that is older than the answered one gets at least, and in how many times that one's own duration. */
const MOMENT_MS = 250;
const MOMENT_FACTOR = 2;

export function createFarLink(
  far: FarSidecar,
  deps: Pick<ComponentDeps, 'clock' | 'log' | 'componentName'>,
  back: (outage: LinkOutage) => void,
): FarLink {
  const flights = new Set<Flight>();
  let moment: Timer | undefined;
  /** Those that waited for an answer in the dark are given up. */
  const giveUp = (outage: LinkOutage): void => {
    const stale = [...flights].filter(({ startedAt }) => startedAt < outage.askedAt);
    for (const { abort } of stale) abort.abort(new LinkDownError('the link was away meanwhile'));
    // What was given up is noted as failed first.
    if (stale.length > 0) setImmediate(() => setImmediate(() => back(outage)));
  };
  const probe = createLinkProbe({
    clock: deps.clock,
    ask: async (signal) => {
      const limit = AbortSignal.any([signal, AbortSignal.timeout(PROBE_LIMIT_MS)]);
      const answer = await far.ask({
        method: 'GET',
        path: ['v1.0', 'healthz', 'outbound'],
        signal: limit,
        ownConnection: true,
      });
      return answer.status >= 200 && answer.status < 300;
    },
    back: (outage) => {
      deps.log.info(`${deps.componentName}: ${far.baseUrl} answers again`);
      setImmediate(() => setImmediate(() => back(outage)));
      moment?.cancel();
      const took = deps.clock.monotonicMs() - outage.askedAt;
      const wait = Math.max(MOMENT_MS, MOMENT_FACTOR * took);
      moment = deps.clock.startTimer(wait, () => giveUp(outage), true);
    },
  });
  far.onUp(() => probe.ask());
  return {
    run: async (signal, request, alive = () => true) => {
      const flight = { startedAt: deps.clock.monotonicMs(), abort: new AbortController() };
      flights.add(flight);
      try {
        const answer = await request(AbortSignal.any([signal, flight.abort.signal]));
        if (alive(answer)) probe.answered(flight.startedAt);
        return answer;
      } catch (error) {
        if (error instanceof LinkDownError && !flight.abort.signal.aborted) probe.lost();
        throw error;
      } finally {
        flights.delete(flight);
      }
    },
    close: () => {
      moment?.cancel();
      probe.close();
    },
  };
}
