/** What may wait for others to share its commit: lingering writes, departures of a queue; and what small pages need. */

import { statSync } from 'node:fs';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import t from 'tap';
import type { SpoolOptions } from '../../../../runtime/contracts/spool.ts';
import { fakeClock } from '../../../support/fake-clock.ts';
import { openPool, openSpools, until } from '../../../support/open-pool.ts';

const TABLE = {
  metadataTable: 'meta',
  key: 'users',
  levels: [['CREATE TABLE reading (key TEXT PRIMARY KEY)']],
};
const insert = (key: string) => [{ sql: 'INSERT INTO reading VALUES (?)', params: [key] }];

/** Turns of the event loop in which the writer would have answered. */
async function turns(): Promise<void> {
  for (let turn = 0; turn < 300; turn += 1) await new Promise(setImmediate);
}

t.test('a lingering write waits its time, or goes with one that may not wait', async (t) => {
  const clock = fakeClock();
  const databases = openPool(t.testdir(), { clock });
  const database = await databases.system([TABLE]);
  const done: string[] = [];
  const write = (key: string, lingerMs?: number) =>
    database.write(insert(key), lingerMs).then(() => done.push(key));

  const first = write('a', 50);
  const second = write('b', 20);
  await clock.advance(19);
  await turns();
  t.same(done, []);
  t.same(database.read('SELECT key FROM reading'), [], 'it did not leave this thread');
  await clock.advance(1);
  await Promise.all([first, second]);
  t.same(done, ['a', 'b'], 'the least patient one decides, the order is kept');

  const third = write('c', 50);
  await write('d');
  await third;
  t.same(done, ['a', 'b', 'c', 'd'], 'no timer was needed');

  const group = Array.from({ length: 600 }, (_, n) => write(`g${n}`, 50));
  await Promise.all(group.slice(0, 512));
  t.pass('a full group does not wait');
  await clock.advance(50);
  await Promise.all(group);

  const last = write('z', 1000);
  await database.close();
  await last;
  await databases.close();
  t.equal(clock.pending, 0, 'no timer is left');
});

t.test('a refused write that lingered takes nothing along', async (t) => {
  const clock = fakeClock();
  const databases = openPool(t.testdir(), { clock });
  const database = await databases.system([TABLE]);
  await database.write(insert('a'));
  const twice = t.rejects(database.write(insert('a'), 10), { name: 'DatabaseError' });
  const other = database.write(insert('b'), 10);
  await clock.advance(10);
  await Promise.all([twice, other]);
  t.equal(database.read('SELECT key FROM reading').length, 2);
  await database.close();
  await databases.close();
});

const QUEUE: SpoolOptions = {
  name: 'q',
  maxMessages: 1000,
  maxBytes: 1e6,
  whenFull: 'reject',
  ttlMs: 0,
};

t.test('departures wait for the next arrival, for their time, or for somebody who looks', async (t) => {
  const directory = t.testdir();
  const clock = fakeClock();
  const databases = openPool(directory, { clock });
  const source = openSpools(databases, clock);
  const spool = await source.open(QUEUE);
  spool.drain(async () => 'delivered');
  const onDisk = new Database(join(directory, 'system.db'), { readonly: true });
  const rows = () => Number(onDisk.prepare('SELECT count(*) FROM skerry_spool_message').pluck().get());
  const delivered = () => Number(onDisk.prepare('SELECT delivered FROM skerry_spool_queue').pluck().get());
  const append = (text: string) =>
    spool.append({ key: '', priority: 4, payload: Buffer.from(text), headers: {} });

  await append('one');
  await until(() => spool.counts().delivered === 1);
  await turns();
  t.same([rows(), delivered()], [1, 0], 'no commit of its own; a power cut would deliver it again');
  await append('two');
  t.same([rows(), delivered()], [1, 1], 'the next arrival took it along');
  await until(() => spool.counts().delivered === 2);
  await clock.advance(1999);
  await turns();
  t.equal(rows(), 1);
  await clock.advance(1);
  await until(() => rows() === 0);
  t.equal(delivered(), 2);

  const id = await append('three');
  await until(() => spool.counts().delivered === 3);
  t.match(await source.desk?.find(id), { state: 'delivered' }, 'whoever looks sees what was decided');
  t.equal(rows(), 0);
  await append('four');
  await until(() => spool.counts().delivered === 4);
  await spool.close();
  t.same([rows(), delivered()], [0, 4], 'nothing waits past the end');
  onDisk.close();
  await databases.close();
});

t.test('a queue with linger answers when its time is over', async (t) => {
  const clock = fakeClock();
  const databases = openPool(t.testdir(), { clock });
  const source = openSpools(databases, clock);
  const spool = await source.open({ ...QUEUE, lingerMs: 50 });
  let answered = 0;
  const all = ['a', 'b'].map(async (text) => {
    await spool.append({ key: '', priority: 4, payload: Buffer.from(text), headers: {} });
    answered += 1;
  });
  await clock.advance(49);
  await turns();
  t.equal(answered, 0);
  await clock.advance(1);
  await Promise.all(all);
  t.match(spool.counts(), { accepted: 2, pending: 2 });
  await spool.close();
  await databases.close();
});

t.test('new files have small pages, older ones keep theirs', async (t) => {
  const directory = t.testdir();
  const path = join(directory, 'system.db');
  const older = new Database(path);
  older.pragma('page_size = 4096');
  older.exec('CREATE TABLE old (a)');
  older.close();
  for (const [file, size] of [
    [path, 4096],
    [join(directory, 'new.db'), 1024],
  ] as const) {
    const databases = openPool(directory);
    const database = await databases.open({ path: file, migrations: [TABLE] });
    await database.write(insert('a'));
    t.match(database.read('PRAGMA page_size'), [{ page_size: size }]);
    await database.close();
    await databases.close();
    t.equal(statSync(file).size % size, 0);
  }
});
