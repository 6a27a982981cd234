/** Fuzz targets as tests: always the same inputs, unless SKERRY_FUZZ_SEED says otherwise. */

import type { Test } from 'tap';
import { type FuzzTarget, fuzz } from './target.ts';

/** A failing build repeats with the same seed; `npm run fuzz` draws fresh ones. */
const SEED = Number(process.env['SKERRY_FUZZ_SEED'] ?? '20260501');

/** One test per target. */
export function fuzzTests(t: Test, targets: readonly FuzzTarget[]): void {
  for (const target of targets) {
    t.test(`${target.name}: ${target.inputs} inputs, seed ${SEED}`, async (t) => {
      const { seconds, slowestMs, heapGrowthMb } = await fuzz(target, SEED, target.inputs);
      t.comment(
        `${seconds.toFixed(1)} s, slowest ${slowestMs.toFixed(0)} ms, heap ${heapGrowthMb.toFixed(1)} MiB`,
      );
      t.pass('no crash, no hang, no leak, and every answer of the right kind');
    });
  }
}
