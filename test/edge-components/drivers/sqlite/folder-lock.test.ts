import { spawn } from 'node:child_process';
import { once } from 'node:events';
import t from 'tap';
import { lockFolder } from '../../../../edge-components/drivers/sqlite/folder-lock.ts';

const module = new URL('../../../../edge-components/drivers/sqlite/folder-lock.ts', import.meta.url).href;

t.test('a second process is refused until the first ends, however it ends', async (t) => {
  const folder = t.testdir();
  const script = `import { lockFolder } from '${module}'; globalThis.held = lockFolder(${JSON.stringify(folder)}); console.log('held'); setInterval(() => {}, 1000);`;
  const holder = spawn(process.execPath, ['--input-type=module', '-e', script], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  await once(holder.stdout, 'data');
  t.throws(() => lockFolder(folder), {
    message: /is in use by another process; choose another with --data-dir/,
  });
  holder.kill('SIGKILL');
  await once(holder, 'exit');
  const lock = lockFolder(folder);
  lock.release();
});
