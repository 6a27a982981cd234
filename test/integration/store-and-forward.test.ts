// A gateway and its cloud: while the cloud is away every reading is accepted and kept, a power cut of the gateway loses
// none, and when the cloud is back all of them arrive in order, each once. The ledger says so too.

import t from 'tap';
import { call } from './support/http-call.ts';
import { freePorts, type RunningNode, startSidecar } from './support/node-process.ts';
import { component } from './support/resource-files.ts';
import { startApp } from './support/scripted-app.ts';
import { until } from './support/until.ts';

interface Queue {
  readonly name: string;
  readonly accepted: number;
  readonly delivered: number;
  readonly pending: number;
  readonly parked: number;
  readonly dropped: Readonly<Record<string, number>>;
}

async function queue(node: RunningNode, name: string): Promise<Queue> {
  const { queues } = JSON.parse((await call(`${node.base}/v1.0/skerry/spool`)).text) as { queues: Queue[] };
  const found = queues.find((entry) => entry.name === name);
  if (found === undefined) throw new Error(`no queue ${name} in ${JSON.stringify(queues)}`);
  return found;
}

t.test('the cloud is away, the gateway loses power, the cloud comes back', async (t) => {
  const cloudPorts = await freePorts();
  const request = {
    appId: 'gateway',
    resources: [
      component('cloud', 'bindings.dapr', {
        baseUrl: `http://127.0.0.1:${cloudPorts.http}`,
        path: 'publish/pubsub/readings',
      }),
    ],
  };
  const numbers = Array.from({ length: 40 }, (_, n) => n);
  const send = async (node: RunningNode, n: number): Promise<void> => {
    const answer = await call(`${node.base}/v1.0/bindings/cloud`, {
      body: { operation: 'create', data: { n } },
    });
    t.ok(
      answer.status >= 200 && answer.status < 300,
      `reading ${n} is accepted: ${answer.status} ${answer.text}`,
    );
  };

  const app = await startApp(t, {
    '/dapr/subscribe': () => ({ body: [{ pubsubname: 'pubsub', topic: 'readings', route: '/readings' }] }),
    '/readings': () => ({}),
  });
  const cloud = {
    appId: 'cloud',
    appPort: app.port,
    ports: cloudPorts,
    // The order is judged by what the app sees, and Dapr hands events to an app concurrently unless told otherwise.
    args: ['--app-max-concurrency=1'],
    resources: [component('pubsub', 'pubsub.mqtt3', { url: 'embedded:' })],
  };
  const earlier = await startSidecar(t, cloud);
  await until('the subscription of the cloud app', async () => {
    await call(`${earlier.base}/v1.0/publish/pubsub/readings`, { body: { probe: true } });
    return app.to('/readings').length > 0;
  });
  await earlier.stop();
  const before = app.to('/readings').length;

  const first = await startSidecar(t, request);
  for (const n of numbers.slice(0, 20)) await send(first, n);
  t.match(await queue(first, 'gateway/cloud'), {
    accepted: 20,
    delivered: 0,
    pending: 20,
    parked: 0,
    dropped: {},
  });
  await first.kill();

  const gateway = await startSidecar(t, { ...request, ports: first.ports, dataDir: first.dataDir });
  t.match(
    await queue(gateway, 'gateway/cloud'),
    { accepted: 20, pending: 20 },
    'nothing is missing after the power cut',
  );
  for (const n of numbers.slice(20)) await send(gateway, n);

  await startSidecar(t, { ...cloud, dataDir: earlier.dataDir });
  const drained = await until(
    'the queue to drain',
    async () => {
      const counts = await queue(gateway, 'gateway/cloud');
      return counts.pending === 0 && counts;
    },
    20_000,
  );
  t.match(drained, { accepted: 40, delivered: 40, pending: 0, parked: 0, dropped: {} });
  await app.received('/readings', before + 40);
  const events = (app.jsonTo('/readings') as { id: string; data: { n: number } }[]).filter(
    ({ data }) => data.n !== undefined,
  );
  t.same(
    events.map(({ data }) => data.n),
    numbers,
    'all of them, in order, each once',
  );
  t.equal(new Set(events.map(({ id }) => id)).size, 40, 'each with an id of its own');
  t.equal((await gateway.stop()).code, 0);
});

t.test('what the far side refuses for good is set aside, the rest goes on', async (t) => {
  const cloud = await startApp(t, {
    '/v1.0/invoke/collector/method/readings': ({ body }) =>
      String(body) === '"bad"' ? { status: 422, body: 'no' } : {},
  });
  const gateway = await startSidecar(t, {
    appId: 'gateway',
    resources: [
      component('cloud', 'bindings.dapr', {
        baseUrl: `http://127.0.0.1:${cloud.port}`,
        path: 'invoke/collector/method/readings',
        queueMaxMessages: '100',
      }),
    ],
  });
  for (const data of ['one', 'bad', 'two']) {
    const answer = await call(`${gateway.base}/v1.0/bindings/cloud`, { body: { operation: 'create', data } });
    t.ok(answer.status < 300, answer.text);
  }
  const requests = await cloud.received('/v1.0/invoke/collector/method/readings', 3);
  t.same(
    requests.map(({ body }) => String(body)),
    ['"one"', '"bad"', '"two"'],
  );
  const counts = await until('the ledger', async () => {
    const now = await queue(gateway, 'gateway/cloud');
    return now.delivered === 2 && now;
  });
  t.match(counts, { accepted: 3, delivered: 2, pending: 1, parked: 1 });
  const ids = requests.map(({ headers }) => headers['skerry-message-id']);
  t.equal(new Set(ids).size, 3, 'each carries its own id');
  const refused = await call(`${gateway.base}/v1.0/bindings/cloud`, {
    body: { operation: 'get', data: 'x' },
  });
  t.ok(refused.status >= 400, 'an operation that the component does not offer is refused');
});
