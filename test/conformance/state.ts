/** What every state store must do, steered by the features it declares. Run by the test of each store. */

import type { Test } from 'tap';
import type {
  SetStateRequest,
  StateOperation,
  StateOptions,
  StateStore,
} from '../../runtime/contracts/state-store.ts';
import type { FakeClock } from '../support/fake-clock.ts';

export interface StateUnderTest {
  readonly store: StateStore;
  readonly clock: FakeClock;
  close(): Promise<void>;
}

const signal = new AbortController().signal;
const NO_OPTIONS: StateOptions = { concurrency: '', consistency: '' };
const FIRST_WRITE: StateOptions = { concurrency: 'first-write', consistency: '' };

/** What an ETag failure looks like. */
const mismatch = { name: 'EtagError', message: /^possible etag mismatch/ };

type Extra = Partial<Pick<SetStateRequest, 'etag' | 'options' | 'metadata'>>;

function upsert(key: string, value: unknown, extra: Extra = {}): SetStateRequest {
  const bytes = Buffer.from(JSON.stringify(value));
  return { kind: 'upsert', key, value: { bytes, json: true }, options: NO_OPTIONS, metadata: {}, ...extra };
}

function remove(key: string, extra: Extra = {}): Extract<StateOperation, { kind: 'delete' }> {
  return { kind: 'delete', key, options: NO_OPTIONS, metadata: {}, ...extra };
}

async function read(store: StateStore, key: string) {
  const record = await store.get({ key, consistency: '', metadata: {} }, signal);
  return record === undefined ? undefined : { ...record, text: Buffer.from(record.value).toString() };
}

