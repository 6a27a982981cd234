/**
 * Gives back what starting left behind. Loading the program makes more garbage, and compiles more code, than an idle
 * gateway uses in hours, and V8 sees no reason to let go; one thorough collection takes some twenty megabytes off the
 * process. It waits for a quiet second, since it would cost a busy one its warm code.
 */

import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { onManyCalls } from '../contracts/calls-in-progress.ts';
import type { Clock } from '../contracts/clock.ts';
import { onPassing } from '../contracts/passing-bytes.ts';

const WINDOW_MS = 1000;
/** Share of one processor that still counts as quiet. */
const QUIET_SHARE = 0.1;
const MICROSECONDS_PER_MS = 1000;

type Collect = (options: { readonly type: 'major' | 'minor'; readonly flavor?: 'last-resort' }) => void;

/** Collects once, in the first second after the start in which the process has next to nothing to do. */
export function trimHeapWhenQuiet(clock: Clock): void {
  whenQuiet(clock, collect);
}

function whenQuiet(clock: Clock, run: () => void): void {
  const before = process.cpuUsage();
  clock.startTimer(
    WINDOW_MS,
    () => {
      const { user, system } = process.cpuUsage(before);
      if ((user + system) / MICROSECONDS_PER_MS > WINDOW_MS * QUIET_SHARE) whenQuiet(clock, run);
      else run();
    },
    true,
  );
}

/** Collects the dead buffers of streams as they pass; a collection of the young takes a millisecond or two. */
export function trimHeapWhileStreaming(): void {
  let run: Collect | undefined;
  onPassing(() => {
    run ??= collector();
    run({ type: 'minor' });
  });
}

/** By how much a heap may grow before it is collected, in percent of what was alive; V8's own choice is up to 300. */
const BUSY_GROWTH_PERCENT = 40;

/**
 * While thousands of calls are in progress the heap grows in small steps: 10,000 calls keep 150 MB alive, and V8's own steps
 * made 300 to 600 MB of that. When they are over, what they left is collected in the first quiet second.
 */
export function trimHeapOfManyCalls(clock: Clock): void {
  onManyCalls((many) => {
    setFlagsFromString(`--heap-growing-percent=${many ? BUSY_GROWTH_PERCENT : 0}`);
    if (!many) whenQuiet(clock, () => collector()({ type: 'major' }));
  });
}

function collect(): void {
  collector()({ type: 'major', flavor: 'last-resort' });
}

function collector(): Collect {
  setFlagsFromString('--expose-gc');
  const run = runInNewContext('gc') as Collect;
  setFlagsFromString('--no-expose-gc');
  return run;
}
