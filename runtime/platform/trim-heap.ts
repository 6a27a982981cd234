/**
 * Gives back what starting left behind. Loading the program makes more garbage than an idle gateway makes in hours, and V8
 * sees no reason to collect it; one collection once the start has settled takes some ten megabytes off the process.
 */

import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import type { Clock } from '../contracts/clock.ts';

const SETTLED_MS = 1500;

type Collect = (options: { readonly type: 'major'; readonly flavor: 'last-resort' }) => void;

/** Collects once, after the start has settled. */
export function trimHeapAfterStart(clock: Clock): void {
  clock.startTimer(
    SETTLED_MS,
    () => {
      setFlagsFromString('--expose-gc');
      const collect = runInNewContext('gc') as Collect;
      setFlagsFromString('--no-expose-gc');
      collect({ type: 'major', flavor: 'last-resort' });
    },
    true,
  );
}
