/** What is said of a run that failed: each failed point once, by its path; a run that ended too early is a failure. */

import t from 'tap';
import { tapReport } from '../../build/tap-report.ts';

const RUN = `TAP version 14
# Subtest: test/a.test.ts
    # Subtest: opens
        ok 1 - it is there
        not ok 2 - it is whole
          ---
          diff: |
            -2
            +1
          ...
        not ok 3 - later # TODO not yet
        not ok 4 - elsewhere # SKIP not here
        # Subtest: twice
            not ok 1 - again
            1..1
        not ok 5 - twice # time=1.5ms
        1..5
    not ok 1 - opens # time=2.5ms
    1..1
not ok 1 - test/a.test.ts # time=3.5ms
# Subtest: test/b.test.ts
    1..0 # no tests found
not ok 2 - test/b.test.ts # time=4.5ms
  ---
  signal: SIGKILL
  ...
`;

t.test('failed points by their path, each once', async (t) => {
  const report = tapReport(`${RUN}# { total: 9, pass: 2, fail: 4, todo: 1, skip: 1 }\n`, 'exit code 1');
  t.equal(report.passed, 2);
  t.equal(report.failed, 4);
  t.same(report.failures.split('\n'), [
    'not ok: test/a.test.ts > opens > it is whole',
    '          diff: |',
    '            -2',
    '            +1',
    'not ok: test/a.test.ts > opens > twice > again',
    'not ok: test/b.test.ts',
    '  signal: SIGKILL',
  ]);
});

t.test('all is well', async (t) => {
  const report = tapReport('ok 1 - test/a.test.ts\n# { total: 3, pass: 3 }\n', 'exit code 0');
  t.same(report, { passed: 3, failed: 0, failures: '' });
});

t.test('a run that was cut off says how, and where it was', async (t) => {
  const { failures, passed } = tapReport('# Subtest: test/a.test.ts\n    ok 1 - first\n', 'signal SIGKILL');
  t.equal(passed, 0);
  t.match(failures, /^tap ended before its totals, with signal SIGKILL; its last lines:\n# Subtest: test\/a/);
});
