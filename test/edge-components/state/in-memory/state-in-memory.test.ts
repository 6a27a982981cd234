/** `state.in-memory`: the conformance suite, Dapr's texts, and the sweep. */

import t from 'tap';
import { definition } from '../../../../edge-components/state/in-memory/component.ts';
import type { StateStore } from '../../../../runtime/contracts/state-store.ts';
import { stateConformance } from '../../../conformance/state.ts';
import { componentDeps } from '../../../support/component-deps.ts';
import { fakeClock } from '../../../support/fake-clock.ts';

const signal = new AbortController().signal;

async function open() {
  const clock = fakeClock();
  const store: StateStore = definition.create({}, componentDeps({ clock }));
  await store.init(signal);
  return { store, clock, close: () => store.close() };
}

stateConformance(t, open, ['ETAG', 'TRANSACTIONAL', 'TTL', 'DELETE_WITH_PREFIX', 'KEYS_LIKE']);

const set = (key: string, extra: object = {}) => ({
  kind: 'upsert' as const,
  key,
  value: { bytes: Buffer.from('1'), json: true },
  options: { concurrency: '', consistency: '' },
  metadata: {},
  ...extra,
});

t.test('mismatches say why, as the recorded ones do', async (t) => {
  const { store } = await open();
  await store.set(set('app||k'), signal);
  const etag = (await store.get({ key: 'app||k', consistency: '', metadata: {} }, signal))?.etag;
  const prefix = 'possible etag mismatch. error from state store: ';
  await t.rejects(store.set(set('app||k', { etag: 'bogus' }), signal), {
    message: `${prefix}state etag not match for key=app||k: current=${etag}, expect=bogus`,
  });
  await t.rejects(store.set(set('app||g', { etag: 'bogus' }), signal), {
    message: `${prefix}state not exist or expired for key=app||g`,
  });
  const firstWrite = { concurrency: 'first-write', consistency: '' };
  const exists = { message: `${prefix}item already exists and no etag was passed` };
  await t.rejects(store.set(set('app||k', { options: firstWrite }), signal), exists);
  await t.rejects(
    store.delete({ kind: 'delete', key: 'app||k', options: firstWrite, metadata: {} }, signal),
    exists,
  );
});

t.test('bulk reads keep the order asked for, repeats included', async (t) => {
  const { store } = await open();
  await store.set(set('b'), signal);
  const keys = (await store.bulkGet?.(['c', 'b', 'b'], {}, signal))?.map(({ key, record }) => [
    key,
    record !== undefined,
  ]);
  t.same(keys, [
    ['c', false],
    ['b', true],
    ['b', true],
  ]);
});

t.test('expired items are swept without being read, and a changed wall clock expires nothing', async (t) => {
  const { store, clock } = await open();
  await store.set(set('k', { metadata: { ttlInSeconds: '5' } }), signal);
  clock.setWallClock(4_000_000_000_000);
  t.ok(await store.get({ key: 'k', consistency: '', metadata: {} }, signal));
  t.equal(clock.pending, 1);
  await clock.advance(6000);
  t.equal(clock.pending, 0, 'the sweep ends with the last key that expires');
  await store.close();
  await store.close();
});
