/** What is left of a damaged file: rows of whole pages, names of lost rows from the indexes, the ledger in balance. */

import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import t, { type Test } from 'tap';
import { openChecked } from '../../../../edge-components/drivers/sqlite/open-checked.ts';
import { PAGE_SIZE } from '../../../../edge-components/drivers/sqlite/page-size.ts';
import type { SalvageReport } from '../../../../edge-components/drivers/sqlite/salvage.ts';
import { SPOOL_MIGRATION } from '../../../../edge-components/drivers/sqlite/spool-schema.ts';
import type { WriteConnection } from '../../../../edge-components/drivers/sqlite/write-connection.ts';

const PAGE = PAGE_SIZE;
const ROWS = 2000;
const USERS = {
  metadataTable: 'meta',
  key: 'users',
  levels: [['CREATE TABLE reading (key TEXT NOT NULL PRIMARY KEY, value TEXT NOT NULL)']],
};

function open(path: string): { readonly connection: WriteConnection; readonly report?: SalvageReport } {
  return openChecked({ path, wal: true, busyTimeoutMs: 100, own: true });
}

/** A file with readings and a queue of messages; the pages of the table `reading`. */
function filled(t: Test): { readonly path: string; readonly pages: number[]; readonly root: number } {
  const path = join(t.testdir(), 'node.db');
  const { connection } = open(path);
  connection.migrate([USERS, SPOOL_MIGRATION]);
  const readings = Array.from({ length: ROWS }, (_, n) => [
    { sql: 'INSERT INTO reading VALUES (?, ?)', params: [`k${n}`, 'v'.repeat(100)] },
  ]);
  connection.apply(readings);
  connection.apply([
    [{ sql: "INSERT INTO skerry_spool_queue (id, name, accepted, pending) VALUES (1, 'app/q', 300, 300)" }],
    ...Array.from({ length: 300 }, (_, n) => [
      {
        sql: `INSERT INTO skerry_spool_message (sequence, queue, key, priority, bytes, id, accepted_at, record)
          VALUES (?, 1, 'k', 4, 10, ?, 0, x'00')`,
        params: [n + 1, `id-${n}`],
      },
    ]),
  ]);
  connection.close();
  const database = new Database(path);
  const sql = "SELECT pageno FROM dbstat WHERE name = ? AND pagetype = 'leaf' ORDER BY pageno";
  const pages = (database.prepare(sql).all('reading') as { pageno: number }[]).map(({ pageno }) => pageno);
  const root = database
    .prepare("SELECT rootpage AS page FROM sqlite_master WHERE name = 'reading'")
    .get() as {
    page: number;
  };
  database.close();
  return { path, pages, root: root.page };
}

function zero(path: string, pages: readonly number[]): void {
  const bytes = readFileSync(path);
  for (const page of pages) bytes.fill(0, (page - 1) * PAGE, page * PAGE);
  writeFileSync(path, bytes);
}

const count = (connection: WriteConnection, table: string): number =>
  Number(connection.read(`SELECT count(*) AS n FROM ${table}`, [])[0]?.['n']);

t.test('two pages of a table are zeroed', async (t) => {
  const { path, pages } = filled(t);
  zero(path, [pages[3] ?? 0, pages[10] ?? 0]);
  const { connection, report } = open(path);
  const loss = report?.tables.find(({ name }) => name === 'reading');
  const kept = count(connection, 'reading');
  t.ok(kept > ROWS - 100 && kept < ROWS, `${kept} rows`);
  t.equal(loss?.kept, kept);
  t.equal(loss?.lost.length, ROWS - kept, 'every lost row is named');
  t.match(loss?.lost[0], { key: /^k\d+$/ });
  t.equal(count(connection, 'skerry_spool_message'), 300, 'the rest is whole');
  t.match(readdirSync(report?.setAside ?? ''), ['node.db', 'report.json']);
  connection.migrate([USERS, SPOOL_MIGRATION]);
  connection.close();
  const again = open(path);
  t.equal(again.report, undefined, 'and good from then on');
  again.connection.close();
});

t.test('the root of a table is lost: its leaves are found', async (t) => {
  const { path, root } = filled(t);
  zero(path, [root]);
  const { connection, report } = open(path);
  t.equal(count(connection, 'reading'), ROWS);
  t.ok(report);
  connection.close();
});

t.test('the first page is lost: the copy of the schema stands in', async (t) => {
  const { path } = filled(t);
  zero(path, [1]);
  const { connection, report } = open(path);
  t.match(report?.reason, /does not begin like a database/);
  t.equal(count(connection, 'reading'), ROWS);
  connection.migrate([USERS, SPOOL_MIGRATION]);
  connection.close();
});

t.test('lost messages are in the ledger', async (t) => {
  const { path } = filled(t);
  const database = new Database(path);
  const page = database
    .prepare("SELECT pageno FROM dbstat WHERE name = 'skerry_spool_message' AND pagetype = 'leaf' LIMIT 1")
    .get() as { pageno: number };
  database.close();
  zero(path, [page.pageno]);
  const { connection, report } = open(path);
  connection.migrate([USERS, SPOOL_MIGRATION]);
  const [queue] = connection.read('SELECT * FROM skerry_spool_queue', []);
  const pending = count(connection, 'skerry_spool_message');
  t.match(queue, { accepted: 300, pending, damaged: 300 - pending, pendingBytes: pending * 10 });
  const loss = report?.tables.find(({ name }) => name === 'skerry_spool_message');
  t.equal(loss?.lost.length, 300 - pending);
  t.match(loss?.lost[0], { sequence: Number, key: 'k' });
  connection.close();
});

