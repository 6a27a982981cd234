/** When a change in a folder is told. The real file system appears in the last test only. */

import { renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { type FolderEvents, watchFolders } from '../../../runtime/resources/watch.ts';
import { fakeClock } from '../../support/fake-clock.ts';
import { recordingLogger } from '../../support/recording-logger.ts';

function rig(directories: readonly string[] = ['/a']) {
  const clock = fakeClock();
  const log = recordingLogger();
  const watchers: {
    directory: string;
    event: () => void;
    failed: (error: Error) => void;
    closed: boolean;
  }[] = [];
  const identities = new Map<string, string>(directories.map((directory) => [directory, '1']));
  const files: FolderEvents = {
    watch: (directory, event, failed) => {
      if (!identities.has(directory)) throw new Error('ENOENT: no such directory');
      const watcher = { directory, event, failed, closed: false };
      watchers.push(watcher);
      return {
        close: () => {
          watcher.closed = true;
        },
      };
    },
    identity: (directory) => identities.get(directory),
  };
  const seen = { changes: 0 };
  const changed = (): void => {
    seen.changes += 1;
  };
  const start = () => watchFolders({ directories, clock, log, intervalMs: 60_000, changed, files });
  return { clock, log, watchers, identities, seen, start };
}

t.test('events are gathered until it is calm', async (t) => {
  const { clock, watchers, seen, start } = rig();
  const watch = start();
  for (let i = 0; i < 5; i += 1) {
    watchers[0]?.event();
    await clock.advance(10);
  }
  t.equal(seen.changes, 0);
  await clock.advance(20);
  t.equal(seen.changes, 1);
  watch.close();
  watchers[0]?.event();
  await clock.advance(120_000);
  t.equal(seen.changes, 1, 'nothing after closing');
  t.ok(watchers[0]?.closed);
  t.equal(clock.pending, 0);
});

t.test('a folder that is never calm is looked at all the same', async (t) => {
  const { clock, watchers, seen, start } = rig();
  const watch = start();
  for (let i = 0; i < 60; i += 1) {
    watchers[0]?.event();
    await clock.advance(10);
  }
  t.equal(seen.changes, 1);
  watch.close();
});

t.test('once per interval without any event', async (t) => {
  const { clock, seen, start } = rig();
  const watch = start();
  await clock.advance(180_000);
  t.equal(seen.changes, 3);
  watch.close();
});

t.test('a folder that cannot be watched', (t) => {
  const { identities, watchers, clock, start } = rig(['/a', '/b']);
  identities.delete('/b');
  t.throws(start, /failed to create watcher: failed to add target \/b: ENOENT/);
  t.ok(watchers[0]?.closed);
  t.equal(clock.pending, 0);
  t.end();
});

t.test('a folder that is replaced, or whose watcher fails, is watched again', async (t) => {
  const { clock, log, watchers, identities, seen, start } = rig();
  const watch = start();
  identities.set('/a', '2');
  watchers[0]?.event();
  await clock.advance(20);
  t.match(watchers, [{ closed: true }, { closed: false }]);
  watchers[1]?.failed(new Error('overflow'));
  t.match(log.lines, [{ level: 'warn', message: /watching \/a failed: overflow/ }]);
  identities.delete('/a');
  await clock.advance(60_000);
  t.equal(watchers.length, 2, 'not while there is none');
  identities.set('/a', '3');
  await clock.advance(60_000);
  t.equal(watchers.length, 3);
  t.equal(seen.changes, 3);
  watch.close();
});

t.test('real files: written, and the folder exchanged for another', async (t) => {
  const root = t.testdir({ now: { 'a.yaml': '' }, next: { 'b.yaml': '' } });
  const directory = join(root, 'now');
  const clock = fakeClock();
  let changes = 0;
  const watch = watchFolders({
    directories: [directory],
    clock,
    log: recordingLogger(),
    intervalMs: 60_000,
    changed: () => {
      changes += 1;
    },
  });
  t.teardown(watch.close);
  const told = async (count: number): Promise<void> => {
    while (changes < count) {
      await new Promise(setImmediate);
      await clock.advance(1);
    }
  };
  writeFileSync(join(directory, 'a.yaml'), 'x');
  await told(1);
  renameSync(directory, join(root, 'old'));
  renameSync(join(root, 'next'), directory);
  await told(2);
  const before = changes;
  writeFileSync(join(directory, 'b.yaml'), 'y');
  await told(before + 1);
});
