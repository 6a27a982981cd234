/**
 * Attempts to reach the relay. One at a time, after growing pauses, as long as nobody is in a hurry; who has something to send
 * starts another beside one that may have been made in the dark, where the system repeats a packet after many seconds. The first
 * that comes through is the link, and the others end.
 */

import type { Clock, Timer } from '../contracts/clock.ts';
import type { Random } from '../contracts/random.ts';
import type { EdgeSession } from './edge-session.ts';

export interface DiallerOptions {
  readonly clock: Clock;
  readonly random: Random;
  /** Before each attempt. */
  prepare(): Promise<void>;
  /** Starts an attempt: `opened` once it came through, `closed` at its end, whichever way. */
  open(events: {
    opened(session: EdgeSession): void;
    closed(reason: string, refused: boolean): void;
  }): EdgeSession;
  /** The first attempt that came through. */
  chosen(session: EdgeSession): void;
  /** The last attempt under way failed. */
  failed(reason: string): void;
  /** What had been chosen is over. */
  ended(session: EdgeSession, reason: string): void;
}

export interface Dialler {
  /** Another attempt after this pause. */
  after(ms: number): void;
  /** An attempt soon, beside those under way. */
  hurry(): void;
  /** Ends the attempts under way. */
  drop(): void;
  close(): void;
}

/** Attempts in a hurry are so far apart (and up to twice as far), farther with each that goes on: the relay may just be busy. */
const HURRY_MS = 400;
/** So long after the last word of somebody in a hurry the next pauses are short too. */
const HURRIED_MS = 2500;
const MAX_TOGETHER = 4;
/** A relay that turned a node away so often in a row means it: nothing hurries the next attempt. A link cut at that very moment
 * looks the same. */
const MAX_REFUSALS = 5;

export function createDialler(options: DiallerOptions): Dialler {
  const { clock, random } = options;
  const attempts = new Set<EdgeSession>();
  let closed = false;
  let timer: Timer | undefined;
  let refusals = 0;
  let hurriedMs = Number.NEGATIVE_INFINITY;
  let dueMs = Number.POSITIVE_INFINITY;
  let dialledMs = Number.NEGATIVE_INFINITY;

  const drop = (reason: string): void => {
    for (const attempt of [...attempts]) {
      attempts.delete(attempt);
      attempt.close(reason);
    }
  };
  const dial = async (): Promise<void> => {
    timer = undefined;
    dueMs = Number.POSITIVE_INFINITY;
    dialledMs = clock.monotonicMs();
    await options.prepare();
    if (closed) return;
    let isChosen = false;
    const session = options.open({
      opened: () => {
        // Of those that were dropped none is wanted any more.
        if (!attempts.delete(session)) return session.close('another attempt was faster');
        isChosen = true;
        refusals = 0;
        drop('another attempt was faster');
        options.chosen(session);
      },
      closed: (reason, refused) => {
        if (!isChosen && attempts.has(session)) refusals = refused ? refusals + 1 : 0;
        if (isChosen) options.ended(session, reason);
        else if (attempts.delete(session) && attempts.size === 0 && !closed) options.failed(reason);
      },
    });
    attempts.add(session);
  };
  const start = (ms: number): void => {
    timer?.cancel();
    dueMs = clock.monotonicMs() + ms;
    timer = clock.startTimer(ms, () => void dial(), true);
  };
  /** From now to the next attempt of somebody in a hurry. */
  const shortly = (now: number): number => {
    const apart = HURRY_MS * 2 ** Math.max(0, attempts.size - 1) * (1 + random.float());
    return Math.max(0, dialledMs + apart - now);
  };

  return {
    after: (ms) => {
      const now = clock.monotonicMs();
      const hurried = now - hurriedMs <= HURRIED_MS && refusals < MAX_REFUSALS;
      start(hurried ? Math.min(ms, shortly(now)) : ms);
    },
    hurry: () => {
      hurriedMs = clock.monotonicMs();
      if (closed || attempts.size >= MAX_TOGETHER || refusals >= MAX_REFUSALS) return;
      const ms = shortly(hurriedMs);
      if (hurriedMs + ms < dueMs) start(ms);
    },
    drop: () => drop('it is not needed'),
    close: () => {
      closed = true;
      timer?.cancel();
      drop('the node is closing');
    },
  };
}
