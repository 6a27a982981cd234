/** Database files that are moved, deleted or replaced under a running node: nothing is answered as kept that is not. */

import { mkdirSync, readFileSync, renameSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import type { Database } from '../../../../runtime/contracts/database.ts';
import { openPool } from '../../../support/open-pool.ts';

const TABLE = { metadataTable: 'meta', key: 'level', levels: [['CREATE TABLE t (k TEXT PRIMARY KEY)']] };
const put = (key: string) => [{ sql: 'INSERT INTO t VALUES (?)', params: [key] }];
const keys = (database: Database) => database.read('SELECT k FROM t ORDER BY k').map((row) => row['k']);

function setUp(t: Test, wal = true) {
  const folder = t.testdir({ data: {} });
  const data = join(folder, 'data');
  const ended: Error[] = [];
  const open = () => openPool(data, { onFatal: (error) => void ended.push(error) });
  return { folder, data, moved: join(folder, 'moved'), ended, open, wal };
}

for (const wal of [true, false]) {
  t.test(`a folder that is moved: refused, and taken when it is back (WAL: ${wal})`, async (t) => {
    const { data, moved, ended, open } = setUp(t);
    const pool = open();
    const database = await pool.open({ path: join(data, 'system.db'), wal, migrations: [TABLE] });
    await database.write(put('before'));
    renameSync(data, moved);
    await t.rejects(database.write(put('lost')), {
      code: 'SKERRY_FILE_AWAY',
      message: /cannot reach database file .*system.db.* its disk was unmounted or its folder was moved/,
    });
    t.same(keys(database), ['before'], 'it was not even written');
    await t.rejects(pool.open({ path: join(data, 'system.db'), migrations: [{ ...TABLE, key: 'other' }] }), {
      code: 'SKERRY_FILE_AWAY',
    });
    renameSync(moved, data);
    await database.write(put('after'));
    t.same(keys(database), ['after', 'before']);
    t.same(ended, []);
    await pool.close();
    const again = open();
    t.same(keys(await again.open({ path: join(data, 'system.db'), wal })), ['after', 'before']);
    await again.close();
  });
}

t.test(
  "the node's own file deleted or replaced: the node ends, for its memory is of the old one",
  async (t) => {
    const cases: Record<string, (data: string, moved: string) => void> = {
      deleted: (data) => rmSync(data, { recursive: true }),
      'another folder in its place': (data, moved) => {
        renameSync(data, moved);
        mkdirSync(data);
      },
      'only the log deleted': (data) => rmSync(join(data, 'system.db-wal')),
    };
    for (const [name, change] of Object.entries(cases)) {
      await t.test(name, async (t) => {
        const { data, moved, ended, open } = setUp(t);
        const pool = open();
        const database = await pool.system([TABLE]);
        await database.write(put('before'));
        change(data, moved);
        const expected = name.startsWith('another') ? 'SKERRY_FILE_AWAY' : 'SKERRY_FILE_REPLACED';
        await t.rejects(database.write(put('lost')), { code: expected });
        if (name.startsWith('another')) {
          t.same(ended, [], 'an empty folder may be where a disk will be mounted again');
          const other = open();
          await (await other.system([TABLE])).write(put('other'));
          await t.rejects(database.write(put('lost')), { code: 'SKERRY_FILE_REPLACED' });
          await other.close();
        }
        t.ok(ended.length > 0);
        if (name.startsWith('only')) {
          const file = readFileSync(join(data, 'system.db'));
          t.ok(file.includes('before'), 'what was in the log is in the file');
        }
        await pool.close();
      });
    }
  },
);

t.test('a file of a component deleted or replaced is opened anew, with its tables', async (t) => {
  const { folder, data, ended, open } = setUp(t);
  const path = join(folder, 'of-component.db');
  const pool = open();
  const database = await pool.open({ path, migrations: [TABLE] });
  await database.write(put('before'));
  for (const suffix of ['', '-wal', '-shm']) rmSync(path + suffix);
  await t.rejects(database.write(put('lost')), { code: 'SKERRY_FILE_REPLACED' });
  await database.write(put('after'));
  t.same(keys(database), ['after']);
  t.ok(statSync(path).size > 0);
  t.same(ended, [], `the node in ${data} goes on`);
  await pool.close();
});