t.test(
  'the level is lost while the tables are whole: what an upgrade did to the rows is not done again',
  async (t) => {
    const path = join(t.testdir(), 'node.db');
    const upgraded = {
      metadataTable: 'meta',
      key: 'users',
      levels: [
        ...USERS.levels,
        [
          'ALTER TABLE reading ADD COLUMN unit TEXT',
          "UPDATE reading SET value = ''",
          'CREATE TABLE clock (id INTEGER PRIMARY KEY, elapsed INTEGER NOT NULL)',
          'INSERT INTO clock VALUES (1, 0)',
        ],
      ],
    };
    const { connection: first } = open(path);
    first.migrate([upgraded]);
    first.apply([
      [{ sql: "INSERT INTO reading VALUES ('k', 'warm', 'C')" }, { sql: 'UPDATE clock SET elapsed = 7' }],
    ]);
    first.close();
    const database = new Database(path);
    const page = database.prepare("SELECT rootpage AS page FROM sqlite_master WHERE name = 'meta'").get();
    database.close();
    zero(path, [(page as { page: number }).page]);
    const { connection, report } = open(path);
    t.ok(report);
    connection.migrate([upgraded]);
    t.same(connection.read('SELECT value, unit FROM reading', []), [{ value: 'warm', unit: 'C' }]);
    t.same(connection.read('SELECT * FROM clock', []), [{ id: 1, elapsed: 7 }]);
    connection.close();
    const again = open(path);
    t.equal(again.report, undefined);
    t.same(again.connection.read("SELECT value FROM meta WHERE key = 'users'", []), [{ value: '2' }]);
    again.connection.close();
  },
);

for (const level of ['0', 'r', '']) {
  t.test(`one wrong bit: the level reads '${level}'`, async (t) => {
    const { path } = filled(t);
    const database = new Database(path);
    database.prepare("UPDATE meta SET value = ? WHERE key = 'users'").run(level);
    database.close();
    const { connection } = open(path);
    connection.migrate([USERS, SPOOL_MIGRATION]);
    t.equal(count(connection, 'reading'), ROWS);
    t.same(connection.read("SELECT value FROM meta WHERE key = 'users'", []), [{ value: '1' }]);
    connection.close();
  });
}

t.test('the file is gone, and a copy that was finished but not in place', async (t) => {
  const { path } = filled(t);
  rmSync(path);
  const gone = open(path);
  t.match(gone.report?.reason, /empty or gone/);
  gone.connection.close();
  writeFileSync(`${path}.salvaged`, readFileSync(path));
  writeFileSync(path, 'half exchanged');
  const finished = open(path);
  t.equal(finished.report, undefined);
  t.notOk(readdirSync(join(path, '..')).includes('node.db.salvaged'));
  finished.connection.close();
});

t.test('a wrong bit in the header or in a definition', async (t) => {
  const { path } = filled(t);
  const whole = readFileSync(path);
  const copy = readFileSync(`${path}.schema`);
  const definition = whole.indexOf('accepted_at INTEGER NOT NULL, deadline');
  // The format's versions, which SQLite takes for a file it may not write or read; the name of a column.
  for (const bit of [18 * 8, 18 * 8 + 5, 19 * 8 + 2, 47 * 8, definition * 8]) {
    const bytes = Buffer.from(whole);
    bytes[bit >> 3] = (bytes[bit >> 3] as number) ^ (1 << (bit & 7));
    for (const suffix of ['-wal', '-shm']) rmSync(path + suffix, { force: true });
    writeFileSync(path, bytes);
    writeFileSync(`${path}.schema`, copy);
    const { connection, report } = open(path);
    connection.migrate([USERS, SPOOL_MIGRATION]);
    t.equal(count(connection, 'reading'), ROWS, `bit ${bit}: ${report?.reason}`);
    t.equal(connection.read('SELECT accepted_at, deadline FROM skerry_spool_message', []).length, 300);
    t.same(connection.apply([[{ sql: "INSERT INTO reading VALUES ('new', 'v')" }]]), [[1]]);
    connection.close();
  }
});

t.test('a damaged copy of the schema is not believed', async (t) => {
  const { path } = filled(t);
  const copy = readFileSync(`${path}.schema`, 'utf8');
  writeFileSync(`${path}.schema`, copy.replace('accepted_at', 'accepted_it'));
  const { connection, report } = open(path);
  t.equal(report, undefined);
  connection.migrate([USERS, SPOOL_MIGRATION]);
  connection.close();
  t.equal(readFileSync(`${path}.schema`, 'utf8'), copy, 'and it is written anew');
});

t.test('the first page of the write-ahead log is zeroed', async (t) => {
  const path = join(t.testdir(), 'node.db');
  const { connection } = open(path);
  connection.migrate([USERS]);
  for (let n = 0; n < 20; n += 1)
    connection.apply([[{ sql: 'INSERT INTO reading VALUES (?, ?)', params: [`k${n}`, 'v'.repeat(2000)] }]]);
  const [file, log] = [readFileSync(path), readFileSync(`${path}-wal`)];
  connection.close();
  log.fill(0, 0, PAGE);
  writeFileSync(path, file);
  writeFileSync(`${path}-wal`, log);
  const again = open(path);
  t.match(again.report?.reason, /frames of the write-ahead log are damaged/);
  t.ok(count(again.connection, 'reading') > 0, 'what lies behind it is read');
  again.connection.close();
});
