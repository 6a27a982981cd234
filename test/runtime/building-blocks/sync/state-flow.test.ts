/**
 * State flows between a real `state.sqlite` and a store in memory that loses answers, refuses, and is written by others
 * at the wrong moment.
 */

import { join } from 'node:path';
import t from 'tap';
import { until } from '../../../integration/support/until.ts';
import { seededRandom } from '../../../support/seeded-random.ts';
import { cloudWrites, type Edge, edge, farStore, inCloud } from '../../../support/sync-rig.ts';

const statusOf = async ({ sync }: Edge) => {
  const [flow] = await sync.status();
  if (flow === undefined) throw new Error('there is no flow');
  return flow;
};
const conflictsOf = ({ published }: Edge) =>
  published.map(({ data }) => JSON.parse(Buffer.from(data).toString()) as { data: Record<string, unknown> });
const becomes = (what: string, ask: () => Promise<boolean>) => until(what, ask, 5000);

t.test('a batch whose answer was lost is not applied again', async (t) => {
  const far = farStore();
  const one = await edge(t.testdir(), far, { direction: 'both' });
  far.lose = 1;
  await one.put('k', 1);
  await becomes('the batch to arrive', async () => far.applied === 1);
  // Whoever read the value over there may go on with it: a repeat would undo that.
  await cloudWrites(far, 'k', 2);
  await becomes('the cloud’s next value', async () => (await one.get('k')) === 2);
  t.equal(await inCloud(far, 'k'), 2);
  t.equal(far.applied, 1);
  t.same(one.published, [], 'no conflict: what arrived was ours');
  await one.close();
});

t.test('a power cut after the batch went over', async (t) => {
  const directory = t.testdir();
  const far = farStore();
  const before = await edge(directory, far, { direction: 'up' });
  far.lose = 1;
  far.before = async () => undefined;
  await before.put('k', 1);
  await becomes('the batch to arrive', async () => far.applied === 1);
  await before.close();
  await cloudWrites(far, 'k', 2);
  const after = await edge(directory, far, { direction: 'up' });
  await becomes('nothing to be left', async () => (await statusOf(after)).lag.messages === 0);
  t.equal(await inCloud(far, 'k'), 2, 'the value from before was not sent again');
  t.equal(far.applied, 1);
  await after.close();
});

t.test('changes made while nobody was there go over together, the last of each key', async (t) => {
  const far = farStore();
  const one = await edge(t.testdir(), far, { keys: [], prefixes: [{ local: 'a-', remote: 'b-' }] });
  far.down = true;
  for (let at = 0; at < 50; at += 1) await one.put(`a-${at % 10}`, at);
  await one.put('other', 1);
  await becomes('the link to be seen as down', async () => (await statusOf(one)).link === 'down');
  const { lag, reason } = await statusOf(one);
  t.equal(lag.messages, 10);
  t.ok(lag.bytes > 0);
  t.match(reason, /nobody there/);
  far.down = false;
  await becomes('all to be there', async () => (await inCloud(far, 'b-9')) === 49);
  t.equal(await inCloud(far, 'b-0'), 40);
  t.equal(await inCloud(far, 'a-0'), undefined);
  t.equal(far.applied, 1, 'one batch');
  await one.close();
});

t.test('a key that is refused is set aside, and the rest goes on', async (t) => {
  const far = farStore();
  const one = await edge(t.testdir(), far, { keys: [], prefixes: [{ local: '', remote: '' }] });
  far.down = true;
  await Promise.all([one.put('good', 1), one.put('bad', 'too large'), one.put('fine', 3)]);
  far.refuse = (operations) =>
    operations.some(({ key }) => key === 'app||bad') ? 'the value is too large' : undefined;
  far.down = false;
  await becomes(
    'the good ones',
    async () => (await inCloud(far, 'good')) === 1 && (await inCloud(far, 'fine')) === 3,
  );
  await becomes('the bad one to be set aside', async () => (await statusOf(one)).refused === 1);
  t.equal((await statusOf(one)).link, 'up');
  await one.put('good', 2);
  await becomes('further changes', async () => (await inCloud(far, 'good')) === 2);
  far.refuse = () => undefined;
  t.equal(one.sync.retry('s/flow'), 1);
  await becomes('the bad one after all', async () => (await inCloud(far, 'bad')) === 'too large');
  await becomes('nothing to be refused', async () => (await statusOf(one)).refused === 0);
  t.equal(one.sync.retry('s/none'), 0);
  await one.close();
});

t.test('an error that repeats parks the flow, and nothing is lost', async (t) => {
  const far = farStore();
  const one = await edge(t.testdir(), far, {});
  far.refuse = () => 'state store cloudstore is not found';
  await one.put('k', 1);
  await becomes('the flow to be parked', async () => (await statusOf(one)).link === 'parked');
  t.match((await statusOf(one)).reason, /not found/);
  t.equal((await statusOf(one)).lag.messages, 1);
  far.refuse = () => undefined;
  one.sync.retry(undefined);
  await becomes('the value', async () => (await inCloud(far, 'k')) === 1);
  t.equal((await statusOf(one)).link, 'up');
  await one.close();
});

