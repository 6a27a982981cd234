/** Topic flows between two buses in memory, with a real queue on disk in between. */

import t from 'tap';
import { createSpoolSource } from '../../../../edge-components/drivers/sqlite/spool-source.ts';
import { inMemoryPubSub } from '../../../../edge-components/pubsub/in-memory/in-memory.ts';
import { createSync, type Sync } from '../../../../runtime/building-blocks/sync/sync.ts';
import { createComponentStore } from '../../../../runtime/components/store.ts';
import type { PubSub } from '../../../../runtime/contracts/pubsub.ts';
import type { TopicFlowSpec } from '../../../../runtime/contracts/resource.ts';
import { systemClock } from '../../../../runtime/platform/system-clock.ts';
import { systemIds } from '../../../../runtime/platform/system-ids.ts';
import { until } from '../../../integration/support/until.ts';
import { openPool } from '../../../support/open-pool.ts';
import { recordingLogger } from '../../../support/recording-logger.ts';
import { seededRandom } from '../../../support/seeded-random.ts';

const signal = new AbortController().signal;
const clock = systemClock();
const metrics = { count: () => undefined, observe: () => undefined, gauge: () => undefined };

const FLOW: TopicFlowSpec = {
  kind: 'topic',
  name: 'flow',
  field: 'spec.topics.0',
  direction: 'up',
  priority: 4,
  ttlMs: 0,
  filter: '',
  maxRate: 0,
  maxBytesPerHour: 0,
  quietHours: [],
  local: { pubsub: 'l', topic: 'here' },
  remote: { pubsub: 'r', topic: 'there' },
};

interface Rig {
  readonly sync: Sync;
  readonly local: PubSub;
  readonly remote: PubSub;
  /** What arrived on a topic. */
  readonly here: Record<string, unknown>[];
  readonly there: Record<string, unknown>[];
  fail: string | undefined;
  close(): Promise<void>;
}

async function rig(directory: string, given: Partial<TopicFlowSpec>, before?: Rig): Promise<Rig> {
  const log = recordingLogger();
  const ids = systemIds(clock);
  const databases = openPool(directory, { clock });
  const local = before?.local ?? inMemoryPubSub({ clock, log });
  const remote = before?.remote ?? inMemoryPubSub({ clock, log });
  const components = createComponentStore();
  for (const [name, instance] of [
    ['l', local],
    ['r', remote],
  ] as const)
    components.add({
      name,
      category: 'pubsub',
      type: 'pubsub.in-memory',
      version: 'v1',
      metadata: {},
      capabilities: [],
      instance,
    });
  const scopes = {
    mayPublish: () => true,
    maySubscribe: () => true,
    brokerTopic: (topic: string) => topic,
    appTopic: (topic: string) => topic,
  };
  const sync = await createSync(
    [
      {
        kind: 'Sync',
        name: 's',
        namespace: '',
        scopes: [],
        origin: { file: 'f', document: 1 },
        flows: [{ ...FLOW, ...given }],
      },
    ],
    {
      appId: 'app',
      namespace: '',
      components,
      publish: {
        publishRaw: async (pubsub, message) => {
          if (pubsub === 'r' && made.fail !== undefined) throw new Error(made.fail);
          await components.get('pubsub', pubsub)?.instance.publish(message, signal);
        },
        scopesOf: () => scopes,
      },
      sourceOf: async ({ instance }) => ({ instance, close: async () => undefined }),
      nodeKey: async () => Buffer.from(directory),
      databases,
      spools: createSpoolSource({ databases, clock, ids, random: seededRandom(1), log, metrics }),
      clock,
      ids,
      random: seededRandom(1),
      log,
      metrics,
    },
  );
  const made: Rig = {
    sync,
    local,
    remote,
    here: before?.here ?? [],
    there: before?.there ?? [],
    fail: before?.fail,
    close: async () => {
      await sync.close();
      await databases.close();
    },
  };
  if (before === undefined) {
    for (const [bus, topic, into] of [
      [local, 'here', made.here],
      [remote, 'there', made.there],
    ] as const)
      await bus.subscribe(
        { topic, metadata: {} },
        async ({ data }) => void into.push(JSON.parse(Buffer.from(data).toString())),
      );
  }
  await sync.start();
  await sync.appReady();
  await until('the subscriptions', async () => {
    await new Promise(setImmediate);
    return true;
  });
  return made;
}

const publish = (bus: PubSub, topic: string, data: unknown): Promise<void> =>
  bus.publish({ topic, data: Buffer.from(JSON.stringify(data)), metadata: {} }, signal);
const statusOf = async ({ sync }: Rig) => {
  const [flow] = await sync.status();
  if (flow === undefined) throw new Error('there is no flow');
  return flow;
};

t.test('what the filter lets through goes up, as events with ids', async (t) => {
  const one = await rig(t.testdir(), { filter: 'event.data.c > 20' });
  await publish(one.local, 'here', { c: 3 });
  await publish(one.local, 'here', { c: 21 });
  await publish(one.local, 'here', 'no reading');
  await publish(one.local, 'here', { c: 22 });
  await until('both', () => one.there.length === 2);
  t.match(one.there, [
    { data: { c: 21 }, source: 'app', topic: 'there', pubsubname: 'r', id: /./ },
    { data: { c: 22 } },
  ]);
  t.not(one.there[0]?.['id'], one.there[1]?.['id']);
  t.match(await statusOf(one), { link: 'up', messagesToday: { up: 2, down: 0 } });
  await one.close();
});

t.test('both ways without an echo', async (t) => {
  const one = await rig(t.testdir(), { direction: 'both' });
  await publish(one.local, 'here', { from: 'edge' });
  await publish(one.remote, 'there', { specversion: '1.0', id: 'i', source: 's', type: 't', data: 'cloud' });
  await until('both on both sides', () => one.here.length >= 2 && one.there.length >= 2);
  await publish(one.local, 'here', { from: 'last' });
  await until('the last', () => one.there.length >= 3);
  t.equal(one.here.length, 3);
  t.equal(one.there.length, 3);
  t.ok(one.here.some((event) => event['id'] === 'i' && event['topic'] === 'here'));
  await one.close();
});

t.test('what the other side refuses waits with its reason, also over a restart', async (t) => {
  const directory = t.testdir();
  const one = await rig(directory, {});
  one.fail = 'pubsub r is not found';
  await publish(one.local, 'here', { n: 1 });
  await publish(one.local, 'here', { n: 2 });
  await until('the flow to be parked', async () => {
    one.sync.retry(undefined);
    return (await statusOf(one)).link === 'parked';
  });
  const { lag, reason } = await statusOf(one);
  t.equal(lag.messages, 2);
  t.ok(lag.bytes > 0);
  t.match(reason, /not found/);
  await one.close();
  one.fail = undefined;
  const again = await rig(directory, {}, one);
  await until('both', () => one.there.length === 2);
  t.same(
    one.there.map(({ data }) => data),
    [{ n: 1 }, { n: 2 }],
    'in order',
  );
  await until('the link to be up', async () => (await statusOf(again)).link === 'up');
  await again.close();
});

t.test('no more than the flow may', async (t) => {
  const one = await rig(t.testdir(), { maxBytesPerHour: 600 });
  for (let n = 0; n < 5; n += 1) await publish(one.local, 'here', { n });
  await until(
    'the budget to be spent',
    async () => (await statusOf(one)).lag.messages > 0 && one.there.length > 0,
  );
  t.ok(one.there.length < 5, `${one.there.length} went`);
  await one.close();
});
