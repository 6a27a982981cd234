/** `state.dapr` in mode local-first: answered from this disk, brought over behind, ETags honest on both sides. */

import t from 'tap';
import type { StateOperation } from '../../../../runtime/contracts/state-store.ts';
import { openLocal as open } from './local-state-rig.ts';

t.test('changes are taken without a link, outlive a restart, and arrive in few requests', async (t) => {
  const { far, get, operation, remove, write, until, transact, restart } = await open(t);
  far.set('cut');
  for (let n = 1; n <= 20; n += 1) await write(operation('a', n));
  await write(operation('b', 'x'));
  await write(remove('b'));
  await transact([operation('c', 1), operation('d', 1), remove('a')]);
  await write(operation('a', { last: true }));
  t.match(await get('a'), { value: { last: true } });
  t.equal(await get('b'), undefined);
  await restart();
  t.match(await get('a'), { value: { last: true } }, 'from this disk');
  far.set('up');
  await until('everything to arrive', () => far.values.size === 3);
  t.same([far.value('a'), far.value('b'), far.value('c'), far.value('d')], [{ last: true }, undefined, 1, 1]);
  t.same(
    far.requests.filter((request) => request.startsWith('POST')),
    ['POST /transaction'],
    'one request',
  );
});

t.test('a stale ETag is refused here at once', async (t) => {
  const { far, get, operation, write } = await open(t);
  far.put('k', 1);
  const first = await get('k');
  await write(operation('k', 2, { etag: first?.etag }));
  await t.rejects(write(operation('k', 3, { etag: first?.etag })), { name: 'EtagError', kind: 'mismatch' });
  const both = await get('k').then((now) => [
    operation('k', 4, { etag: now?.etag }),
    operation('k', 5, { etag: now?.etag }),
  ]);
  const outcomes = await Promise.allSettled(both.map(write));
  t.same(
    outcomes.map(({ status }) => status),
    ['fulfilled', 'rejected'],
    'one of two that saw the same',
  );
  await t.rejects(write(operation('k', 6, { options: { concurrency: 'first-write', consistency: '' } })), {
    name: 'EtagError',
  });
});

t.test('an ETag that turned stale over there is refused at reconnection, and can be seen', async (t) => {
  const { far, get, operation, write, until, parked, counted, spools } = await open(t);
  far.put('k', 1);
  const seen = await get('k');
  far.set('cut');
  await write(operation('k', 'mine', { etag: seen?.etag }));
  const mine = await get('k');
  await write(operation('k', 'mine too', { etag: mine?.etag }));
  await write(operation('other', 1));
  far.put('k', 'theirs');
  far.set('up');
  await until('the rest to arrive', () => far.value('other') === 1);
  t.equal(far.value('k'), 'theirs');
  t.match(await get('k'), { value: 'theirs' });
  await until('both to be seen', async () => (await parked()).length === 2);
  const [first, second] = await parked();
  t.match(first, { state: 'parked', key: 'app||k', error: /^conflict: / });
  const content = await spools.desk?.content(second?.id ?? '');
  t.equal(
    Buffer.from(content?.payload ?? []).toString(),
    '[{"key":"app||k","value":"mine too","remote":"theirs"}]',
  );
  t.same(counted.filter((name) => name.startsWith('state_refused')).length, 2);
  const now = await get('k');
  await write(operation('k', 'with care', { etag: now?.etag }));
  await until('a change that saw it', () => far.value('k') === 'with care');
});

t.test('chains of ETags and first writes arrive when nobody interferes', async (t) => {
  const { far, get, operation, remove, write, until, parked } = await open(t);
  far.set('cut');
  const firstWrite = { options: { concurrency: 'first-write', consistency: '' } };
  await write(operation('k', { b: 1, a: 1 }, firstWrite));
  for (const value of [{ n: 2 }, { n: 3 }])
    await write(operation('k', value, { etag: (await get('k'))?.etag }));
  await write(operation('gone', 1));
  await write(remove('gone', { etag: (await get('gone'))?.etag }));
  far.set('up');
  await until(
    'the chain to arrive',
    () => (far.value('k') as { n?: number } | undefined)?.n === 3 && !far.values.has('gone'),
  );
  t.same(await parked(), []);
});

