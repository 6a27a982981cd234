/** `pubsub.dapr` against far sidecars that refuse: what can never be taken is set aside, the rest goes on, nothing is lost. */

import { setTimeout as pause } from 'node:timers/promises';
import t, { type Test } from 'tap';
import { createSpoolSource } from '../../../../edge-components/drivers/sqlite/spool-source.ts';
import { definition } from '../../../../edge-components/pubsub/dapr/component.ts';
import { componentDeps } from '../../../support/component-deps.ts';
import { fakeClock } from '../../../support/fake-clock.ts';
import { httpTarget, type TargetAnswer, type TargetRequest } from '../../../support/http-target.ts';
import { openPool } from '../../../support/open-pool.ts';

const signal = new AbortController().signal;

async function open(t: Test, answer: (request: TargetRequest) => TargetAnswer) {
  const target = await httpTarget(answer);
  const clock = fakeClock();
  const databases = openPool(t.testdir(), { clock });
  const given = componentDeps({ databases, clock });
  const spools = createSpoolSource({ ...given, databases });
  const items = definition.metadata.schema.parse({ baseUrl: target.url, remoteName: 'far' });
  const pubsub = definition.create(items as never, { ...given, spools });
  await pubsub.init(signal);
  t.teardown(async () => {
    await pubsub.close();
    await spools.close();
    await databases.close();
    await target.close();
  });
  const publish = (topic: string, key: string, n: number) =>
    pubsub.publish(
      {
        topic,
        data: Buffer.from(JSON.stringify({ id: `${topic}-${key}-${n}`, data: n })),
        contentType: 'application/cloudevents+json',
        metadata: { partitionKey: key },
      },
      signal,
    );
  const counts = async () => {
    const [queue] = await spools.list();
    if (queue === undefined) throw new Error('there is no queue');
    return queue.counts;
  };
  const until = async (done: () => Promise<boolean>): Promise<void> => {
    for (let turn = 0; turn < 1500; turn += 1) {
      if (await done()) return;
      await clock.advance(50);
      await pause(2);
    }
    t.fail('waited in vain');
  };
  return { target, pubsub, publish, counts, until };
}

t.test('batches per topic; what is too large for the far side is parked', async (t) => {
  const { target, publish, counts, until } = await open(t, ({ body }) =>
    body.includes('"id":"b-k2-1"') ? { status: 413, body: 'too large' } : { status: 204 },
  );
  await Promise.all(['a', 'b'].flatMap((topic) => ['k1', 'k2', 'k3'].map((key) => publish(topic, key, 1))));
  await until(async () => (await counts()).delivered === 5);
  t.match(await counts(), { accepted: 6, delivered: 5, parked: 1 });
  const paths = target.requests.map(({ url }) => url.split('?')[0]);
  t.ok(paths.includes('/v1.0-alpha1/publish/bulk/far/a'));
});

t.test('a component that is missing over there is waited for', async (t) => {
  let there = false;
  const { publish, counts, until } = await open(t, () =>
    there ? { status: 204 } : { status: 404, body: '{"errorCode":"ERR_PUBSUB_NOT_FOUND","message":"no"}' },
  );
  await Promise.all(['k1', 'k2'].map((key) => publish('a', key, 1)));
  await until(async () => (await counts()).lastError?.includes('ERR_PUBSUB_NOT_FOUND') === true);
  t.match(await counts(), { pending: 2, parked: 0 });
  there = true;
  await until(async () => (await counts()).delivered === 2);
});

t.test('a subscription without a gRPC address says what is missing', async (t) => {
  const { pubsub } = await open(t, () => ({ status: 204 }));
  await t.rejects(
    pubsub.subscribe({ topic: 'a', metadata: {} }, async () => undefined),
    /'grpcAddress': the gRPC address of the far sidecar .* is required to subscribe/,
  );
});