/** Runs the suite; `create` gives a fresh, initialised store each time. */
export function stateConformance(
  t: Test,
  create: (t: Test) => Promise<StateUnderTest>,
  capabilities: readonly string[],
): void {
  const story = (name: string, run: (t: Test, under: StateUnderTest) => Promise<void>): void => {
    t.test(name, async (t) => {
      const under = await create(t as Test);
      try {
        await run(t as Test, under);
      } finally {
        await under.close();
      }
    });
  };

  story('features are the declared ones', async (t, { store }) => {
    t.same(store.features, capabilities);
    t.equal(store.transact !== undefined, capabilities.includes('TRANSACTIONAL'));
    t.equal(store.keysLike !== undefined, capabilities.includes('KEYS_LIKE'));
    t.equal(store.deleteWithPrefix !== undefined, capabilities.includes('DELETE_WITH_PREFIX'));
  });

  story('values come back as they were written, each with a new ETag', async (t, { store }) => {
    t.equal(await read(store, 'k'), undefined);
    await store.set(upsert('k', { a: [1, 'ä', null] }), signal);
    const first = await read(store, 'k');
    t.equal(first?.text, '{"a":[1,"ä",null]}');
    await store.set(upsert('k', 'text'), signal);
    const second = await read(store, 'k');
    t.equal(second?.text, '"text"');
    t.not(second?.etag, first?.etag);
    const bytes = Uint8Array.from([0, 255, 10, 128]);
    await store.set({ ...upsert('raw', ''), value: { bytes, json: false } }, signal);
    t.same([...((await read(store, 'raw'))?.value ?? [])], [...bytes]);
    await store.set({ ...upsert('empty', ''), value: { bytes: new Uint8Array(0), json: false } }, signal);
    t.equal((await read(store, 'empty'))?.value.byteLength, 0);
    await store.delete(remove('k'), signal);
    t.equal(await read(store, 'k'), undefined);
    await store.delete(remove('k'), signal);
  });

  story('keys by pattern, page by page', async (t, { store, clock }) => {
    if (store.keysLike === undefined) return;
    const like = async (pattern: string, more: { pageSize?: number; continuationToken?: string } = {}) =>
      store.keysLike?.({ pattern, ...more }, signal);
    for (const key of ['a||2', 'a||1', 'A||3', 'a%x', 'b*[', 'a||ttl', 'a||1\n2'])
      await store.set(upsert(key, 1, key === 'a||ttl' ? { metadata: { ttlInSeconds: '1' } } : {}), signal);
    await store.set(upsert('a||2', 'again'), signal);
    await clock.advance(2000);
    t.same((await like('a||%'))?.keys, ['a||2', 'a||1', 'a||1\n2'], 'in the order of their first write');
    t.same((await like('a||_'))?.keys, ['a||2', 'a||1']);
    t.same((await like('a\\%%'))?.keys, ['a%x']);
    t.same((await like('b*['))?.keys, ['b*[']);
    t.same((await like('b?['))?.keys, []);
    const first = await like('a||%', { pageSize: 2 });
    t.same(first?.keys, ['a||2', 'a||1']);
    const token = first?.continuationToken ?? '';
    t.same(await like('a||%', { pageSize: 2, continuationToken: token }), { keys: ['a||1\n2'] });
    t.same(await like('a||%', { pageSize: 3 }), { keys: ['a||2', 'a||1', 'a||1\n2'] });
    await t.rejects(like(''), /must not be empty/);
    await t.rejects(like('%', { continuationToken: 'x' }), /invalid continue token/);
  });

  story('keys below a prefix are deleted, not those of a level further down', async (t, { store }) => {
    if (store.deleteWithPrefix === undefined) return;
    for (const key of ['a||1', 'a||2', 'a||b||3', 'ab||4']) await store.set(upsert(key, 1), signal);
    t.equal(await store.deleteWithPrefix('a', signal), 2);
    t.equal(await store.deleteWithPrefix('a||', signal), 0);
    t.equal(await read(store, 'a||1'), undefined);
    t.equal((await read(store, 'a||b||3'))?.text, '1');
    t.equal((await read(store, 'ab||4'))?.text, '1');
    await t.rejects(store.deleteWithPrefix('||', signal), /a prefix is required/);
  });

  story('odd keys are kept apart', async (t, { store }) => {
    const keys = ['app||a', 'app||A', "quo'te", 'ключ', 'a%', 'a_', 'ab'];
    for (const [index, key] of keys.entries()) await store.set(upsert(key, index), signal);
    for (const [index, key] of keys.entries()) t.equal((await read(store, key))?.text, String(index), key);
  });

  story('unknown options are refused in words', async (t, { store }) => {
    const concurrency = { concurrency: 'sometimes', consistency: '' };
    const consistency = { concurrency: '', consistency: 'maybe' };
    await t.rejects(
      store.set(upsert('k', 1, { options: concurrency }), signal),
      /^unrecognized concurrency model 'sometimes'$/,
    );
    await t.rejects(
      store.set(upsert('k', 1, { options: consistency }), signal),
      /unrecognized consistency model 'maybe'/,
    );
    await t.rejects(
      store.delete(remove('k', { options: concurrency }), signal),
      /unrecognized concurrency model/,
    );
    t.equal(await read(store, 'k'), undefined);
  });

  story('several reads and writes', async (t, { store }) => {
    const results = await store.bulkWrite?.(
      [
        upsert('a', 1),
        upsert('b', 2, { etag: 'wrong' }),
        upsert('c', 3),
        remove('a'),
        remove('d', { etag: 'x' }),
      ],
      signal,
    );
    if (results !== undefined) {
      t.match(results, [undefined, mismatch, undefined, undefined, mismatch]);
      t.same(
        [await read(store, 'a'), await read(store, 'b'), (await read(store, 'c'))?.text],
        [undefined, undefined, '3'],
      );
    }
    await store.set(upsert('x', 1), signal);
    await store.set(upsert('y', 2), signal);
    const read2 = await store.bulkGet?.(['y', 'missing', 'x'], {}, signal);
    if (read2 === undefined) return;
    const found = new Map(
      read2.map(({ key, record }) => [key, record && Buffer.from(record.value).toString()]),
    );
    t.same([...found].sort(), [
      ['missing', undefined],
      ['x', '1'],
      ['y', '2'],
    ]);
  });

  if (capabilities.includes('ETAG')) etagStories(story);
  if (capabilities.includes('TTL')) ttlStories(story);
  if (capabilities.includes('TRANSACTIONAL')) transactionStories(story);
}

type Story = (name: string, run: (t: Test, under: StateUnderTest) => Promise<void>) => void;

