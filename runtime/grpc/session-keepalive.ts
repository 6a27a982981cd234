/**
 * Keepalive of a server connection (gRPC reference, section 1): clients may ping every 8 s or more, pings more often end
 * the connection; the server pings after 10 s of silence and wants an answer within 5 s; three minutes without a call
 * send a GOAWAY.
 */

import type { ServerHttp2Session } from 'node:http2';
import type { Clock, Timer } from '../contracts/clock.ts';

export interface KeepaliveLimits {
  readonly minClientPingMs: number;
  readonly pingAfterMs: number;
  readonly pingTimeoutMs: number;
  readonly idleMs: number;
}

export const KEEPALIVE: KeepaliveLimits = {
  minClientPingMs: 8000,
  pingAfterMs: 10_000,
  pingTimeoutMs: 5000,
  idleMs: 180_000,
};

const ENHANCE_YOUR_CALM = 11;
const MAX_PING_STRIKES = 2;

export interface Keepalive {
  /** Bytes came in. */
  received(): void;
  /** Something was sent: the client's pings are not counted against it. */
  sent(): void;
  callStarted(): void;
  callEnded(): void;
  stop(): void;
}

/** What came while this process was busy is read before anybody is judged. */
function afterReading(judge: () => void): void {
  setImmediate(() => setImmediate(judge));
}

/** Watches one session until `stop`. */
export function watchSession(
  session: ServerHttp2Session,
  clock: Clock,
  limits: KeepaliveLimits = KEEPALIVE,
): Keepalive {
  let heard = true;
  let calls = 0;
  let idleSince = clock.monotonicMs();
  let lastPing = Number.NEGATIVE_INFINITY;
  let strikes = 0;
  let resetStrikes = false;
  let waiting: Timer | undefined;
  let tick: Timer | undefined;

  const onPing = (): void => {
    heard = true;
    const now = clock.monotonicMs();
    const early = now - lastPing < limits.minClientPingMs;
    lastPing = now;
    if (resetStrikes) {
      resetStrikes = false;
      strikes = 0;
      return;
    }
    if (!early) return;
    strikes += 1;
    if (strikes > MAX_PING_STRIKES && !session.destroyed) {
      session.goaway(ENHANCE_YOUR_CALM, 0, Buffer.from('too_many_pings'));
      session.destroy();
    }
  };
  const ping = (): void => {
    waiting = clock.startTimer(
      limits.pingTimeoutMs,
      () => afterReading(() => waiting !== undefined && session.destroy()),
      true,
    );
    session.ping((error) => {
      if (error !== null) return;
      waiting?.cancel();
      waiting = undefined;
    });
  };
  const watch = (): void => {
    if (session.destroyed || session.closed) return;
    tick = clock.startTimer(limits.pingAfterMs, watch, true);
    if (calls === 0 && clock.monotonicMs() - idleSince >= limits.idleMs) {
      session.close();
      return;
    }
    if (heard) heard = false;
    else if (waiting === undefined) ping();
  };

  session.on('ping', onPing);
  tick = clock.startTimer(limits.pingAfterMs, watch, true);
  return {
    received: () => {
      heard = true;
    },
    sent: () => {
      resetStrikes = true;
    },
    callStarted: () => {
      heard = true;
      calls += 1;
    },
    callEnded: () => {
      calls -= 1;
      if (calls === 0) idleSince = clock.monotonicMs();
    },
    stop: () => {
      tick?.cancel();
      waiting?.cancel();
    },
  };
}
