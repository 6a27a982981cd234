/** The users file: what it may hold, and errors that name the line. */

import { join } from 'node:path';
import t from 'tap';
import { readUsersFile } from '../../../edge-components/broker/users-file.ts';

t.test('names, passwords, hashes, comments', async (t) => {
  const directory = t.testdir({
    users: '# devices\nfred:a:b\r\n\nanna: scrypt$x\nhash:scrypt$16384$8$1$c2FsdA==$a2V5\n',
  });
  t.same(await readUsersFile(join(directory, 'users')), [
    { name: 'fred', password: 'a:b' },
    { name: 'anna', password: ' scrypt$x' },
    { name: 'hash', passwordHash: 'scrypt$16384$8$1$c2FsdA==$a2V5' },
  ]);
});

t.test('faults', async (t) => {
  const directory = t.testdir({ bare: 'fred\n', twice: 'a:1\nb:2\na:3\n', empty: '# nobody\n' });
  const read = (name: string) => readUsersFile(join(directory, name));
  await t.rejects(read('bare'), { message: /line 1 of .* must be name:password/ });
  await t.rejects(read('twice'), { message: /line 3 of .* repeats user 'a'/ });
  await t.rejects(read('empty'), { message: /has no user/ });
  await t.rejects(read('missing'), { message: /--mqtt-users-file: cannot read/ });
});
