// Anyone can ask where a message is: the ledger and single messages by HTTP and by `skerry spool`, also when the
// component that queued them is gone from the resources.

import t, { type Test } from 'tap';
import { call } from './support/http-call.ts';
import { type RunningNode, runToEnd, startSidecar } from './support/node-process.ts';
import { program } from './support/package-folder.ts';
import { component } from './support/resource-files.ts';
import { startApp } from './support/scripted-app.ts';
import { until } from './support/until.ts';

const spool = async (t: Test, node: RunningNode, ...args: string[]): Promise<string> => {
  const ended = await runToEnd(t, program('skerry'), [
    'spool',
    ...args,
    `--dapr-http-port=${node.ports.http}`,
  ]);
  return `${ended.code} ${ended.output}`;
};

t.test('where a message is, another turn for a parked one, dropping', async (t) => {
  let mood = 422;
  const cloud = await startApp(t, {
    '/v1.0/invoke/collector/method/readings': ({ body }) =>
      String(body) === '"bad"' ? { status: mood, body: 'not like this' } : {},
  });
  const request = {
    appId: 'gateway',
    resources: [
      component('cloud', 'bindings.dapr', {
        baseUrl: `http://127.0.0.1:${cloud.port}`,
        path: 'invoke/collector/method/readings',
      }),
    ],
  };
  const node = await startSidecar(t, request);
  const ids: string[] = [];
  for (const data of ['one', 'bad', 'two', 'bad']) {
    const answer = await call(`${node.base}/v1.0/bindings/cloud`, { body: { operation: 'create', data } });
    ids.push(String(answer.headers['metadata.messageid']));
  }
  const [one = '', bad = '', , worse = ''] = ids;
  const find = async (id: string) =>
    JSON.parse((await call(`${node.base}/v1.0/skerry/spool/messages/${id}`)).text) as object;
  await until(
    'parking',
    async () => (await spool(t, node, 'ls', '--parked', '--json')).split('\n').length === 3,
  );
  t.match(await find(one), { id: one, queue: 'gateway/cloud', state: 'delivered', endedAt: Number });
  t.match(await find(bad), { state: 'parked', error: '422 not like this', attempts: 1 });
  t.match(await spool(t, node, 'ls'), /gateway\/cloud +4 +2 +2 +2 +0/);
  t.match(await spool(t, node, 'show', bad), /"payload": "\\"bad\\""|bad/);
  t.match(await spool(t, node, 'show', 'nonsense'), /^1 there is no known message nonsense/);

  mood = 200;
  t.match(await spool(t, node, 'retry', bad), /^0 1 released/);
  await until(
    'the delivery',
    async () => (await find(bad)) && /delivered/.test(JSON.stringify(await find(bad))),
  );
  t.match(await spool(t, node, 'export'), new RegExp(worse));
  t.match(await spool(t, node, 'drop', worse), /^0 dropped/);
  t.match(await find(worse), { state: 'dropped', reason: 'removed' });
  t.match(await spool(t, node, 'drop', worse), /^1 there is no/);
  t.match(await spool(t, node, 'ls'), /gateway\/cloud +4 +3 +0 +0 +1 \(removed 1\)/);
  t.match(await spool(t, node, 'retry', '--queue=gateway/cloud'), /^0 0 released/);
  t.match(await spool(t, node, 'fly'), /unknown command: spool fly/);
  const wrong = await call(`${node.base}/v1.0/skerry/spool/messages?limit=many`);
  t.match([wrong.status, wrong.text], [400, /limit/]);
  t.equal((await node.stop()).code, 0);

  const without = await startSidecar(t, { appId: 'gateway', dataDir: node.dataDir });
  t.match(await spool(t, without, 'ls'), /gateway\/cloud +4 +3/, 'also without its component');
  t.match(await spool(t, without, 'show', one), /delivered/);
  await without.stop();
});
