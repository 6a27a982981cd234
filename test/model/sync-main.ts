/** `npm run model:sync -- --histories 1000000 [--seed 1]`: the merge rules of Sync over many random histories. */

import { parseArgs } from 'node:util';
import { seededRandom } from '../support/seeded-random.ts';
import { runHistory } from './sync-histories.ts';

const { values } = parseArgs({
  options: { histories: { type: 'string', default: '100000' }, seed: { type: 'string', default: '1' } },
});
const count = Number(values.histories);
const first = Number(values.seed);
if (!Number.isInteger(count) || count < 1 || !Number.isInteger(first)) {
  process.stderr.write('expected --histories N [--seed N]\n');
  process.exit(2);
}
const SHOWN = 10;
const started = process.hrtime.bigint();
const byRule = new Map<string, { histories: number; writes: number; conflicts: number }>();
let failed = 0;
for (let seed = first; seed < first + count; seed += 1) {
  const { rule, writes, conflicts, faults } = runHistory(seededRandom(seed).float);
  const sum = byRule.get(rule) ?? { histories: 0, writes: 0, conflicts: 0 };
  byRule.set(rule, {
    histories: sum.histories + 1,
    writes: sum.writes + writes,
    conflicts: sum.conflicts + conflicts,
  });
  if (faults.length === 0) continue;
  failed += 1;
  if (failed <= SHOWN) process.stdout.write(`seed ${seed} (${rule}): ${faults.join('; ')}\n`);
}
for (const [rule, { histories, writes, conflicts }] of [...byRule].sort())
  process.stdout.write(
    `${rule.padEnd(10)} ${histories} histories, ${writes} writes, ${conflicts} conflicts reported\n`,
  );
const seconds = Number(process.hrtime.bigint() - started) / 1e9;
process.stdout.write(`${count - failed} of ${count} histories hold (${seconds.toFixed(1)} s)\n`);
process.exitCode = failed === 0 ? 0 : 1;
