/** A sample of power cuts: nothing acknowledged is lost, and a build that answers before it syncs is caught. */

import { rmSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { packageFolder } from '../integration/support/package-folder.ts';
import { type ExploreOptions, explore } from './explore.ts';
import { breakPackage, workFolder } from './package-copy.ts';
import { buildShim } from './record.ts';

t.setTimeout(300_000);
const folder = workFolder();
t.teardown(() => rmSync(folder, { recursive: true, force: true }));
const shim = buildShim(folder);

const sample = (part: Partial<ExploreOptions>): ExploreOptions => ({
  cuts: 500,
  seed: 4,
  cutsPerRecording: 500,
  processes: 2,
  folder,
  program: join(packageFolder(), 'daprd'),
  shim: 'path' in shim ? shim.path : '',
  lives: 2,
  lifeMs: 700,
  pauseMs: 25,
  say: () => undefined,
  ...part,
});

const skip = 'missing' in shim ? shim.missing : false;

t.test('500 cuts', { skip }, async (t) => {
  const outcome = await explore(sample({}));
  t.same(outcome.failures.slice(0, 3), []);
  t.equal(outcome.cuts, 500);
  t.ok(outcome.acknowledged > 200, `${outcome.acknowledged} acknowledgements`);
  t.same(outcome.faults, []);
});

t.test('a build that answers before it syncs', { skip }, async (t) => {
  const program = breakPackage(packageFolder(), join(folder, 'broken'));
  const outcome = await explore(sample({ cuts: 20, cutsPerRecording: 20, program, lives: 1, lifeMs: 400 }));
  t.ok(
    outcome.failures.some(({ lost }) => lost.length > 0),
    'is caught',
  );
});
