/** The lock block: checks in Dapr's order, prefixed resources, results as numbers. */

import t from 'tap';
import { createLockBlock } from '../../../../runtime/building-blocks/lock/lock.ts';
import type { UnlockStatus } from '../../../../runtime/contracts/lock-store.ts';
import { blockRig, loaded, refusal } from '../../../support/block-rig.ts';

function lockStore(metadata: Readonly<Record<string, string>> = {}, unlocked: UnlockStatus = 'released') {
  const asked: string[] = [];
  const store = loaded(
    'lock',
    'locks',
    {
      tryLock: async (resource, owner, seconds) => {
        asked.push(`${resource} ${owner} ${seconds}`);
        if (owner === 'bad') throw new Error('no link');
        return owner === 'me';
      },
      unlock: async (resource, owner) => {
        asked.push(`${resource} ${owner}`);
        if (owner === 'bad') throw new Error('no link');
        return unlocked;
      },
    },
    { metadata },
  );
  return { asked, store };
}

t.test('the resource is prefixed, the answer passed on', async (t) => {
  const { asked, store } = lockStore();
  const rig = blockRig([store]);
  const block = createLockBlock(rig);
  const request = { resourceId: 'r', lockOwner: 'me', expiryInSeconds: 5 };
  t.equal(await block.tryLock('locks', request, rig.call), true);
  t.equal(await block.tryLock('locks', { ...request, lockOwner: 'you' }, rig.call), false);
  t.equal(await block.unlock('locks', request, rig.call), 0);
  t.strictSame(asked, ['lock||app||r me 5', 'lock||app||r you 5', 'lock||app||r me']);
  t.strictSame(rig.counted, [
    'component_lock_count locks try_lock true',
    'component_lock_count locks try_lock true',
    'component_lock_count locks unlock true',
  ]);
});

t.test('prefixes', async (t) => {
  const prefixed = async (keyPrefix: string): Promise<string | undefined> => {
    const { asked, store } = lockStore({ keyprefix: keyPrefix });
    const rig = blockRig([store]);
    await createLockBlock(rig).unlock('locks', { resourceId: 'r', lockOwner: 'me' }, rig.call);
    return asked[0];
  };
  t.equal(await prefixed('appid'), 'lock||app||r me');
  t.equal(await prefixed('NAME'), 'lock||locks||r me');
  t.equal(await prefixed('none'), 'lock||r me');
  t.equal(await prefixed('mine'), 'lock||mine||r me');
});

t.test('unlock results are numbers', async (t) => {
  const statuses: readonly UnlockStatus[] = ['released', 'missing', 'owned-by-other', 'internal-error'];
  const numbers = await Promise.all(
    statuses.map(async (status) => {
      const rig = blockRig([lockStore({}, status).store]);
      return await createLockBlock(rig).unlock('locks', { resourceId: 'r', lockOwner: 'me' }, rig.call);
    }),
  );
  t.strictSame(numbers, [0, 1, 2, 3]);
});

t.test('requests that are refused reach no store', async (t) => {
  const { asked, store } = lockStore();
  const rig = blockRig([store]);
  const block = createLockBlock(rig);
  const good = { resourceId: 'r', lockOwner: 'me', expiryInSeconds: 5 };
  const code = async (more: Partial<typeof good>, name = 'locks'): Promise<string> =>
    (await refusal(block.tryLock(name, { ...good, ...more }, rig.call))).key;
  t.equal(await code({ resourceId: '' }), 'lockResourceEmpty');
  t.equal(await code({ lockOwner: '' }), 'lockOwnerEmpty');
  for (const expiryInSeconds of [0, -1, Number.NaN])
    t.equal(await code({ expiryInSeconds }), 'lockExpiryNotPositive');
  t.equal(await code({}, 'nope'), 'lockStoreNotFound');
  t.equal((await refusal(block.unlock('locks', { ...good, lockOwner: '' }, rig.call))).key, 'lockOwnerEmpty');
  t.strictSame(asked, []);
  const none = blockRig([]);
  t.equal(
    (await refusal(createLockBlock(none).tryLock('locks', good, none.call))).key,
    'lockStoresNotConfigured',
  );
});

t.test('failures of the store', async (t) => {
  const rig = blockRig([lockStore().store]);
  const block = createLockBlock(rig);
  const request = { resourceId: 'r', lockOwner: 'bad', expiryInSeconds: 5 };
  t.match(await refusal(block.tryLock('locks', request, rig.call)), {
    key: 'tryLock',
    status: 500,
    message: /no link/,
  });
  t.match(await refusal(block.unlock('locks', request, rig.call)), {
    key: 'unlock',
    status: 500,
    message: /no link/,
  });
});
