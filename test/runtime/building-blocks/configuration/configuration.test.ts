/** The configuration block: reads, and subscriptions that end where they began. */

import t from 'tap';
import { createConfigurationBlock } from '../../../../runtime/building-blocks/configuration/configuration.ts';
import type { AppChannel } from '../../../../runtime/contracts/app-channel.ts';
import type { ConfigurationItems } from '../../../../runtime/contracts/configuration-store.ts';
import { blockRig, loaded, refusal } from '../../../support/block-rig.ts';

const item = (value: string): ConfigurationItems[string] => ({ value, version: '1', metadata: {} });
const turn = (): Promise<void> => new Promise((resolve) => void setImmediate(resolve));

function make(deliver: (key: string) => Promise<void> = async () => {}, withApp = true) {
  const told: string[] = [];
  const listeners: ((items: ConfigurationItems) => void)[] = [];
  let open = 0;
  const store = loaded('configuration', 'conf', {
    get: async (keys, metadata) => {
      if (metadata['fail'] !== undefined) throw new Error('no link');
      return Object.fromEntries(keys.map((key) => [key, item(`v-${key}`)]));
    },
    subscribe: async (keys, metadata, changed) => {
      if (metadata['fail'] !== undefined) throw new Error('no link');
      open += 1;
      listeners.push(changed);
      return {
        close: async () => {
          open -= 1;
          if (keys[0] === 'stuck') throw new Error('will not end');
        },
      };
    },
  });
  const channel = {
    deliverConfiguration: async (storeName: string, key: string, id: string, items: ConfigurationItems) => {
      await deliver(key);
      told.push(`${storeName} ${key} ${id.slice(-1)} ${items[key]?.value}`);
    },
  } as unknown as AppChannel;
  const rig = blockRig([store]);
  const block = createConfigurationBlock({ ...rig, appChannel: () => (withApp ? channel : undefined) });
  return {
    rig,
    block,
    told,
    change: (items: ConfigurationItems) => {
      for (const listener of listeners) listener(items);
    },
    open: () => open,
  };
}

t.test('get', async (t) => {
  const { rig, block } = make();
  t.strictSame(await block.get('conf', ['a'], {}, rig.call), { a: item('v-a') });
  t.match(await refusal(block.get('conf', ['a', 'b'], { fail: '' }, rig.call)), {
    key: 'configurationGet',
    status: 500,
    message: /a b.*no link/,
  });
  t.equal((await refusal(block.get('nope', [], {}, rig.call))).key, 'configurationStoreNotFound');
  const none = blockRig([]);
  const empty = createConfigurationBlock({ ...none, appChannel: () => undefined });
  t.equal((await refusal(empty.get('conf', [], {}, none.call))).key, 'configurationStoresNotConfigured');
});

t.test('changes reach the app key by key and in order, however slow it is', async (t) => {
  const gate = Promise.withResolvers<void>();
  const { rig, block, told, change } = make((key) => (key === 'a' ? gate.promise : Promise.resolve()));
  t.equal(await block.subscribe('conf', ['a'], {}, rig.call), '00000000-0000-4000-8000-000000000001');
  change({ a: item('1'), b: item('1') });
  change({ b: item('2') });
  await turn();
  t.strictSame(told, []);
  gate.resolve();
  await turn();
  t.strictSame(told, ['conf a 1 1', 'conf b 1 1', 'conf b 1 2']);
});

t.test('an app that refuses a change shows in the log', async (t) => {
  const { rig, block, change } = make(() => Promise.reject(new Error('no')));
  await block.subscribe('conf', [], {}, rig.call);
  change({ a: item('1') });
  await turn();
  t.match(rig.log.lines, [{ level: 'error', message: /key a in store conf was not taken/ }]);
});

t.test('what waits for an app that does not answer is bounded', async (t) => {
  const { rig, block, change } = make(() => new Promise(() => {}));
  await block.subscribe('conf', [], {}, rig.call);
  for (let i = 0; i < 1002; i += 1) change({ a: item(`${i}`) });
  t.equal(rig.log.lines.filter(({ message }) => /a change was dropped/.test(message)).length, 2);
});

t.test('a stream gets its own changes and needs no app', async (t) => {
  const { rig, block, change, told } = make(undefined, false);
  const seen: ConfigurationItems[] = [];
  await block.subscribe('conf', ['a'], {}, rig.call, (items) => void seen.push(items));
  change({ a: item('1') });
  t.strictSame(seen, [{ a: item('1') }]);
  t.strictSame(told, []);
  t.equal((await refusal(block.subscribe('conf', ['a'], {}, rig.call))).key, 'appChannelMissing');
});

t.test('unsubscribe ends a subscription once', async (t) => {
  const { rig, block, open } = make();
  const id = await block.subscribe('conf', ['a'], {}, rig.call);
  t.equal(open(), 1);
  t.equal(await block.unsubscribe('conf', id, rig.call), undefined);
  t.equal(open(), 0);
  t.equal(await block.unsubscribe('conf', id, rig.call), `subscription with id ${id} does not exist`);
  const stuck = await block.subscribe('conf', ['stuck'], {}, rig.call);
  t.equal(await block.unsubscribe('conf', stuck, rig.call), 'will not end');
  t.equal((await refusal(block.unsubscribe('nope', id, rig.call))).key, 'configurationStoreNotFound');
});

t.test('a subscription that fails leaves nothing behind; close ends all', async (t) => {
  const { rig, block, open } = make();
  t.match(await refusal(block.subscribe('conf', ['a'], { fail: '' }, rig.call)), {
    key: 'configurationSubscribe',
  });
  await block.subscribe('conf', ['a'], {}, rig.call);
  await block.subscribe('conf', ['b'], {}, rig.call);
  t.equal(open(), 2);
  await block.close();
  t.equal(open(), 0);
});
