/**
 * Whether the other end of a link is still there. Beats go out at a fixed pace, and an end that hears nothing for too long gives
 * the link up. A call on a link that was silent lately asks at once (HTTP/2 ping), so that it does
 * not wait for the next beat to be missed.
 */

import type { ClientHttp2Session, ServerHttp2Session } from 'node:http2';
import type { TLSSocket } from 'node:tls';
import type { Clock, Timer } from '../contracts/clock.ts';

export interface LivenessOptions {
  readonly session: ClientHttp2Session | ServerHttp2Session;
  readonly socket: TLSSocket;
  readonly clock: Clock;
  /** How often beats go out. */
  readonly beatMs: number;
  /** Silence of the other end that ends the link. */
  readonly silenceMs: number;
  beat(): void;
  lost(reason: string): void;
}

export interface Liveness {
  /** Wall clock of the last sign of life. */
  readonly lastContact: number;
  /** Something came in just now. */
  heard(): void;
  /** Asks the other end when it was silent lately. */
  verify(): void;
  stop(): void;
}

/** A link heard of this recently needs no question. */
const FRESH_MS = 2000;
const VERIFY_MS = 5000;
/** Looks at a link per period of silence. */
const LOOKS = 8;

export function watchLiveness(options: LivenessOptions): Liveness {
  const { session, socket, clock } = options;
  let readBytes = socket.bytesRead;
  let heardAt = clock.monotonicMs();
  let heardWall = clock.now();
  let lookedAt = heardAt;
  let lookedWall = heardWall;
  let verifying: Timer | undefined;
  let stopped = false;
  const timers = new Set<Timer>();

  const look = (): void => {
    if (socket.bytesRead !== readBytes) {
      readBytes = socket.bytesRead;
      // Bytes are counted, not timed: they came after the look before this one.
      if (lookedAt > heardAt) {
        heardAt = lookedAt;
        heardWall = lookedWall;
      }
    }
    lookedAt = clock.monotonicMs();
    lookedWall = clock.now();
  };
  const later = (ms: number, run: () => void): void => {
    const timer = clock.startTimer(
      ms,
      () => {
        timers.delete(timer);
        if (!stopped) run();
      },
      true,
    );
    timers.add(timer);
  };
  const listen = (): void => {
    look();
    const silent = lookedAt - heardAt;
    if (silent >= options.silenceMs) {
      options.lost(`nothing was heard for ${Math.round(silent / 1000)} s`);
      return;
    }
    later(Math.max(10, Math.min(options.silenceMs / LOOKS, options.silenceMs - silent)), listen);
  };
  const speak = (): void => {
    options.beat();
    later(options.beatMs, speak);
  };
  later(options.beatMs, speak);
  later(options.silenceMs / LOOKS, listen);

  return {
    get lastContact() {
      look();
      return heardWall;
    },
    heard() {
      readBytes = socket.bytesRead;
      heardAt = lookedAt = clock.monotonicMs();
      heardWall = lookedWall = clock.now();
    },
    verify() {
      if (stopped || verifying !== undefined || session.destroyed) return;
      look();
      if (lookedAt - heardAt < FRESH_MS) return;
      verifying = clock.startTimer(
        Math.min(VERIFY_MS, options.silenceMs),
        () => options.lost('a call went out and the other end does not answer'),
        true,
      );
      session.ping((error) => {
        verifying?.cancel();
        verifying = undefined;
        if (error === null) this.heard();
      });
    },
    stop() {
      stopped = true;
      verifying?.cancel();
      for (const timer of timers) timer.cancel();
      timers.clear();
    },
  };
}
