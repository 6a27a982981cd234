/** `state.dapr` in mode cached: copies are read while nobody answers, and never outlive a write. */

import t, { type Test } from 'tap';
import { createCachedState } from '../../../../edge-components/state/dapr/cached-state.ts';
import { createRemoteState } from '../../../../edge-components/state/dapr/remote-state.ts';
import type { StateStore } from '../../../../runtime/contracts/state-store.ts';
import { componentDeps } from '../../../support/component-deps.ts';
import { fakeClock } from '../../../support/fake-clock.ts';
import { httpTarget, type TargetAnswer, type TargetRequest } from '../../../support/http-target.ts';
import { openPool } from '../../../support/open-pool.ts';

const signal = new AbortController().signal;
const options = { concurrency: '', consistency: '' };

async function open(t: Test, maxEntries = 100) {
  let answer: (request: TargetRequest) => TargetAnswer = () => ({ status: 204 });
  const target = await httpTarget((request) => answer(request));
  const clock = fakeClock();
  const databases = openPool(t.testdir(), { clock });
  const deps = componentDeps({ databases, clock });
  const items = {
    endpointName: '',
    baseUrl: target.url,
    remoteName: 'far',
    timeout: 2000,
    remoteKeyPrefix: '',
  };
  const store: StateStore = createCachedState(createRemoteState(items, deps), maxEntries, deps);
  await store.init(signal);
  t.teardown(async () => {
    await store.close();
    await databases.close();
    await target.close();
  });
  const get = async (key: string) => {
    const record = await store.get({ key, consistency: '', metadata: {} }, signal);
    return record === undefined ? undefined : { ...record, value: Buffer.from(record.value).toString() };
  };
  const far = (next: typeof answer): void => {
    answer = next;
  };
  return { store, clock, get, far };
}

const value = (text: string, headers: Record<string, string> = {}): TargetAnswer => ({
  headers: { etag: 'e1', ...headers },
  body: text,
});
const away = (): TargetAnswer => 'cut';

t.test('a known key is read from its copy while nobody answers, an unknown one fails', async (t) => {
  const { get, far, clock } = await open(t);
  far(() => value('{"a":1}'));
  t.same(await get('app||k'), { value: '{"a":1}', etag: 'e1' });
  far(away);
  await clock.advance(90_000);
  t.same(await get('app||k'), { value: '{"a":1}', etag: 'e1', metadata: { copyAgeSeconds: '90' } });
  await t.rejects(get('app||other'), /cannot be reached/);
  far(() => ({ status: 503, body: 'busy' }));
  t.match(await get('app||k'), { value: '{"a":1}' }, 'a gateway that says 503 is an outage too');
  far(() => ({ status: 500, body: '{"errorCode":"ERR_STATE_GET","message":"no"}' }));
  await t.rejects(get('app||k'), /no/, 'an answer of the far sidecar is passed on');
});

t.test('a key that is gone over there is gone here', async (t) => {
  const { get, far } = await open(t);
  far(() => value('1'));
  await get('app||k');
  far(() => ({ status: 204 }));
  t.equal(await get('app||k'), undefined);
  far(away);
  await t.rejects(get('app||k'), /cannot be reached/);
});

t.test('a write ends the copy, also one whose answer was lost', async (t) => {
  const { store, get, far } = await open(t);
  far(() => value('1'));
  await get('app||k');
  far(away);
  const bytes = Buffer.from('2');
  const write = {
    kind: 'upsert' as const,
    key: 'app||k',
    value: { bytes, json: true },
    options,
    metadata: {},
  };
  await t.rejects(store.set(write, signal), /cannot be reached/);
  await t.rejects(get('app||k'), /cannot be reached/, 'what is true now is not known');
});

t.test('what expires over there is not copied', async (t) => {
  const { get, far } = await open(t);
  far(() => value('1', { 'metadata.ttlExpireTime': '2030-01-01T00:00:00Z' }));
  await get('app||k');
  far(away);
  await t.rejects(get('app||k'), /cannot be reached/);
});

t.test('a bulk read gives the copies there are', async (t) => {
  const { store, far } = await open(t);
  far(() => ({ body: '[{"key":"a","data":1,"etag":"e"},{"key":"b"}]' }));
  await store.bulkGet?.(['app||a', 'app||b'], {}, signal);
  far(away);
  const found = await store.bulkGet?.(['app||a', 'app||b'], {}, signal);
  t.match(found, [
    { key: 'app||a', record: { etag: 'e' } },
    { key: 'app||b', error: /cannot be reached/ },
  ]);
});

t.test('copies are bounded: the oldest go', async (t) => {
  const { get, far, clock } = await open(t, 10);
  far(() => value('1'));
  for (let n = 0; n < 100; n += 1) {
    await get(`app||k${n}`);
    await clock.advance(1000);
  }
  far(away);
  await t.rejects(get('app||k89'), /cannot be reached/);
  t.match(await get('app||k90'), { value: '1' });
});