function etagStories(story: Story): void {
  story('an ETag guards updates and deletes; an empty one does not', async (t, { store }) => {
    await store.set(upsert('k', 1), signal);
    const etag = (await read(store, 'k'))?.etag ?? '';
    await t.rejects(store.set(upsert('k', 2, { etag: 'bogus' }), signal), mismatch);
    await t.rejects(store.set(upsert('ghost', 2, { etag }), signal), mismatch);
    await t.rejects(store.delete(remove('k', { etag: 'bogus' }), signal), mismatch);
    await t.rejects(store.delete(remove('ghost', { etag }), signal), mismatch);
    await store.set(upsert('k', 2, { etag }), signal);
    await t.rejects(store.set(upsert('k', 3, { etag }), signal), mismatch, 'used up');
    await store.set(upsert('k', 4, { etag: '' }), signal);
    t.equal((await read(store, 'k'))?.text, '4');
    await store.delete(remove('k', { etag: (await read(store, 'k'))?.etag ?? '' }), signal);
    t.equal(await read(store, 'k'), undefined);
  });

  story('first-write without ETag only creates', async (t, { store }) => {
    await store.set(upsert('k', 1, { options: FIRST_WRITE }), signal);
    await t.rejects(store.set(upsert('k', 2, { options: FIRST_WRITE }), signal), mismatch);
    const etag = (await read(store, 'k'))?.etag ?? '';
    await store.set(upsert('k', 3, { etag, options: FIRST_WRITE }), signal);
    t.equal((await read(store, 'k'))?.text, '3');
  });

  story('of many first writers at the same time one wins', async (t, { store }) => {
    const writers = Array.from({ length: 20 }, (_, n) =>
      store.set(upsert('k', n, { options: FIRST_WRITE }), signal),
    );
    const results = await Promise.allSettled(writers);
    t.equal(results.filter(({ status }) => status === 'fulfilled').length, 1);
  });
}

function ttlStories(story: Story): void {
  const ttl = (seconds: string) => ({ metadata: { ttlInSeconds: seconds } });

  story('a key with TTL shows when it expires and then is gone', async (t, { store, clock }) => {
    const expires = Temporal.Instant.fromEpochMilliseconds(
      Math.floor(clock.now() / 1000) * 1000 + 10_000,
    ).toString();
    await store.set(upsert('k', 1, ttl('10')), signal);
    t.same((await read(store, 'k'))?.metadata, { ttlExpireTime: expires });
    await clock.advance(9000);
    t.equal((await read(store, 'k'))?.text, '1');
    await clock.advance(1001);
    t.equal(await read(store, 'k'), undefined);
    t.same((await store.bulkGet?.(['k'], {}, signal)) ?? [{ key: 'k' }], [{ key: 'k' }]);
    await t.rejects(store.set(upsert('k', 2, { etag: 'any' }), signal), mismatch);
    await store.set(upsert('k', 3, { options: FIRST_WRITE }), signal);
    t.equal((await read(store, 'k'))?.text, '3', 'an expired key counts as absent for the first writer');
  });

  story('0 and -1 mean no expiry, as does a later write without TTL', async (t, { store, clock }) => {
    await store.set(upsert('zero', 1, ttl('0')), signal);
    await store.set(upsert('minus', 1, ttl('-1')), signal);
    await store.set(upsert('later', 1, ttl('1')), signal);
    await store.set(upsert('later', 2), signal);
    await clock.advance(1_000_000);
    for (const key of ['zero', 'minus', 'later']) t.equal((await read(store, key))?.metadata, undefined, key);
    for (const word of ['soon', '1.5', '1s']) {
      await t.rejects(store.set(upsert('bad', 1, ttl(word)), signal), /ttlInSeconds|strconv\.Atoi/);
    }
    t.equal(await read(store, 'bad'), undefined);
  });
}

function transactionStories(story: Story): void {
  story('a transaction applies all in order or nothing', async (t, { store }) => {
    await store.transact?.([], {}, signal);
    await store.set(upsert('old', 0), signal);
    await store.transact?.(
      [upsert('a', 1), remove('old'), upsert('b', 1), remove('b'), upsert('b', 'last')],
      {},
      signal,
    );
    t.same(
      [(await read(store, 'a'))?.text, await read(store, 'old'), (await read(store, 'b'))?.text],
      ['1', undefined, '"last"'],
    );
    await t.rejects(
      async () =>
        store.transact?.([upsert('c', 1), remove('a'), upsert('b', 2, { etag: 'wrong' })], {}, signal),
      mismatch,
    );
    await t.rejects(
      async () =>
        store.transact?.([upsert('c', 1), upsert('d', 1, { metadata: { ttlInSeconds: 'x' } })], {}, signal),
      /ttlInSeconds|strconv\.Atoi/,
    );
    await t.rejects(
      async () => store.transact?.([upsert('c', 1), upsert('a', 9, { options: FIRST_WRITE })], {}, signal),
      mismatch,
    );
    t.same(
      [await read(store, 'c'), (await read(store, 'a'))?.text, (await read(store, 'b'))?.text],
      [undefined, '1', '"last"'],
    );
    const etag = (await read(store, 'a'))?.etag ?? '';
    await store.transact?.([remove('a', { etag })], {}, signal);
    t.equal(await read(store, 'a'), undefined);
  });
}
