/**
 * Runs fuzz targets: every input is drawn from its own seed (the first seed plus its number), so a failure names the
 * seed that repeats it alone. Besides what a target checks itself, an input has a time limit and the target a heap limit.
 */

import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { Worker } from 'node:worker_threads';
import { Draw } from './draw.ts';

/** An opened target. */
export interface Fuzzing {
  /** Feeds one input; throws when what comes out is not acceptable. */
  one(draw: Draw): Promise<void> | void;
  /** Called at the end, before the heap is measured; throws when something was left behind. */
  settle?(): Promise<void>;
  close?(): Promise<void>;
}

/** Something that takes input from outside. */
export interface FuzzTarget {
  readonly name: string;
  /** Inputs in a run of `npm test`. */
  readonly inputs: number;
  /** Inputs fed at the same time; for targets that wait for sockets. */
  readonly concurrency?: number;
  /** Growth of the heap that is no leak. */
  readonly heapMb?: number;
  open(): Promise<Fuzzing>;
}

export interface FuzzResult {
  readonly name: string;
  readonly inputs: number;
  readonly seconds: number;
  readonly slowestMs: number;
  readonly heapGrowthMb: number;
}

/** One input may take this long on a busy machine; what is slower hangs or grows with more than its size. */
const INPUT_LIMIT_MS = 3000;
/** A synchronous loop is ended from outside after this long. */
const STUCK_LIMIT_MS = 30_000;
const DEFAULT_HEAP_MB = 24;
const MIB = 1024 * 1024;
const WARM_UP = 0.2;

const collect: () => void = (() => {
  setFlagsFromString('--expose-gc');
  return runInNewContext('gc') as () => void;
})();

/** Heap in use after a thorough collection. */
function heapBytes(): number {
  collect();
  collect();
  return process.memoryUsage().heapUsed;
}

/** Feeds `inputs` inputs to the target; rejects with the seed of the first one that fails, or goes on when `failed` takes it. */
export async function fuzz(
  target: FuzzTarget,
  seed: number,
  inputs: number,
  failed: (error: Error) => void = (error) => {
    throw error;
  },
): Promise<FuzzResult> {
  const started = performance.now();
  const fuzzing = await target.open();
  const watchdog = startWatchdog(target.name);
  let slowestMs = 0;
  const one = async (number: number): Promise<void> => {
    const draw = new Draw(seed + number);
    watchdog.begin(draw.seed);
    const begun = performance.now();
    try {
      await fuzzing.one(draw);
      const took = performance.now() - begun;
      slowestMs = Math.max(slowestMs, took);
      if (took > INPUT_LIMIT_MS) throw new Error(`took ${Math.round(took)} ms, limit ${INPUT_LIMIT_MS}`);
    } catch (error) {
      failed(new Error(`${text(error)}\n  repeat: ${repeat(target.name, draw.seed)}`, { cause: error }));
    }
  };
  try {
    const warmUp = Math.ceil(inputs * WARM_UP);
    await run(0, warmUp, target.concurrency ?? 1, one);
    await fuzzing.settle?.();
    const before = heapBytes();
    await run(warmUp, inputs, target.concurrency ?? 1, one);
    await fuzzing.settle?.();
    const heapGrowthMb = (heapBytes() - before) / MIB;
    if (heapGrowthMb > (target.heapMb ?? DEFAULT_HEAP_MB))
      throw new Error(
        `${target.name}: the heap grew by ${heapGrowthMb.toFixed(1)} MiB over ${inputs - warmUp} inputs`,
      );
    const seconds = (performance.now() - started) / 1000;
    return { name: target.name, inputs, seconds, slowestMs, heapGrowthMb };
  } finally {
    await watchdog.stop();
    await fuzzing.close?.();
  }
}

async function run(
  from: number,
  to: number,
  concurrency: number,
  one: (number: number) => Promise<void>,
): Promise<void> {
  let next = from;
  const lane = async (): Promise<void> => {
    while (next < to) {
      const number = next;
      next += 1;
      await one(number);
    }
  };
  await Promise.all(Array.from({ length: concurrency }, lane));
}

const repeat = (name: string, seed: number | string): string =>
  `npm run fuzz -- --only ${name} --seed ${seed} --inputs 1`;

const text = (error: unknown): string =>
  error instanceof Error ? (error.stack ?? error.message) : String(error);

/** Names the input and ends the process when the event loop does not come back. */
function startWatchdog(name: string): { begin(seed: number): void; stop(): Promise<void> } {
  const shared = new Int32Array(new SharedArrayBuffer(8));
  const code = `
    const { workerData } = require('node:worker_threads');
    let seen = -1;
    setInterval(() => {
      const count = Atomics.load(workerData, 1);
      if (count !== seen) { seen = count; return; }
      const seed = Atomics.load(workerData, 0) >>> 0;
      require('node:fs').writeSync(2, 'fuzz: ${name} hangs; repeat: ${repeat(name, "' + seed + '")}\\n');
      process.kill(process.pid, 'SIGKILL');
    }, ${STUCK_LIMIT_MS});`;
  const worker = new Worker(code, { eval: true, workerData: shared });
  worker.unref();
  return {
    begin: (seed) => {
      Atomics.store(shared, 0, seed | 0);
      Atomics.add(shared, 1, 1);
    },
    stop: async () => void (await worker.terminate()),
  };
}

/** Throws with `message` unless `condition` holds. */
export function ensure(condition: boolean, message: () => string): asserts condition {
  if (!condition) throw new Error(message());
}
