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
  /** Calls wait for something of the other end; without it what was heard since the last call counts. */
  expecting?(): boolean;
  /** A question is not answered yet; called again while it is so. */
  doubted?(): void;
  /** It is, late. */
  trusted?(): void;
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
/** A call without an answer, or a question, for so long raises doubts. */
const DOUBT_MS = 1500;
const DOUBT_AGAIN_MS = 1000;
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
  let doubting: Timer | undefined;
  let watching = false;
  let calledAt = 0;
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
  const doubt = (): void => {
    options.doubted?.();
    doubting = clock.startTimer(DOUBT_AGAIN_MS, doubt, true);
  };
  const ask = (): void => {
    verifying = clock.startTimer(
      Math.min(VERIFY_MS, options.silenceMs),
      () => options.lost('a call went out and the other end does not answer'),
      true,
    );
    let doubted = false;
    doubting = clock.startTimer(
      DOUBT_MS,
      () => {
        doubted = true;
        doubt();
      },
      true,
    );
    session.ping((error) => {
      verifying?.cancel();
      verifying = undefined;
      doubting?.cancel();
      if (error !== null) return;
      liveness.heard();
      if (doubted) options.trusted?.();
    });
  };
  const watch = (): void => {
    look();
    const left = Math.max(heardAt, calledAt) + DOUBT_MS - lookedAt;
    const waits = options.expecting?.() ?? heardAt < calledAt;
    if (waits && left > 0) {
      later(left, watch);
      return;
    }
    watching = false;
    if (waits && verifying === undefined && !session.destroyed) ask();
  };
  later(options.beatMs, speak);
  later(options.silenceMs / LOOKS, listen);

  const liveness: Liveness = {
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
      if (lookedAt - heardAt >= FRESH_MS) return ask();
      calledAt = lookedAt;
      if (watching) return;
      // It was there a moment ago: whether it still is shows when nothing comes back.
      watching = true;
      later(DOUBT_MS, watch);
    },
    stop() {
      stopped = true;
      verifying?.cancel();
      doubting?.cancel();
      for (const timer of timers) timer.cancel();
      timers.clear();
    },
  };
  return liveness;
}
