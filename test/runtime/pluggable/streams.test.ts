import t from 'tap';
import { type IncomingMessage, SubscriptionClosingError } from '../../../runtime/contracts/pubsub.ts';
import { until } from '../../integration/support/until.ts';
import { socketFolder } from '../../support/pluggable-rig.ts';

const signal = new AbortController().signal;
const text = (bytes: Uint8Array | undefined): string => Buffer.from(bytes ?? []).toString();

/** A promise with the means to settle it. */
function gate(): { readonly opened: Promise<void>; open(): void } {
  const { promise, resolve } = Promise.withResolvers<void>();
  return { opened: promise, open: resolve };
}

t.test('messages one after the other, each with its answer', async (t) => {
  const { start, open } = socketFolder(t);
  const component = await start('bus.sock');
  const bus = await open('pubsub.bus', 'bus');
  const heard: IncomingMessage[] = [];
  const first = gate();
  const subscription = await bus.subscribe({ topic: 'orders', metadata: { a: 'b' } }, async (message) => {
    heard.push(message);
    if (heard.length === 1) await first.opened;
    if (text(message.data) === 'bad') throw new Error('not mine');
    if (text(message.data) === 'closing') throw new SubscriptionClosingError();
  });
  await until('the subscription', () => component.to('PubSub/PullMessages').length === 1);
  t.match(component.to('PubSub/PullMessages')[0], {
    instance: 'bus',
    request: { topic: { name: 'orders', metadata: { a: 'b' } } },
  });
  await bus.publish(
    { topic: 'orders', data: Buffer.from('one'), contentType: 'text/plain', metadata: { k: 'v' } },
    signal,
  );
  for (const data of ['bad', 'closing', 'last']) component.deliver('orders', data, data);
  await until('the first message', () => heard.length === 1);
  t.match(heard[0], { topic: 'orders', contentType: 'text/plain', metadata: { k: 'v' } });
  first.open();
  await until('three answers', () => component.answers.length === 3);
  t.equal(heard.length, 4);
  t.same(
    component.answers.map(({ ackMessageId, ackError }) => [ackMessageId, (ackError as Error)?.message]),
    [
      [component.answers[0]?.['ackMessageId'], undefined],
      ['bad', 'not mine'],
      ['last', undefined],
    ],
    'a message that was only not taken is neither acknowledged nor refused',
  );
  await subscription.close();
  component.deliver('orders', 'after', 'after');
  await bus.ping?.(signal);
  t.equal(heard.length, 4);
});

t.test('closing waits for what is under way and takes nothing new', async (t) => {
  const { start, open } = socketFolder(t);
  const component = await start('bus.sock');
  const bus = await open('pubsub.bus', 'bus');
  const work = gate();
  const heard: string[] = [];
  const subscription = await bus.subscribe({ topic: 'a', metadata: {} }, async ({ data }) => {
    heard.push(text(data));
    await work.opened;
  });
  await until('the subscription', () => component.to('PubSub/PullMessages').length === 1);
  component.deliver('a', 'one', 'one');
  await until('the message', () => heard.length === 1);
  const closing = subscription.close();
  component.deliver('a', 'two', 'two');
  await bus.ping?.(signal);
  t.equal(component.answers.length, 0);
  work.open();
  await closing;
  await until('the answer', () => component.answers.length === 1);
  t.match(component.answers, [{ ackMessageId: 'one' }]);
  t.same(heard, ['one']);
});

t.test('a paused broker: what it handed over is handled first', async (t) => {
  const { start, open } = socketFolder(t);
  const component = await start('bus.sock');
  const bus = await open('pubsub.bus', 'bus');
  await bus.pause?.();
  t.equal(component.to('PubSub/Pause').length, 0, 'nothing to pause without subscriptions');
  const heard: string[] = [];
  await bus.subscribe({ topic: 'a', metadata: {} }, async ({ data }) => void heard.push(text(data)));
  await until('the subscription', () => component.to('PubSub/PullMessages').length === 1);
  for (const data of ['1', '2', '3']) component.deliver('a', data, data);
  await bus.pause?.();
  t.equal(component.to('PubSub/Pause').length, 1);
  t.same(heard, ['1', '2', '3']);
});

