/** A disk that is full, read-only or gone: every way in refuses and says why, nothing is half done, and it passes. */

import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import { call } from '../integration/support/http-call.ts';
import { nodesDirectory, startSidecar } from '../integration/support/node-process.ts';
import { component } from '../integration/support/resource-files.ts';
import { workFolder } from './package-copy.ts';
import { RawMqtt } from './raw-mqtt.ts';
import { buildShim } from './record.ts';

const folder = workFolder();
t.teardown(() => rmSync(folder, { recursive: true, force: true }));
const shim = buildShim(folder);

/** What comes first: the outcome, or nothing for `ms`. */
async function within<T>(promise: Promise<T>, ms: number): Promise<T | 'nothing'> {
  return Promise.race([promise, sleep(ms, 'nothing' as const)]);
}

const cases = [
  ['ENOSPC', /no space left|full/i],
  ['EROFS', /read-?only|cannot write|disk I\/O/i],
  ['EIO', /I\/O/i],
] as const;

t.test('a disk that takes nothing', { skip: 'missing' in shim ? shim.missing : false }, async (t) => {
  const fault = join(folder, 'fault');
  const node = await startSidecar(t, {
    appId: 'full',
    resources: [
      component('store', 'state.sqlite', { connectionString: 'skerry:system' }),
      component('pubsub', 'pubsub.mqtt3', { url: 'embedded:' }),
      component('cloud', 'bindings.dapr', { baseUrl: 'http://127.0.0.1:9' }),
    ],
    env: {
      LD_PRELOAD: 'path' in shim ? shim.path : '',
      SHIM_ROOT: nodesDirectory(t),
      SHIM_FAULT_FILE: fault,
    },
  });
  const set = (n: number) => call(`${node.base}/v1.0/state/store`, { body: [{ key: 'k', value: n }] });
  const bind = (n: number) =>
    call(`${node.base}/v1.0/bindings/cloud`, { body: { operation: 'create', data: { n } } });
  const device = async (): Promise<RawMqtt> =>
    (await RawMqtt.open(node.ports.mqtt, new Map(), { clientId: 'late', clean: false })).client;
  const first = await device();
  await first.subscribe(['news'], 1);
  t.equal((await set(0)).status, 204);
  t.equal((await bind(0)).status, 200);
  first.destroy();

  for (const [round, [word, text]] of cases.entries()) {
    writeFileSync(fault, word);
    const refused = await set(100 + round);
    t.equal(refused.status, 500, word);
    t.match(refused.text, /ERR_STATE_SAVE/);
    t.match(refused.text, text);
    const binding = await bind(100 + round);
    t.equal(binding.status, 500);
    t.match(binding.text, /ERR_INVOKE_OUTPUT_BINDING/);
    const publisher = (await RawMqtt.open(node.ports.mqtt, new Map(), { clientId: 'p', clean: true })).client;
    const puback = await within(
      publisher.publish('news', 'lost', 1).catch(() => 'refused' as const),
      400,
    );
    t.notMatch(puback, { type: 4 }, 'no PUBACK');
    publisher.destroy();
    t.equal((await call(`${node.base}/v1.0/state/store/k`)).text, String(round), 'reading goes on');
    rmSync(fault);
    t.equal((await set(round + 1)).status, 204, 'it passes');
    t.equal((await bind(round + 1)).status, 200);
  }
  const { queues } = JSON.parse((await call(`${node.base}/v1.0/skerry/spool`)).text) as {
    queues: { accepted: number; pending: number }[];
  };
  t.match(queues[0], { accepted: 4, pending: 4 }, 'the ledger knows only what was accepted');
  t.equal((await node.stop()).code, 0);
});
