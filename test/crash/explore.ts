/** Records runs and judges power cuts of them in two processes. */

import { fork } from 'node:child_process';
import { join } from 'node:path';
import { seededRandom } from '../support/seeded-random.ts';
import type { Failure, Progress, Share } from './explore-worker.ts';
import { type Recording, record } from './record.ts';
import { RECORD, readTrace, type TraceEvent } from './trace.ts';

export interface ExploreOptions {
  readonly cuts: number;
  readonly seed: number;
  readonly cutsPerRecording: number;
  readonly processes: number;
  /** On a memory file system, or every rebuilt disk wears a real one. */
  readonly folder: string;
  readonly program: string;
  readonly shim: string;
  readonly lives: number;
  readonly lifeMs: number;
  readonly pauseMs: number;
  readonly say: (line: string) => void;
  /** Stops at the first failing recording. */
  readonly stopEarly?: boolean;
}

export interface Outcome {
  readonly cuts: number;
  readonly recordings: number;
  readonly events: number;
  readonly acknowledged: number;
  readonly failures: readonly Failure[];
  readonly faults: readonly string[];
}

const SYNC_DELAY_US = 1500;

export async function explore(options: ExploreOptions): Promise<Outcome> {
  const failures: Failure[] = [];
  const faults: string[] = [];
  let done = 0;
  let recordings = 0;
  let eventCount = 0;
  let acknowledged = 0;
  while (done < options.cuts) {
    const seed = options.seed + recordings;
    const recording = await record(
      {
        folder: join(options.folder, 'recording'),
        program: options.program,
        seed,
        lives: options.lives,
        lifeMs: options.lifeMs,
        pauseMs: options.pauseMs,
        syncDelayUs: SYNC_DELAY_US,
      },
      options.shim,
    );
    recordings += 1;
    faults.push(...recording.faults);
    const events = readTrace(recording.trace, recording.root);
    eventCount += events.length;
    acknowledged += events.filter((event) => event.type === RECORD.mark && isAck(event)).length;
    const cuts = chooseCuts(events, Math.min(options.cutsPerRecording, options.cuts - done), seed);
    const found = await judgeAll(recording, cuts, seed, options);
    failures.push(...found);
    done += cuts.length;
    options.say(
      `recording ${recordings} (seed ${seed}): ${events.length} events, ${cuts.length} cuts, ${found.length} failed; ${done} of ${options.cuts} cuts`,
    );
    const first = found[0];
    if (first !== undefined) options.say(`  the first of them: ${JSON.stringify(first).slice(0, 400)}`);
    for (const [text, times] of tally(found)) options.say(`  ${times} times ${text}`);
    if (found.length > 0 && options.stopEarly === true) break;
  }
  return { cuts: done, recordings, events: eventCount, acknowledged, failures, faults };
}

/** How often each kind of thing went wrong, by channel. */
function tally(failures: readonly Failure[]): ReadonlyMap<string, number> {
  const counts = new Map<string, number>();
  for (const failure of failures) {
    const kinds = (['lost', 'invented', 'stuck', 'aside'] as const).flatMap((kind) =>
      failure[kind].map((text) => `${kind} ${text.split(':')[0]}`),
    );
    for (const kind of new Set(kinds)) counts.set(kind, (counts.get(kind) ?? 0) + 1);
  }
  return counts;
}

function isAck(event: TraceEvent): boolean {
  return event.data.includes('"m":"ack"');
}

/** Half of the cuts anywhere, half right after something was sent, where a promise made too early shows. */
function chooseCuts(events: readonly TraceEvent[], count: number, seed: number): number[] {
  const random = seededRandom(seed ^ 0x5eed);
  const sends: number[] = [];
  events.forEach(({ type }, index) => {
    if (type === RECORD.send) sends.push(index + 1);
  });
  const cuts = Array.from({ length: count }, (_, index) => {
    if (index % 2 === 0 || sends.length === 0) return Math.floor(random.float() * (events.length + 1));
    return sends[Math.floor(random.float() * sends.length)] as number;
  });
  return cuts.sort((a, b) => a - b);
}

async function judgeAll(
  recording: Recording,
  cuts: readonly number[],
  seed: number,
  options: ExploreOptions,
): Promise<Failure[]> {
  const numbered = cuts.map((cut, number) => ({ cut, number }));
  const failures: Failure[] = [];
  const shares = Array.from(
    { length: options.processes },
    (_, index): Share => ({
      trace: recording.trace,
      root: recording.root,
      disk: join(options.folder, `cut-${index}`),
      seed,
      cuts: numbered.filter(({ number }) => number % options.processes === index),
    }),
  );
  await Promise.all(shares.map((share) => judgeShare(share, failures)));
  return failures;
}

function judgeShare(share: Share, failures: Failure[]): Promise<void> {
  return new Promise((resolve, reject) => {
    const child = fork(join(import.meta.dirname, 'explore-worker.ts'), {
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    });
    let finished = false;
    child.on('message', (progress: Progress) => {
      if ('failure' in progress) failures.push(progress.failure);
      if ('finished' in progress) finished = true;
    });
    child.once('error', reject);
    child.once('exit', (code) => {
      if (!finished && failures.length === 0) reject(new Error(`a judging process ended with ${code}`));
      else resolve();
    });
    child.send(share);
  });
}
