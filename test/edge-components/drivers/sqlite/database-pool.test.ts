/** The database pool: group commit, refusals, migrations, files and their faults. */

import { chmodSync, existsSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { type Database, DatabaseError, StepRefused } from '../../../../runtime/contracts/database.ts';
import { systemClock } from '../../../../runtime/platform/system-clock.ts';
import { openPool } from '../../../support/open-pool.ts';

const TABLE = { metadataTable: 'meta', key: 'level', levels: [['CREATE TABLE t (k TEXT PRIMARY KEY, v)']] };
const put = (key: string, value: string | number) => ({
  sql: 'INSERT INTO t VALUES (?, ?)',
  params: [key, value],
});
const keys = (database: Database) => database.read('SELECT k FROM t ORDER BY k').map((row) => row['k']);

t.test('a write is visible to reads once it resolved, and durable after the file is closed', async (t) => {
  const directory = t.testdir();
  const path = join(directory, 'a.db');
  const pool = openPool(directory);
  const database = await pool.open({ path, migrations: [TABLE] });
  const [result] = await database.write([
    { ...put('a', 1), sql: 'INSERT INTO t VALUES (?, ?) RETURNING k', fetch: 'all' },
  ]);
  t.same(result, { changes: 1, rows: [{ k: 'a' }] });
  t.same(keys(database), ['a']);
  t.equal(statSync(path).mode & 0o777, 0o600, 'only the owner may read the file');
  t.equal(statSync(`${path}-wal`).mode & 0o777, 0o600, 'nor its journal');
  await pool.close();
  t.notOk(existsSync(`${path}-wal`), 'closing folds the journal into the file');
  const again = openPool(directory);
  t.same(keys(await again.open({ path })), ['a']);
  await again.close();
});

t.test(
  'writes of one turn share a commit, and a refused or failing one takes nothing else along',
  async (t) => {
    const directory = t.testdir();
    const pool = openPool(directory);
    const database = await pool.open({ path: join(directory, 'a.db'), migrations: [TABLE] });
    await database.write([put('taken', 0)]);
    const before = Number(database.read('PRAGMA data_version')[0]?.['data_version']);
    const results = await Promise.allSettled([
      database.write([put('a', 1)]),
      database.write([put('half', 1), put('taken', 2)]),
      database.write([
        put('undone', 1),
        { sql: 'DELETE FROM t WHERE k = ?', params: ['nobody'], atLeast: 1 },
      ]),
      database.write([{ sql: 'UPDATE t SET v = 9 WHERE k = ?', params: ['taken'], atLeast: 2 }]),
      database.write([put('b', 2)]),
    ]);
    t.same(
      results.map(({ status }) => status),
      ['fulfilled', 'rejected', 'rejected', 'rejected', 'fulfilled'],
    );
    const reason = (index: number) => (results[index] as PromiseRejectedResult).reason;
    t.type(reason(1), DatabaseError);
    t.equal(reason(1).code, 'SQLITE_CONSTRAINT_PRIMARYKEY');
    t.match(reason(1).message, 'a.db');
    t.type(reason(2), StepRefused);
    t.equal(reason(2).stepIndex, 1);
    t.same(database.read('SELECT k, v FROM t ORDER BY k'), [
      { k: 'a', v: 1 },
      { k: 'b', v: 2 },
      { k: 'taken', v: 0 },
    ]);
    t.equal(
      Number(database.read('PRAGMA data_version')[0]?.['data_version']),
      before + 1,
      'one commit for all five',
    );
    await pool.close();
  },
);

t.test('bytes cross as they are, also from a view into a larger buffer', async (t) => {
  const directory = t.testdir();
  const pool = openPool(directory);
  const database = await pool.open({ path: join(directory, 'a.db'), migrations: [TABLE] });
  const view = new Uint8Array(Buffer.from('xxhelloxx')).subarray(2, 7);
  await database.write([{ sql: 'INSERT INTO t VALUES (?, ?)', params: ['b', view] }]);
  t.equal(Buffer.from(database.read('SELECT v FROM t')[0]?.['v'] as Uint8Array).toString(), 'hello');
  await pool.close();
});

t.test('a file is opened once however many use it, and closes with the last', async (t) => {
  const directory = t.testdir();
  const pool = openPool(directory);
  const path = join(directory, 'a.db');
  const [first, second] = await Promise.all([
    pool.open({ path, migrations: [TABLE] }),
    pool.open({ path: join(directory, '.', 'a.db') }),
  ]);
  await first?.write([put('a', 1)]);
  t.same(keys(second as Database), ['a']);
  await first?.close();
  await first?.close();
  t.throws(() => first?.read('SELECT 1'), { code: 'SKERRY_CLOSED' });
  await t.rejects(first?.write([put('b', 1)]) as Promise<unknown>, { code: 'SKERRY_CLOSED' });
  await second?.write([put('b', 1)]);
  const pending = second?.write([put('c', 1)]);
  await second?.close();
  await t.resolves(pending as Promise<unknown>, 'a write given before close is still done');
  t.same(keys(await pool.open({ path })), ['a', 'b', 'c'], 'and it may be opened again');
  await pool.close();
  await t.rejects(pool.open({ path }), { code: 'SKERRY_CLOSED' });
});

t.test('migrations run once per level, for every user of the file', async (t) => {
  const directory = t.testdir();
  const pool = openPool(directory);
  const path = join(directory, 'a.db');
  const old = await pool.open({ path, migrations: [TABLE] });
  await old.write([put('a', 1)]);
  const newer = { ...TABLE, levels: [...TABLE.levels, ['ALTER TABLE t ADD COLUMN w DEFAULT 7']] };
  const database = await pool.open({
    path,
    migrations: [newer, { ...TABLE, key: 'other', levels: [['CREATE TABLE o (x)']] }],
  });
  t.same(database.read('SELECT w FROM t'), [{ w: 7 }]);
  t.same(database.read('SELECT key, value FROM meta ORDER BY key'), [
    { key: 'level', value: '2' },
    { key: 'other', value: '1' },
  ]);
  const failing = { ...TABLE, key: 'third', levels: [['CREATE TABLE p (x)', 'CREATE TABLE o (x)']] };
  await t.rejects(pool.open({ path, migrations: [failing] }), {
    name: 'DatabaseError',
    message: /table o already exists/,
  });
  t.same(
    database.read("SELECT 1 FROM sqlite_master WHERE name = 'p'"),
    [],
    'nothing of a failed migration stays',
  );
  await database.write([{ sql: "UPDATE meta SET value = 'x' WHERE key = 'level'" }]);
  await t.rejects(pool.open({ path, migrations: [newer] }), /invalid migration level 'x'/);
  await pool.close();
});

t.test('faults of the file name it', async (t) => {
  const directory = t.testdir({
    'text.db': 'this is not a database, but it is long enough to look at'.repeat(20),
  });
  const pool = openPool(directory);
  const missing = join(directory, 'no', 'such.db');
  await t.rejects(pool.open({ path: missing }), {
    name: 'DatabaseError',
    message: `cannot open database file '${missing}': open ${missing}: no such file or directory`,
  });
  const text = join(directory, 'text.db');
  await t.rejects(pool.open({ path: text }), {
    name: 'DatabaseError',
    code: 'SQLITE_NOTADB',
    message: /^corrupt database file '.*text\.db'/,
  });
  t.ok(existsSync(text), 'a corrupt file is left alone');
  await t.rejects(pool.open({ path: text }), { code: 'SQLITE_NOTADB' }, 'also the second time');
  if (process.getuid?.() !== 0) {
    const locked = join(directory, 'locked.db');
    writeFileSync(locked, '');
    chmodSync(locked, 0o400);
    await t.rejects(pool.open({ path: locked }), {
      code: /SQLITE_READONLY/,
      message: /cannot write database file/,
    });
  }
  await pool.close();
});

t.test('read-only and in-memory databases', async (t) => {
  const directory = t.testdir();
  const pool = openPool(directory);
  const path = join(directory, 'a.db');
  const writer = await pool.open({ path, migrations: [TABLE] });
  await writer.write([put('a', 1)]);
  const reader = await pool.open({ path, readOnly: true });
  t.same(keys(reader), ['a']);
  await t.rejects(reader.write([put('b', 1)]), { code: 'SQLITE_READONLY' });
  await reader.close();
  const one = await pool.open({ path: ':memory:', migrations: [TABLE] });
  const two = await pool.open({ path: ':memory:', migrations: [TABLE] });
  await one.write([put('m', 1)]);
  await t.rejects(one.write([put('n', 1), put('m', 1)]), DatabaseError);
  await t.rejects(one.write([{ sql: 'DELETE FROM t WHERE k = ?', params: ['x'], atLeast: 1 }]), StepRefused);
  t.same([keys(one), keys(two)], [['m'], []], 'each is private');
  await Promise.all([one.close(), two.close()]);
  await pool.close();
});

t.test('two pools, as two processes, create and write one file', async (t) => {
  const directory = t.testdir();
  const path = join(directory, 'a.db');
  const pools = [
    openPool(directory, { clock: systemClock() }),
    openPool(directory, { clock: systemClock() }),
  ];
  const databases = await Promise.all(pools.map((pool) => pool.open({ path, migrations: [TABLE] })));
  await Promise.all(
    databases.flatMap((database, at) =>
      Array.from({ length: 50 }, (_, n) => database.write([put(`${at}-${n}`, n)])),
    ),
  );
  t.equal(keys(databases[0] as Database).length, 100);
  await Promise.all(pools.map((pool) => pool.close()));
});

t.test('the death of the writer thread fails everything that waits and is told once', async (t) => {
  const directory = t.testdir({
    'dying.mjs':
      "import { parentPort } from 'node:worker_threads'; parentPort.once('message', () => { throw new Error('boom') });",
  });
  const told: Error[] = [];
  const pool = openPool(directory, {
    workerEntry: new URL(`file://${directory}/dying.mjs`),
    onFatal: (error) => told.push(error),
  });
  await t.rejects(pool.open({ path: join(directory, 'a.db') }), {
    code: 'SKERRY_WRITER_GONE',
    message: /boom/,
  });
  await t.rejects(pool.system(), { code: 'SKERRY_WRITER_GONE' });
  t.equal(told.length, 1);
  await pool.close();
});
