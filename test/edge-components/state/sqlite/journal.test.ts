/** The journal of `state.sqlite`: noted with the write, by whoever it is made; found later what was written without it. */

import { join } from 'node:path';
import Database from 'better-sqlite3';
import t from 'tap';
import { definition } from '../../../../edge-components/state/sqlite/component.ts';
import { decodeMetadata } from '../../../../runtime/contracts/metadata.ts';
import {
  EtagError,
  type JournalEntry,
  type StateJournal,
  type StateOperation,
  type StateStore,
} from '../../../../runtime/contracts/state-store.ts';
import { componentDeps } from '../../../support/component-deps.ts';
import { fakeClock } from '../../../support/fake-clock.ts';
import { openPool } from '../../../support/open-pool.ts';

const signal = new AbortController().signal;
const NO_OPTIONS = { concurrency: '', consistency: '' };
const databases = openPool(t.testdir());
t.teardown(() => databases.close());
let files = 0;

const upsert = (key: string, text: string, more: Partial<StateOperation> = {}): StateOperation => ({
  kind: 'upsert',
  key,
  value: { bytes: Buffer.from(text), json: true },
  options: NO_OPTIONS,
  metadata: {},
  ...(more as object),
});
const remove = (key: string): StateOperation => ({ kind: 'delete', key, options: NO_OPTIONS, metadata: {} });

async function store(path: string): Promise<StateStore> {
  const decoded = decodeMetadata(definition.metadata, { connectionString: path });
  if (!decoded.ok) throw new Error(decoded.faults.join('; '));
  const made: StateStore = definition.create(decoded.value, componentDeps({ clock: fakeClock(), databases }));
  await made.init(signal);
  return made;
}

function journalOf(made: StateStore, changed = (): void => undefined): Promise<StateJournal> {
  const opened = made.journal?.({ owner: 'o', keys: ['a||k'], prefixes: ['a||p-'], migrations: [], changed });
  if (opened === undefined) throw new Error('there is no journal');
  return opened;
}

const newFile = (): string => {
  files += 1;
  return join(t.testdirName, `${files}.db`);
};
const keysOf = (entries: readonly JournalEntry[]): readonly string[] => entries.map(({ key }) => key);

t.test('a change of a followed key is noted once, at its last change', async (t) => {
  const made = await store(newFile());
  let told = 0;
  const journal = await journalOf(made, () => {
    told += 1;
  });
  const write = (operation: StateOperation) =>
    operation.kind === 'upsert' ? made.set(operation, signal) : made.delete(operation, signal);
  await write(upsert('a||k', '1'));
  await write(upsert('a||p-1', '1'));
  await write(upsert('a||other', '1'));
  await write(upsert('a||k', '2'));
  await made.transact?.([upsert('a||p-2', '1'), remove('a||p-1')], {}, signal);
  const entries = journal.changes(0, 10);
  t.same(keysOf(entries), ['a||k', 'a||p-2', 'a||p-1']);
  t.ok(told >= 5, 'writes are told at once');
  const [k] = entries;
  t.same(keysOf(journal.changes(k?.sequence ?? 0, 10)), ['a||p-2', 'a||p-1']);
  t.same(keysOf(journal.changes(0, 1)), ['a||k']);
  t.ok(journal.now() > (entries.at(-1)?.sequence ?? 0));
  await t.rejects(
    made.transact?.([upsert('a||k', '3'), upsert('a||p-2', '2', { etag: 'stale' })], {}, signal) ??
      Promise.resolve(),
    EtagError,
  );
  t.same(journal.changes(0, 10), entries, 'a refused write is not noted');
  journal.close();
  await made.close();
});

t.test('what comes from elsewhere keeps its time, and the next write is later', async (t) => {
  const made = await store(newFile());
  const journal = await journalOf(made);
  const ahead = journal.now() + 1_000_000_000;
  await journal.apply([{ operation: upsert('a||k', '1'), stamp: ahead }], 'flow', []);
  t.match(journal.changes(0, 10), [{ key: 'a||k', stamp: ahead, origin: 'flow' }]);
  await made.set(upsert('a||k', '2') as never, signal);
  const [entry] = journal.find(['a||k']);
  t.ok((entry?.stamp ?? 0) > ahead, 'whatever the clock says');
  t.equal(entry?.origin, '');
  await t.rejects(
    journal.apply([{ operation: upsert('a||k', '9', { etag: 'stale' }), stamp: 1 }], 'flow', []),
    EtagError,
  );
  t.same(journal.find(['a||k']), [entry]);
  journal.close();
  await made.close();
});

t.test('what was written without the journal is found when it is opened', async (t) => {
  const path = newFile();
  const made = await store(path);
  await made.set(upsert('a||k', '1') as never, signal);
  await made.set(upsert('a||p-gone', '1') as never, signal);
  (await journalOf(made)).close();
  const other = new Database(path);
  other.exec(
    'DROP TRIGGER state_sync_update; DROP TRIGGER state_sync_delete; DROP TRIGGER state_sync_insert',
  );
  other.prepare("UPDATE state SET value = '2', etag = 'e2' WHERE key = 'a||k'").run();
  other.prepare("DELETE FROM state WHERE key = 'a||p-gone'").run();
  other.prepare("INSERT INTO state (key, value, is_binary, etag) VALUES ('a||p-new', '1', 0, 'e')").run();
  other.close();
  const before = 0;
  const journal = await journalOf(made);
  t.same([...keysOf(journal.changes(before, 10))].sort(), ['a||k', 'a||p-gone', 'a||p-new']);
  const sequences = journal.changes(0, 10).map(({ sequence }) => sequence);
  t.equal(new Set(sequences).size, 3, 'no two at the same place');
  journal.close();
  await made.close();
});

t.test('an expired row is no change', async (t) => {
  const path = newFile();
  const made = await store(path);
  const journal = await journalOf(made);
  await made.set(upsert('a||k', '1', { metadata: { ttlInSeconds: '100' } }) as never, signal);
  const before = journal.changes(0, 10);
  const other = new Database(path);
  other.exec("UPDATE state SET expiration_time = '2001-01-01 00:00:00'");
  const noted = journal.changes(0, 10);
  t.not(noted[0]?.sequence, before[0]?.sequence);
  other.exec('DELETE FROM state');
  other.close();
  t.same(journal.changes(0, 10), noted);
  journal.close();
  const again = await journalOf(made);
  t.same(again.changes(0, 10), noted, 'nor is it taken for one later');
  again.close();
  await made.close();
});
