/**
 * The link to a far sidecar as one that comes and goes: what fails for want of it starts the probe, and when the probe is
 * answered, requests that were sent into the dark are given up at once, since the repeats of their connections may be many
 * seconds apart. What they carried must be safe to send again.
 */

import type { ComponentDeps } from '../../../runtime/contracts/component.ts';
import { type FarSidecar, LinkDownError } from './far-sidecar.ts';
import { createLinkProbe, type LinkOutage } from './link-probe.ts';

export interface FarLink {
  /** Runs a request; its signal aborts with `signal` and with a link that was away meanwhile. */
  run<T>(signal: AbortSignal, request: (signal: AbortSignal) => Promise<T>): Promise<T>;
  close(): void;
}

interface Flight {
  readonly startedAt: number;
  readonly abort: AbortController;
}

/** Two round trips over a link of 2 s. */
const PROBE_LIMIT_MS = 5000;

export function createFarLink(
  far: FarSidecar,
  deps: Pick<ComponentDeps, 'clock' | 'log' | 'componentName'>,
  back: (outage: LinkOutage) => void,
): FarLink {
  const flights = new Set<Flight>();
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
      for (const { startedAt, abort } of flights) {
        if (startedAt < outage.askedAt) abort.abort(new LinkDownError('the link was away meanwhile'));
      }
      // What was given up is noted as failed first.
      setImmediate(() => setImmediate(() => back(outage)));
    },
  });
  return {
    run: async (signal, request) => {
      const flight = { startedAt: deps.clock.monotonicMs(), abort: new AbortController() };
      flights.add(flight);
      try {
        return await request(AbortSignal.any([signal, flight.abort.signal]));
      } catch (error) {
        if (error instanceof LinkDownError && !flight.abort.signal.aborted) probe.lost();
        throw error;
      } finally {
        flights.delete(flight);
      }
    },
    close: () => probe.close(),
  };
}
