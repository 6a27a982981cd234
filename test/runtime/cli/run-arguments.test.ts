// `dapr run` lines, word for word.

import t from 'tap';
import { longFlags, takeRunFile } from '../../../runtime/cli/run-arguments.ts';

t.test('letters of the Dapr CLI become flags, up to the command', async (t) => {
  t.same(
    longFlags([
      '-a',
      'orders',
      '-p=3000',
      '-H',
      '3501',
      '-P',
      'grpc',
      '--',
      'python3',
      '-u',
      'app.py',
      '-p',
      '1',
    ]),
    [
      ...['--app-id', 'orders', '--app-port=3000', '--dapr-http-port', '3501', '--app-protocol', 'grpc'],
      ...['--', 'python3', '-u', 'app.py', '-p', '1'],
    ],
  );
  t.same(longFlags(['-app-id', 'x', '-x', '-']), ['-app-id', 'x', '-x', '-'], 'the rest is left alone');
});

t.test('a run file in each of its spellings', async (t) => {
  t.same(takeRunFile(['--log-level', 'debug', '-f', '.']), { file: '.', rest: ['--log-level', 'debug'] });
  t.same(takeRunFile(['--run-file=a/dapr.yaml', '-x']), { file: 'a/dapr.yaml', rest: ['-x'] });
  t.same(takeRunFile(['-f']), { file: '', rest: [] }, 'a value is missing');
  const command = ['--app-id', 'x', '--', 'tail', '-f', 'log'];
  t.same(takeRunFile(command), { file: undefined, rest: command }, "the command's own -f is not ours");
});
