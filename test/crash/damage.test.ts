/** A sample of damaged disks: every one starts, and what was set aside has its report. */

import { rmSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { packageFolder } from '../integration/support/package-folder.ts';
import { type DamageCase, damageAll } from './damage.ts';
import { workFolder } from './package-copy.ts';
import { buildShim, record } from './record.ts';

t.setTimeout(180_000);
const folder = workFolder();
t.teardown(() => rmSync(folder, { recursive: true, force: true }));
const shim = buildShim(folder);

t.test('40 damaged disks', { skip: 'missing' in shim ? shim.missing : false }, async (t) => {
  const options = { program: join(packageFolder(), 'daprd'), seed: 3, lives: 1, lifeMs: 700, pauseMs: 25 };
  const shimPath = 'path' in shim ? shim.path : '';
  const recording = await record(
    { ...options, folder: join(folder, 'recording'), syncDelayUs: 1000 },
    shimPath,
  );
  const cases: DamageCase[] = [];
  const seeds = Array.from({ length: 40 }, (_, index) => 300 + index);
  await damageAll(recording, join(folder, 'disk'), seeds, (one) => cases.push(one));
  t.equal(cases.length, 40);
  for (const { seed, damage, verdict, reported } of cases) {
    t.same(verdict.stuck, [], `seed ${seed}: ${damage}`);
    if (verdict.aside.length > 0) t.ok(reported, `seed ${seed}: ${damage} is reported`);
  }
  t.ok(cases.filter(({ verdict }) => verdict.aside.length > 0).length > 5, 'some were set aside');
});
