/** The key of a data folder: made once, private, and never replaced. */

import { chmodSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { readNodeKey } from '../../../runtime/platform/node-key.ts';
import { seededRandom } from '../../support/seeded-random.ts';

t.test('is made once, readable by its owner alone, and found again', async (t) => {
  const folder = t.testdir();
  const made = await readNodeKey(folder, seededRandom(1));
  t.equal(made.length, 32);
  t.equal(statSync(join(folder, 'node.key')).mode & 0o777, 0o600);
  t.same(await readNodeKey(folder, seededRandom(2)), made, 'another source of randomness changes nothing');
});

t.test('a draft that a power cut left behind is not taken for the key', async (t) => {
  const folder = t.testdir({ 'node.key.new': 'half' });
  const made = await readNodeKey(folder, seededRandom(1));
  t.same(new Uint8Array(readFileSync(join(folder, 'node.key'))), made);
});

t.test('a file of another length is refused and left as it is', async (t) => {
  const folder = t.testdir({ 'node.key': 'short' });
  await t.rejects(readNodeKey(folder, seededRandom(1)), /node\.key: expected 32 bytes, got 5/);
  t.equal(readFileSync(join(folder, 'node.key'), 'utf8'), 'short');
});

t.test('two that start at once agree on one key', async (t) => {
  const folder = t.testdir();
  const first = await readNodeKey(folder, seededRandom(1));
  chmodSync(join(folder, 'node.key'), 0o600);
  writeFileSync(join(folder, 'node.key.new'), 'the other one was slower');
  t.same(await readNodeKey(folder, seededRandom(3)), first);
});
