/** Errors as texts. */

import { readFileSync } from 'node:fs';
import t from 'tap';
import { errorText } from '../../../runtime/contracts/error.ts';

t.test('what the system says about files, in Go words', async (t) => {
  const thrown = (run: () => unknown): unknown => {
    try {
      return run();
    } catch (error) {
      return error;
    }
  };
  const missing = `${t.testdir()}/missing`;
  t.equal(errorText(thrown(() => readFileSync(missing))), `open ${missing}: no such file or directory`);
  const known = Object.assign(new Error("EACCES: permission denied, unlink '/a'"), {
    code: 'EACCES',
    path: '/a',
    syscall: 'unlink',
  });
  t.equal(errorText(known), 'unlink /a: permission denied');
  const rare = Object.assign(new Error("EMLINK: too many links, link '/a'"), { code: 'EMLINK', path: '/a' });
  t.equal(errorText(rare), rare.message);
  t.equal(errorText(Object.assign(new Error('own words'), { code: 'ENOENT', path: '/a' })), 'own words');
  t.equal(errorText('text'), 'text');
});