t.test('a lost answer is no conflict', async (t) => {
  const { far, get, operation, write, until, parked, transact } = await open(t);
  far.put('k', 1);
  const seen = await get('k');
  far.set('lost answer');
  await write(operation('k', 2, { etag: seen?.etag }));
  await until('the change', () => far.value('k') === 2);
  const again = await get('k');
  far.set('lost answer');
  await transact([operation('k', 3, { etag: again?.etag }), operation('l', 3)]);
  await until('the transaction', () => far.value('l') === 3);
  await write(operation('end', 1));
  await until('the end', () => far.value('end') === 1);
  t.same([far.value('k'), far.value('l')], [3, 3]);
  t.same(await parked(), []);
});

t.test('a transaction with one stale ETag is refused whole', async (t) => {
  const { far, get, operation, until, parked, transact } = await open(t);
  far.put('k', 1);
  const seen = await get('k');
  far.set('cut');
  await transact([operation('k', 2, { etag: seen?.etag }), operation('new', 2)]);
  far.put('k', 'theirs');
  far.set('up');
  await until('the conflict', async () => (await parked()).length === 1);
  await until('what is there', async () => (await get('k'))?.value === 'theirs');
  t.equal(await get('new'), undefined);
  t.notOk(far.values.has('new'));
});

t.test('what the far side can never take is set aside, the rest goes on', async (t) => {
  const { far, operation, write, until, parked } = await open(t);
  far.refuse('bad');
  far.set('cut');
  for (const key of ['one', 'bad', 'two']) await write(operation(key, 1));
  far.set('up');
  await until('the rest', () => far.values.size === 2);
  await until('it to be seen', async () => (await parked()).length === 1);
  t.match((await parked())[0], { key: 'app||bad', error: /^refused: / });
});

t.test('changes of the cloud are noticed by reading; an unknown key needs the link', async (t) => {
  const { far, clock, get, operation, write, until } = await open(t);
  far.put('k', 1);
  t.match(await get('k'), { value: 1 });
  far.put('k', 2);
  t.match(await get('k'), { value: 1 }, 'from here');
  await clock.advance(31_000);
  await get('k');
  await until('the comparison', async () => (await get('k'))?.value === 2);
  far.set('cut');
  await t.rejects(get('unknown'), /cannot be reached/);
  await t.rejects(write(operation('k', 1, { metadata: { ttlInSeconds: '5' } })), /ttlInSeconds/);
  await t.rejects(
    write({ ...operation('k', 1), value: { bytes: Buffer.from('no json'), json: false } } as StateOperation),
    /JSON/,
  );
});

t.test('the queue is bounded', async (t) => {
  const { far, operation, write } = await open(t);
  far.set('cut');
  for (let n = 0; n < 50; n += 1) await write(operation(`k${n}`, n));
  await t.rejects(write(operation('more', 1)), /queue .* is full/);
});

t.test('a request that arrives late puts nothing old over something new', async (t) => {
  const { far, operation, write, until, get, restart, parked } = await open(t);
  await write(operation('k', 1));
  await until('the first', () => far.value('k') === 1);
  far.set('late');
  await write(operation('k', 2));
  await write(operation('k', 3));
  await until('a request on its way', () => far.onItsWay());
  await restart();
  await write(operation('k', 4));
  far.set('up');
  await until('the last', () => far.value('k') === 4);
  t.match(far.arriveLate(), { status: 409 });
  t.equal(far.value('k'), 4);
  t.match(await get('k'), { value: 4 });
  t.same(await parked(), []);
});
