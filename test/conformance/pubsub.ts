/** What every pub/sub component must do, as a suite that each of them runs. */

import type { Test } from 'tap';
import type {
  ComponentSubscription,
  IncomingMessage,
  MessageHandler,
  PubSub,
} from '../../runtime/contracts/pubsub.ts';

export interface PubSubUnderTest {
  /** A new instance, not initialised; the suite closes it. */
  create(): Promise<PubSub>;
  readonly features: readonly string[];
  /** A subscription topic that covers `<prefix>/x` and `<prefix>/y`. */
  wildcard(prefix: string): string;
  /** True when a message whose handler failed is handed over again, within the patience of a test. */
  readonly redelivers: boolean;
}

const SIGNAL = new AbortController().signal;

/** Runs the suite; topics are unique per case, so instances may share a broker. */
export async function pubsubConformance(t: Test, subject: PubSubUnderTest): Promise<void> {
  const opened = async (t: Test): Promise<PubSub> => {
    const instance = await subject.create();
    t.teardown(() => instance.close());
    await instance.init(SIGNAL);
    return instance;
  };
  const publish = (
    pubsub: PubSub,
    topic: string,
    text: string,
    metadata: Record<string, string> = {},
  ): Promise<void> =>
    pubsub.publish({ topic, data: Buffer.from(text), contentType: 'text/plain', metadata }, SIGNAL);

  await t.test('declares its features', async (t) => {
    t.same([...(await opened(t)).features].sort(), [...subject.features].sort());
  });

  await t.test('delivers in order, with topic and bytes as they were', async (t) => {
    const pubsub = await opened(t);
    const inbox = received();
    await pubsub.subscribe({ topic: 'order/a', metadata: {} }, inbox.handler);
    for (let n = 0; n < 20; n += 1) await publish(pubsub, 'order/a', `é${n}`);
    await publish(pubsub, 'order/b', 'elsewhere');
    const messages = await inbox.until(20);
    t.same(
      messages.map((one) => Buffer.from(one.data).toString()),
      Array.from({ length: 20 }, (_, n) => `é${n}`),
    );
    t.ok(messages.every((one) => one.topic === 'order/a'));
  });

  await t.test('a publish does not wait for its subscriber', async (t) => {
    const pubsub = await opened(t);
    let finish = (): void => {};
    const busy = new Promise<void>((resolve) => {
      finish = resolve;
    });
    const subscription = await pubsub.subscribe({ topic: 'busy', metadata: {} }, () => busy);
    for (let n = 0; n < 3; n += 1) await publish(pubsub, 'busy', `${n}`);
    finish();
    await subscription.close();
    t.pass('three publishes were answered while the first was handled');
  });

  await t.test('wildcards', async (t) => {
    if (!subject.features.includes('SUBSCRIBE_WILDCARDS')) {
      t.pass('not supported');
      return;
    }
    const pubsub = await opened(t);
    const inbox = received();
    await pubsub.subscribe({ topic: subject.wildcard('wild'), metadata: {} }, inbox.handler);
    await publish(pubsub, 'wild/x', '1');
    await publish(pubsub, 'tame/x', '2');
    await publish(pubsub, 'wild/y', '3');
    t.same(
      (await inbox.until(2)).map((one) => one.topic),
      ['wild/x', 'wild/y'],
    );
  });

  await t.test('a failed message', async (t) => {
    const pubsub = await opened(t);
    const seen: string[] = [];
    const enough = gate();
    await pubsub.subscribe({ topic: 'fails', metadata: {} }, async (message) => {
      const text = Buffer.from(message.data).toString();
      seen.push(text);
      const first = text === 'bad' && seen.filter((one) => one === 'bad').length === 1;
      if (seen.length >= (subject.redelivers ? 3 : 2)) enough.open();
      if (first) throw new Error('not now');
    });
    await publish(pubsub, 'fails', 'bad');
    await publish(pubsub, 'fails', 'good');
    await enough.opened;
    t.same(seen, subject.redelivers ? ['bad', 'good', 'bad'] : ['bad', 'good'], 'the others are not held up');
  });

  await t.test('a closed subscription gets nothing more, what is in flight is answered', async (t) => {
    const pubsub = await opened(t);
    const started = gate();
    const finish = gate();
    let handled = 0;
    const subscription = await pubsub.subscribe(
      { topic: 'closing', metadata: { unsubscribeOnClose: 'true' } },
      async () => {
        started.open();
        await finish.opened;
        handled += 1;
      },
    );
    await publish(pubsub, 'closing', '1');
    await started.opened;
    const closing = closeOf(subscription);
    finish.open();
    await closing;
    t.equal(handled, 1);
    await publish(pubsub, 'closing', '2');
    const inbox = received();
    await pubsub.subscribe({ topic: 'closing', metadata: {} }, inbox.handler);
    await publish(pubsub, 'closing', '3');
    t.match(Buffer.from((await inbox.until(1))[0]?.data ?? []).toString(), '3');
    t.equal(handled, 1);
  });

  await t.test('after close, publishing and subscribing are refused; closing twice is fine', async (t) => {
    const pubsub = await opened(t);
    await pubsub.close();
    await pubsub.close();
    await t.rejects(publish(pubsub, 'x', 'y'), { message: /closed/ });
    await t.rejects(
      pubsub.subscribe({ topic: 'x', metadata: {} }, async () => {}),
      { message: /closed/ },
    );
  });

  await t.test('close works without init', async () => {
    await (await subject.create()).close();
  });

  const { bulkSubscribe } = await opened(t);
  if (bulkSubscribe !== undefined) {
    await t.test('batches hold what waits', async (t) => {
      const pubsub = await opened(t);
      const batches: number[] = [];
      const enough = gate();
      await pubsub.bulkSubscribe?.(
        { topic: 'bulk', metadata: {}, maxMessages: 4, maxAwaitMs: 20_000 },
        async (messages) => {
          batches.push(messages.length);
          if (batches.length === 2) enough.open();
          return messages.map(() => undefined);
        },
      );
      for (let n = 0; n < 8; n += 1) await publish(pubsub, 'bulk', `${n}`);
      await enough.opened;
      t.same(batches, [4, 4]);
    });
  }
}

function received(): {
  readonly handler: MessageHandler;
  until(count: number): Promise<readonly IncomingMessage[]>;
} {
  const messages: IncomingMessage[] = [];
  let check = (): void => {};
  return {
    handler: async (message) => {
      messages.push(message);
      check();
    },
    until: (count) =>
      new Promise((resolve) => {
        check = () => {
          if (messages.length >= count) resolve(messages.slice(0, count));
        };
        check();
      }),
  };
}

function gate(): { open(): void; readonly opened: Promise<void> } {
  let open = (): void => {};
  const opened = new Promise<void>((resolve) => {
    open = resolve;
  });
  return { open: () => open(), opened };
}

const closeOf = (subscription: ComponentSubscription): Promise<void> => subscription.close();