t.test('batches, and components that want every message answered at once', async (t) => {
  const { start, open } = socketFolder(t);
  const component = await start('bus.sock', { pubsubFeatures: ['BULK_PUBSUB'] });
  await start('serial.sock', { pubsubFeatures: ['BULK_SUBSCRIBE_IMMEDIATE'] });
  const bus = await open('pubsub.bus', 'bus');
  const sizes: number[] = [];
  await bus.bulkSubscribe?.(
    { topic: 'a', metadata: {}, maxMessages: 3, maxAwaitMs: 60_000 },
    async (messages) => {
      sizes.push(messages.length);
      return messages.map(({ data }) => (text(data) === 'bad' ? new Error('refused') : undefined));
    },
  );
  await until('the subscription', () => component.to('PubSub/PullMessages').length === 1);
  const entries = ['1', 'bad', '3'].map((entryId) => ({
    entryId,
    data: Buffer.from(entryId),
    contentType: 'text/plain',
    metadata: {},
  }));
  const failures = await bus.bulkPublish?.('a', entries, {}, signal);
  t.match(failures, [{ entryId: 'bad', error: { message: 'a bad entry' } }]);
  component.deliver('a', 'bad', 'bad');
  await until('three answers', () => component.answers.length === 3);
  t.same(sizes, [3]);
  t.match(
    component.answers.find(({ ackMessageId }) => ackMessageId === 'bad'),
    {
      ackError: { message: 'refused' },
    },
  );

  const serial = await open('pubsub.serial', 'serial');
  t.equal(serial.bulkPublish, undefined, 'only where the component says that it can');
  const got: number[] = [];
  await serial.bulkSubscribe?.(
    { topic: 'a', metadata: {}, maxMessages: 3, maxAwaitMs: 60_000 },
    async (messages) => {
      got.push(messages.length);
      return messages.map(() => undefined);
    },
  );
  await until('a message alone', async () => {
    await serial.publish({ topic: 'a', data: Buffer.from('x'), metadata: {} }, signal);
    return got.length > 0;
  });
  t.equal(got[0], 1);
});

t.test('bindings: both directions, answers to events', async (t) => {
  const { start, open } = socketFolder(t);
  const component = await start('io.sock');
  const binding = await open('bindings.io', 'io');
  t.same(binding.operations, ['create', 'emit']);
  await binding.ping?.(signal);
  const answer = await binding.invoke?.(
    { operation: 'create', data: Buffer.from('it'), metadata: { colour: 'red' } },
    signal,
  );
  t.match(answer, { metadata: { seen: 'red' }, contentType: 'text/plain' });
  t.equal(text(answer?.data), 'create it');
  const work = gate();
  const events: string[] = [];
  const reader = await binding.read?.(async ({ data, metadata, contentType }) => {
    events.push(`${text(data)} ${metadata['k']} ${contentType}`);
    if (text(data) === 'slow') await work.opened;
    if (text(data) === 'bad') throw new Error('the app said no');
    return Buffer.from(`took ${text(data)}`);
  });
  await until('the reader', () => component.to('InputBinding/Read').length === 1);
  component.emit('1', 'slow', { k: 'v' });
  component.emit('2', 'bad', { k: 'v' });
  component.emit('3', 'good', { k: 'v' });
  await until('two answers', () => component.answers.length === 2);
  t.same(events, ['slow v text/plain', 'bad v text/plain', 'good v text/plain'], 'side by side');
  const closing = reader?.close();
  component.emit('4', 'too late');
  await until('three answers', () => component.answers.length === 3);
  work.open();
  await closing;
  await until('four answers', () => component.answers.length === 4);
  t.same(
    component.answers.map(({ messageId, responseData, responseError }) => [
      messageId,
      text(responseData as Uint8Array),
      (responseError as Error)?.message,
    ]),
    [
      ['2', '', 'the app said no'],
      ['3', 'took good', undefined],
      ['4', '', 'input binding is closed'],
      ['1', 'took slow', undefined],
    ],
  );
});

t.test('bindings: one direction', async (t) => {
  const { start, open } = socketFolder(t);
  const component = await start('io.sock');
  await start('out.sock', { serves: ['OutputBinding'] });
  const input = await open('bindings.io', 'input', { Direction: 'Input' });
  t.equal(input.invoke, undefined);
  t.type(input.read, 'function');
  t.equal(component.to('OutputBinding/Init').length, 0);
  const output = await open('bindings.out', 'output');
  t.equal(output.read, undefined);
  t.same(output.operations, ['create', 'emit']);
});

t.test('secrets', async (t) => {
  const { start, open } = socketFolder(t);
  const component = await start('vault.sock');
  const secrets = await open('secretstores.vault', 'vault', { url: 'x' });
  t.same(secrets.features, ['MULTIPLE_KEY_VALUES_PER_SECRET']);
  await secrets.ping?.(signal);
  t.same(await secrets.get('password', { version: '2' }, signal), { password: 'password!' });
  t.match(component.to('SecretStore/Get')[0]?.request, { metadata: { version: '2' } });
  t.same(await secrets.get('items SecretStore vault', {}, signal), { url: 'x' });
  t.equal(await secrets.get('empty', {}, signal), undefined);
  t.same(await secrets.bulkGet({}, signal), { one: { one: '1' }, two: { a: 'x', b: 'y' } });
  await t.rejects(secrets.get('missing', {}, signal), {
    message: 'rpc error: code = NotFound desc = no such secret',
  });
});
