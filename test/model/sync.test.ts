/** The merge rules of Sync over random two-sided histories; `npm run model:sync` runs as many as one likes. */

import t from 'tap';
import { seededRandom } from '../support/seeded-random.ts';
import { runHistory } from './sync-histories.ts';

const HISTORIES = 20_000;

t.test('all sides end up equal and nothing is lost without a reported conflict', (t) => {
  const wrong: string[] = [];
  const rules = new Map<string, number>();
  let conflicts = 0;
  for (let seed = 1; seed <= HISTORIES && wrong.length < 5; seed += 1) {
    const history = runHistory(seededRandom(seed).float);
    rules.set(history.rule, (rules.get(history.rule) ?? 0) + history.conflicts);
    conflicts += history.conflicts;
    for (const fault of history.faults) wrong.push(`seed ${seed} (${history.rule}): ${fault}`);
  }
  t.same(wrong, []);
  t.equal(rules.size, 5, 'every rule was driven');
  for (const [rule, count] of rules) t.ok(count > 0, `${rule}: ${count} conflicts`);
  t.ok(conflicts > HISTORIES / 10, `${conflicts} conflicts`);
  t.end();
});
