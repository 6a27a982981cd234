/** `pubsub.in-memory`: the common suite, and what is its own: bounded queues, batches by time. */

import t from 'tap';
import { definition } from '../../../edge-components/pubsub/in-memory/component.ts';
import { decodeMetadata } from '../../../runtime/contracts/metadata.ts';
import type { PubSub } from '../../../runtime/contracts/pubsub.ts';
import { systemClock } from '../../../runtime/platform/system-clock.ts';
import { pubsubConformance } from '../../conformance/pubsub.ts';
import { componentDeps } from '../../support/component-deps.ts';
import { fakeClock } from '../../support/fake-clock.ts';
import { recordingLogger } from '../../support/recording-logger.ts';

const SIGNAL = new AbortController().signal;

const publish = (pubsub: PubSub, topic: string, data: Uint8Array): Promise<void> =>
  pubsub.publish({ topic, data, metadata: { a: '1' } }, SIGNAL);

t.test('conformance', (t) =>
  pubsubConformance(t, {
    create: async () => definition.create({}, componentDeps({ clock: systemClock() })),
    features: definition.capabilities,
    wildcard: (prefix) => `${prefix}/*`,
    redelivers: false,
  }),
);

t.test('it has no metadata items', async (t) => {
  t.same(decodeMetadata(definition.metadata, { consumerID: 'x', other: 'y' }), {
    ok: true,
    value: {},
    unknown: ['other'],
  });
});

t.test('message metadata arrives, failures are logged', async (t) => {
  const log = recordingLogger();
  const pubsub = definition.create({}, componentDeps({ log, clock: systemClock() }));
  const metadata = await new Promise((resolve) => {
    void pubsub.subscribe({ topic: 'm', metadata: {} }, async (message) => {
      resolve(message.metadata);
      throw new Error('the app said no');
    });
    void publish(pubsub, 'm', Buffer.from('x'));
  });
  t.same(metadata, { a: '1' });
  await pubsub.close();
  t.match(log.lines, [{ level: 'error', message: /topic 'm': the app said no/ }]);
});

t.test('a full subscription refuses the publish for everybody', async (t) => {
  const pubsub = definition.create({}, componentDeps({ clock: systemClock() }));
  let other = 0;
  let finish = (): void => {};
  const busy = new Promise<void>((resolve) => {
    finish = resolve;
  });
  await pubsub.subscribe({ topic: 'full', metadata: {} }, () => busy);
  for (let n = 0; n < 10_000; n += 1) await publish(pubsub, 'full', Buffer.from('x'));
  await publish(pubsub, 'full', Buffer.from('x')).catch(() => {});
  await pubsub.subscribe({ topic: 'fu*', metadata: {} }, async () => {
    other += 1;
  });
  await t.rejects(publish(pubsub, 'full', Buffer.from('x')), {
    message: /subscriber of topic 'full' is too slow: 10000 messages \(10000 bytes\) wait/,
  });
  finish();
  await pubsub.close();
  t.equal(other, 0);
});

t.test('a batch goes out after maxAwaitMs with what is there', async (t) => {
  const clock = fakeClock();
  const pubsub = definition.create({}, componentDeps({ clock }));
  const batches: number[] = [];
  await pubsub.bulkSubscribe?.(
    { topic: 'b', metadata: {}, maxMessages: 100, maxAwaitMs: 1000 },
    async (messages) => {
      batches.push(messages.length);
      return messages.map(() => undefined);
    },
  );
  for (let n = 0; n < 3; n += 1) await publish(pubsub, 'b', Buffer.from('x'));
  await clock.advance(999);
  t.same(batches, []);
  await clock.advance(1);
  t.same(batches, [3]);
  await pubsub.close();
});
