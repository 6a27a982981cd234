/** A budget of bytes an hour over restarts: what was spent, or set aside before a power cut, is not spent again. */

import t from 'tap';
import {
  type BudgetRow,
  type BudgetStore,
  createHourBudget,
} from '../../../../runtime/building-blocks/sync/hour-budget.ts';
import { type FakeClock, fakeClock } from '../../../support/fake-clock.ts';

const MINUTE_MS = 60_000;
const YEAR_MS = 365 * 86_400_000;
const BUDGET = 6400;
const STEP = BUDGET / 64;

/** A disk that keeps the last row, and what asks for it beside other writes. */
function disk() {
  let kept: BudgetRow | undefined;
  let writes = 0;
  let aside: () => BudgetRow | undefined = () => undefined;
  const store: BudgetStore = {
    read: () => kept,
    write: async (row) => {
      writes += 1;
      kept = row;
    },
    along: (row) => {
      aside = row;
    },
  };
  return {
    store,
    writes: () => writes,
    spent: () => (kept?.spent ?? []).reduce((sum, [, bytes]) => sum + bytes, 0),
    noteAlong: () => {
      kept = aside() ?? kept;
    },
  };
}

/** Another process on the same disk; its monotonic time begins anew, its wall clock is wrong. */
const later = (clock: FakeClock, jumpMs = 0): FakeClock => fakeClock(clock.now() + jumpMs);

t.test('a power cut: what was set aside counts as spent, whatever the wall clock says', async (t) => {
  const { store, spent } = disk();
  const first = fakeClock();
  const budget = createHourBudget(BUDGET, first, store);
  t.equal(budget.wait(BUDGET), 0);
  await budget.spend(BUDGET - STEP - 10);
  t.equal(spent(), BUDGET - STEP, 'rounded up to a step');
  await budget.spend(4);
  t.equal(spent(), BUDGET - STEP, 'within what is set aside nothing is written');

  const second = later(first, YEAR_MS);
  const revived = createHourBudget(BUDGET, second, store);
  t.equal(revived.wait(STEP), 0);
  t.ok(revived.wait(STEP + 1) > 0, 'no more than was left');
  second.setWallClock(second.now() + YEAR_MS);
  t.ok(revived.wait(STEP + 1) > 0, 'a jump refills nothing');
  second.setWallClock(0);
  await second.advance(59 * MINUTE_MS);
  t.ok(revived.wait(STEP + 1) > 0);
  await second.advance(2 * MINUTE_MS);
  t.equal(revived.wait(BUDGET), 0, 'an hour on');
});

t.test('an orderly end gives back what was not used, and time goes on where it was', async (t) => {
  const { store, spent } = disk();
  const first = fakeClock();
  const budget = createHourBudget(BUDGET, first, store);
  await budget.spend(10);
  t.equal(spent(), STEP);
  await first.advance(50 * MINUTE_MS);
  await budget.close();
  t.equal(spent(), 10);

  const second = later(first);
  const revived = createHourBudget(BUDGET, second, store);
  t.ok(revived.wait(BUDGET) > 0);
  await second.advance(11 * MINUTE_MS);
  t.equal(revived.wait(BUDGET), 0, '50 and 11 minutes');
});

t.test('time that passed is noted beside other writes', async (t) => {
  const { store, noteAlong } = disk();
  const first = fakeClock();
  const budget = createHourBudget(BUDGET, first, store);
  await budget.spend(BUDGET);
  await first.advance(40 * MINUTE_MS);
  noteAlong();
  const second = later(first);
  const revived = createHourBudget(BUDGET, second, store);
  await second.advance(21 * MINUTE_MS);
  t.equal(revived.wait(BUDGET), 0);
});

t.test('the card sees a write per step', async (t) => {
  const { store, writes } = disk();
  const budget = createHourBudget(BUDGET, fakeClock(), store);
  for (let n = 0; n < BUDGET; n += 1) await budget.spend(1);
  t.equal(writes(), 64);
  t.ok(budget.wait(1) > 0);
});

t.test('bytes travel when they are set aside on disk, and also where the disk takes nothing', async (t) => {
  const disks: ((error?: Error) => void)[] = [];
  const store: BudgetStore = {
    read: () => undefined,
    write: () =>
      new Promise((resolve, reject) => {
        disks.push((error) => (error === undefined ? resolve() : reject(error)));
      }),
    along: () => undefined,
  };
  const budget = createHourBudget(BUDGET, fakeClock(), store);
  const went: string[] = [];
  const first = budget.spend(10).then(() => went.push('first'));
  const second = budget.spend(10).then(() => went.push('second'));
  await new Promise(setImmediate);
  t.same(went, [], 'nor what another one set aside');
  t.equal(disks.length, 1);
  disks[0]?.(new Error('full'));
  await Promise.all([first, second]);
  t.same(went, ['first', 'second']);
  const third = budget.spend(10);
  t.equal(disks.length, 2, 'tried again');
  disks[1]?.();
  await third;
});