t.test('a cloud app that writes at the wrong moment is not overwritten unseen', async (t) => {
  const far = farStore();
  const one = await edge(t.testdir(), far, { direction: 'both', conflict: 'edge-wins' });
  let raced = false;
  far.before = async () => {
    if (raced) return;
    raced = true;
    await cloudWrites(far, 'k', 'cloud');
  };
  await one.put('k', 'edge');
  await becomes('the edge’s value', async () => (await inCloud(far, 'k')) === 'edge');
  await becomes('the report', async () => one.published.length === 1);
  t.match(conflictsOf(one)[0]?.data, { key: 'k', rule: 'edge-wins', kept: 'local', remote: 'cloud' });
  t.equal(one.counted.get('sync_conflicts_total'), 1);
  await one.close();
});

t.test('ask: nothing is decided before somebody answers', async (t) => {
  const far = farStore();
  const one = await edge(t.testdir(), far, { direction: 'both', conflict: 'ask' });
  await one.put('k', 'same');
  await becomes('the first value', async () => (await inCloud(far, 'k')) === 'same');
  far.down = true;
  await one.put('k', 'edge');
  await cloudWrites(far, 'k', 'cloud');
  far.down = false;
  await becomes('the question', async () => one.published.length === 1);
  t.match(conflictsOf(one)[0]?.data, { kept: 'both', local: 'edge', remote: 'cloud' });
  t.same([await one.get('k'), await inCloud(far, 'k')], ['edge', 'cloud']);
  await one.put('k', 'answer');
  await becomes('the answer', async () => (await inCloud(far, 'k')) === 'answer');
  t.equal(one.published.length, 1, 'asked once');
  await one.close();
});

t.test('several nodes follow each other through a journal, prefixes included', async (t) => {
  const far = farStore();
  const shared = {
    direction: 'both',
    journal: 'plant',
    keys: [],
    prefixes: [{ local: 'x-', remote: 'x-' }],
  } as const;
  const directory = t.testdir({ a: {}, b: {} });
  const a = await edge(join(directory, 'a'), far, shared);
  const b = await edge(join(directory, 'b'), far, shared);
  await Promise.all([a.put('x-1', 'a'), b.put('x-2', 'b'), a.put('x-3', 'a'), b.put('x-4', 'b')]);
  const equal = async (key: string, value: unknown): Promise<boolean> =>
    (await a.get(key)) === value && (await b.get(key)) === value && (await inCloud(far, key)) === value;
  for (const [key, value] of [
    ['x-1', 'a'],
    ['x-2', 'b'],
    ['x-3', 'a'],
    ['x-4', 'b'],
  ] as const)
    await becomes(`${key} on all sides`, () => equal(key, value));
  await b.remove('x-1');
  await becomes('the deletion', () => equal('x-1', undefined));
  far.down = true;
  await a.put('x-2', 'first');
  await b.put('x-2', 'second');
  far.down = false;
  await becomes('the later write everywhere', () => equal('x-2', 'second'));
  t.equal(a.published.length + b.published.length, 1, 'one of them saw the conflict');
  await a.close();
  await b.close();
});

t.test('down only: the cloud’s value comes, and comes again over what was written here', async (t) => {
  const far = farStore();
  const one = await edge(t.testdir(), far, { direction: 'down' });
  await cloudWrites(far, 'k', 1);
  await becomes('the value', async () => (await one.get('k')) === 1);
  await one.put('k', 'mine');
  await cloudWrites(far, 'k', 2);
  await becomes('the next value', async () => (await one.get('k')) === 2);
  await becomes('the report', async () => one.published.length === 1);
  t.match(conflictsOf(one)[0]?.data, { kept: 'remote', local: 'mine' });
  t.equal(far.applied, 0, 'nothing goes up');
  await one.close();
});

t.test('what a filter does not let through stays', async (t) => {
  const far = farStore();
  const one = await edge(t.testdir(), far, {
    keys: [],
    prefixes: [{ local: 'a-', remote: 'a-' }],
    filter: 'event.data.c > 20',
  });
  await one.put('a-cold', { c: 3 });
  await one.put('a-odd', 'no object');
  await one.put('a-warm', { c: 21 });
  await becomes('the warm one', async () => (await inCloud(far, 'a-warm')) !== undefined);
  t.equal(await inCloud(far, 'a-cold'), undefined);
  t.equal(await inCloud(far, 'a-odd'), undefined);
  await becomes('it done', async () => (await statusOf(one)).lag.messages === 0);
  await one.close();
});

t.test('who finds the other side there again tells the flows beside it', async (t) => {
  const far = farStore();
  // Pauses that nobody sits out.
  const random = { ...seededRandom(1), float: () => 1e6 };
  const beside = { name: 'beside', keys: [{ local: 'j', remote: 'j' }] };
  const one = await edge(t.testdir(), far, {}, [beside], random);
  far.down = true;
  await one.put('k', 1);
  await one.put('j', 2);
  await becomes('both to be down', async () =>
    (await one.sync.status()).every(({ link }) => link === 'down'),
  );
  far.down = false;
  one.sync.retry('s/flow');
  await becomes('what the other one had', async () => (await inCloud(far, 'j')) === 2);
  await one.close();
});

t.test('what was spent of a budget stays spent', async (t) => {
  const directory = t.testdir();
  const far = farStore();
  const spec = { maxBytesPerHour: 300 };
  const before = await edge(directory, far, spec);
  await before.put('k', 'x'.repeat(290));
  await becomes('the first value', async () => far.applied === 1);
  await before.close();
  const after = await edge(directory, far, spec);
  await after.put('k', 'y');
  await becomes('the flow to rest', async () => (await statusOf(after)).link === 'quiet');
  t.match(await statusOf(after), { reason: 'the bytes of this hour are spent', lag: { messages: 1 } });
  t.equal(far.applied, 1);
  await after.close();
});
