import t from 'tap';
import type { DeliveryResult } from '../../../../runtime/contracts/app-channel.ts';
import type { StreamedEvent, SubscriptionsBlock } from '../../../../runtime/contracts/blocks.ts';
import { runtimeError } from '../../../../runtime/contracts/error.ts';
import {
  SubscribeTopicEventsRequestAlpha1Schema as Request,
  SubscribeTopicEventsResponseAlpha1Schema as Response,
} from '../../../../runtime/generated/dapr/proto/runtime/v1/pubsub_pb.ts';
import { type DaprStream, daprStream } from '../../../support/dapr-calls.ts';
import { startDapr } from '../../../support/fake-blocks.ts';

interface Test {
  teardown(run: () => unknown): void;
}
type Stream = DaprStream<typeof Request, typeof Response>;

interface Opened {
  stream: Stream;
  asked: unknown[];
  drain: AbortController;
  /** The component hands over an event. */
  offer(id: string, signal?: AbortSignal): Promise<DeliveryResult>;
  closed: Promise<void>;
}

async function open(t: Test, initial?: object): Promise<Opened> {
  const asked: unknown[] = [];
  const drain = new AbortController();
  const closed = Promise.withResolvers<void>();
  let deliver: Parameters<SubscriptionsBlock['subscribeStream']>[1] | undefined;
  const server = await startDapr(
    t,
    {
      subscriptions: {
        subscribeStream: async (request, handler) => {
          asked.push(request);
          if (request.pubsubName === 'no') throw runtimeError('pubsubNotFound', { pubsub: 'no' });
          deliver = handler;
          return { close: async () => closed.resolve() };
        },
      },
    },
    { draining: drain.signal },
  );
  const stream = daprStream(server, 'SubscribeTopicEventsAlpha1', Request, Response);
  if (initial !== undefined) stream.send(initialRequest(initial));
  return {
    stream,
    asked,
    drain,
    closed: closed.promise,
    offer: (id, signal = new AbortController().signal) => {
      const event: StreamedEvent = {
        envelope: { id, data: `data of ${id}` },
        topic: 't',
        pubsubName: 'p',
        metadata: {},
      };
      if (deliver === undefined) throw new Error('no subscription');
      return deliver(event, signal);
    },
  };
}

const initialRequest = (value: object) => ({
  subscribeTopicEventsRequestType: { case: 'initialRequest' as const, value },
});
const processed = (id: string, status: 0 | 1 | 2) => ({
  subscribeTopicEventsRequestType: { case: 'eventProcessed' as const, value: { id, status: { status } } },
});
const eventId = async (stream: Stream): Promise<string> => {
  const { subscribeTopicEventsResponseType: type } = await stream.next();
  return type.case === 'eventMessage' ? type.value.id : `${type.case}`;
};

t.test('the first message is checked', async (t) => {
  const refusal = async (initial: object | undefined): Promise<unknown> => {
    const { stream } = await open(t, initial);
    if (initial === undefined) stream.end();
    return stream.status;
  };
  t.same(await refusal(undefined), { code: 2, text: 'EOF' });
  t.same(await refusal({}), { code: 2, text: 'pubsubName is required' });
  t.same(await refusal({ pubsubName: 'p' }), { code: 2, text: 'topic is required' });
  t.same(await refusal({ pubsubName: 'no', topic: 't' }), { code: 3, text: 'pubsub no is not found' });
  const { stream } = await open(t);
  stream.send(processed('x', 0));
  t.same(await stream.status, { code: 2, text: 'initial request is required' });
});

t.test('events go out and answers come back, in any order', async (t) => {
  const { stream, offer, asked, closed } = await open(t, {
    pubsubName: 'p',
    topic: 't',
    metadata: { m: '1' },
    deadLetterTopic: 'd',
  });
  t.equal(await eventId(stream), 'initialResponse');
  t.same(asked, [{ pubsubName: 'p', topic: 't', metadata: { m: '1' }, deadLetterTopic: 'd' }]);
  const results = ['1', '2', '3'].map((id) => offer(id));
  const { subscribeTopicEventsResponseType: first } = await stream.next();
  t.match(first, {
    value: {
      id: '1',
      topic: 't',
      pubsubName: 'p',
      path: '/',
      source: 'test',
      data: Buffer.from('data of 1'),
    },
  });
  t.same([await eventId(stream), await eventId(stream)], ['2', '3']);
  stream.send(processed('unknown', 0));
  stream.send(processed('3', 2));
  stream.send(processed('1', 0));
  stream.send(processed('2', 1));
  t.match(await Promise.all(results), [
    { kind: 'success' },
    { kind: 'retry', error: { message: /RETRY/ } },
    { kind: 'drop' },
  ]);
  stream.cancel();
  await closed;
});

t.test('one id in flight twice: each answer settles the older', async (t) => {
  const { stream, offer } = await open(t, { pubsubName: 'p', topic: 't' });
  await eventId(stream);
  const results = [offer('same'), offer('same')];
  await eventId(stream);
  await eventId(stream);
  stream.send(processed('same', 0));
  t.match(await results[0], { kind: 'success' });
  stream.send(processed('same', 2));
  t.match(await results[1], { kind: 'drop' });
});

t.test('an event that is cancelled, and one whose stream goes away, are retried', async (t) => {
  const { stream, offer, closed } = await open(t, { pubsubName: 'p', topic: 't' });
  await eventId(stream);
  const controller = new AbortController();
  const cancelled = offer('1', controller.signal);
  await eventId(stream);
  controller.abort();
  t.match(await cancelled, { kind: 'retry' });
  const abandoned = offer('2');
  await eventId(stream);
  stream.cancel();
  t.match(await abandoned, { kind: 'retry', error: { name: 'SubscriptionClosingError' } });
  await closed;
  t.match(await offer('3'), { kind: 'retry' }, 'and so is one that comes later');
});

t.test('a second initial request and a half-close end the stream', async (t) => {
  const twice = await open(t, { pubsubName: 'p', topic: 't' });
  await eventId(twice.stream);
  twice.stream.send(initialRequest({ pubsubName: 'p', topic: 't' }));
  t.same(await twice.stream.status, { code: 2, text: 'duplicate initial request received' });
  await twice.closed;
  const half = await open(t, { pubsubName: 'p', topic: 't' });
  await eventId(half.stream);
  half.stream.end();
  t.same(await half.stream.status, { code: 2, text: 'EOF' });
});

t.test('at shutdown the stream ends once its events are answered', async (t) => {
  const { stream, offer, drain, closed } = await open(t, { pubsubName: 'p', topic: 't' });
  await eventId(stream);
  const result = offer('1');
  await eventId(stream);
  drain.abort();
  stream.send(processed('1', 0));
  t.match(await result, { kind: 'success' });
  t.same(await stream.status, { code: 2, text: 'stream closed' });
  await closed;
});
