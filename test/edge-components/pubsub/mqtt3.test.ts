/** `pubsub.mqtt3` on the node's own broker in-process and over TCP: the common suite, sessions, metadata. */

import t from 'tap';
import { definition } from '../../../edge-components/pubsub/mqtt3/component.ts';
import { Subscriptions } from '../../../edge-components/pubsub/mqtt3/subscriptions.ts';
import type { Clock } from '../../../runtime/contracts/clock.ts';
import { decodeMetadata } from '../../../runtime/contracts/metadata.ts';
import { type PubSub, SubscriptionClosingError } from '../../../runtime/contracts/pubsub.ts';
import { systemClock } from '../../../runtime/platform/system-clock.ts';
import { pubsubConformance } from '../../conformance/pubsub.ts';
import { componentDeps } from '../../support/component-deps.ts';
import { fakeClock } from '../../support/fake-clock.ts';
import { collect, type Rig, startRig } from '../broker/broker-rig.ts';

const SIGNAL = new AbortController().signal;

function pubsub(items: Record<string, string>, rig?: Rig, clock: Clock = hastyClock()): PubSub {
  const decoded = decodeMetadata(definition.metadata, items);
  if (!decoded.ok) throw new Error(decoded.faults.join('; '));
  return definition.create(
    decoded.value,
    componentDeps({ clock, ...(rig === undefined ? {} : { broker: rig.broker }) }),
  );
}

/** Pauses before a retry or reconnect pass at once, timeouts stay what they are. */
function hastyClock(): Clock {
  const clock = systemClock();
  return {
    ...clock,
    startTimer: (ms, run, background) => clock.startTimer(ms <= 1000 ? ms / 50 : ms, run, background),
  };
}

const publish = (
  subject: PubSub,
  topic: string,
  text: string,
  metadata: Record<string, string> = {},
): Promise<void> => subject.publish({ topic, data: Buffer.from(text), metadata }, SIGNAL);

for (const transport of ['in-process', 'tcp', 'websocket'] as const) {
  t.test(`conformance ${transport}`, async (t) => {
    const rig = await startRig(t.testdir(), { ws: { host: '127.0.0.1', port: 0 } });
    const wsUrl = rig.broker.status().listeners[1] ?? '';
    const url = { 'in-process': 'embedded:', tcp: `mqtt://127.0.0.1:${rig.port}`, websocket: wsUrl }[
      transport
    ];
    let count = 0;
    await pubsubConformance(t, {
      create: async () => {
        count += 1;
        return pubsub({ url, consumerID: `c${count}` }, transport === 'in-process' ? rig : undefined);
      },
      features: definition.capabilities,
      wildcard: (prefix) => `${prefix}/+`,
      redelivers: true,
    });
    await rig.stop();
  });
}

t.test('a session collects while the app is away; the app id is the client id', async (t) => {
  const rig = await startRig(t.testdir());
  const first = pubsub({ url: 'embedded:' }, rig);
  await first.init(SIGNAL);
  await first.subscribe({ topic: 'orders', metadata: {} }, async () => {});
  await first.close();
  const device = await rig.client();
  for (let n = 0; n < 3; n += 1) await device.publishAsync('orders', `${n}`, { qos: 1 });
  t.equal(rig.broker.status().queuedMessages, 3);
  const again = pubsub({ url: 'embedded:', consumerID: 'app' }, rig);
  await again.init(SIGNAL);
  const got = await new Promise<string[]>((resolve) => {
    const texts: string[] = [];
    void again.subscribe({ topic: 'orders', metadata: {} }, async (message) => {
      texts.push(Buffer.from(message.data).toString());
      if (texts.length === 3) resolve(texts);
    });
  });
  t.same(got, ['0', '1', '2']);
  await again.close();
  await rig.stop();
});

t.test('after a lost connection it comes back, subscribes again and redelivers', async (t) => {
  const rig = await startRig(t.testdir());
  const url = `mqtt://127.0.0.1:${rig.port}`;
  const subject = pubsub({ url, consumerID: 'phoenix' });
  await subject.init(SIGNAL);
  const texts: string[] = [];
  let arrived = (): void => {};
  await subject.subscribe({ topic: 'news', metadata: {} }, async (message) => {
    texts.push(Buffer.from(message.data).toString());
    arrived();
  });
  // A second connection with its client id throws it out; leaving lets it back in.
  const rival = await rig.client({ clientId: 'phoenix', clean: false });
  await rival.endAsync();
  const device = await rig.client();
  const delivered = new Promise<void>((resolve) => {
    arrived = resolve;
  });
  await device.publishAsync('news', 'while it was away', { qos: 1 });
  await delivered;
  await publish(subject, 'elsewhere', 'works again');
  t.same(texts, ['while it was away']);
  await subject.close();
  await rig.stop();
});

t.test('retain: component default and message metadata', async (t) => {
  const rig = await startRig(t.testdir());
  const subject = pubsub({ url: 'embedded:', retain: 'true', qos: '2' }, rig);
  await subject.init(SIGNAL);
  await publish(subject, 'r/default', 'kept');
  await publish(subject, 'r/not', 'gone', { retain: 'false' });
  await t.rejects(publish(subject, 'r/x', 'y', { retain: 'perhaps' }), {
    message: /mqtt invalid retain perhaps/,
  });
  const watcher = await rig.client();
  const got = collect(watcher);
  await watcher.subscribeAsync('r/#', { qos: 1 });
  t.same(await got.until(1), ['r/default kept']);
  const seen = await new Promise((resolve) => {
    void subject.subscribe({ topic: 'r/default', metadata: {} }, async (message) =>
      resolve(message.metadata),
    );
  });
  t.same(seen, { retained: 'true' });
  t.equal(rig.broker.status().retainedMessages, 1);
  await subject.close();
  await rig.stop();
});

t.test('topics that cannot be used are refused with the reason', async (t) => {
  const rig = await startRig(t.testdir());
  const subject = pubsub({ url: 'embedded:' }, rig);
  await subject.init(SIGNAL);
  await t.rejects(publish(subject, 'a/#', 'x'), { message: /cannot publish: topic 'a\/#' has a wildcard/ });
  await t.rejects(publish(subject, '', 'x'), { message: 'topic name is empty' });
  await t.rejects(
    subject.subscribe({ topic: 'a/#/b', metadata: {} }, async () => {}),
    { message: /cannot subscribe: topic 'a\/#\/b'/ },
  );
  await publish(subject, 'a/b', 'still connected');
  await subject.close();
  await rig.stop();
});

t.test('metadata', async (t) => {
  const decode = (items: Record<string, string>) => decodeMetadata(definition.metadata, items);
  t.same(decode({}), { ok: false, faults: ["metadata item 'url': missing url"] });
  t.match(decode({ URL: 'mqtt://h', QOS: '3' }), {
    ok: false,
    faults: [/'qos': expected an integer from 0 to 2/],
  });
  t.match(decode({ url: 'mqtt://h' }), {
    value: { qos: 1, retain: false, cleanSession: false, consumerID: '' },
  });
  await t.rejects(pubsub({ url: 'http://h' }).init(SIGNAL), {
    message: /scheme 'http:\/\/' is not one of mqtt/,
  });
  await t.rejects(pubsub({ url: 'nonsense' }).init(SIGNAL), { message: /'url': expected an address/ });
  await t.rejects(pubsub({ url: 'tls://h', caCert: 'x' }).init(SIGNAL), {
    message: /'caCert': expected a PEM certificate/,
  });
  await t.rejects(pubsub({ url: 'tls://h', clientCert: 'x' }).init(SIGNAL), {
    message: /'clientCert' and 'clientKey' belong together/,
  });
});

t.test('a broker that refuses is an error of init', async (t) => {
  const rig = await startRig(t.testdir(), { users: [{ name: 'u', password: 'right' }] });
  const wrong = pubsub({ url: `mqtt://u:wrong@127.0.0.1:${rig.port}` });
  await t.rejects(wrong.init(SIGNAL), {
    message: /failed to establish connection to MQTT broker mqtt:.*Bad username or password/,
  });
  const right = pubsub({ url: `tcp://u:right@127.0.0.1:${rig.port}` });
  await right.init(SIGNAL);
  await right.ping?.(SIGNAL);
  await right.close();
  await rig.stop();
});

t.test('which subscription gets a message', async (t) => {
  const subscriptions = new Subscriptions(systemClock());
  const add = (filter: string) => subscriptions.add(filter, async () => {});
  const pattern = add('a/+');
  const shared = add('$share/g/a/b');
  t.equal(subscriptions.find('a/b'), shared);
  const exact = add('a/b');
  t.equal(subscriptions.find('a/b'), exact);
  t.equal(subscriptions.find('a/c'), pattern);
  t.equal(subscriptions.find('b'), undefined);
  t.ok(subscriptions.remove(exact));
  t.notOk(subscriptions.remove(exact));
  t.equal(subscriptions.find('a/b'), shared);
});

t.test('a later subscription gets what an earlier one never answered before everything else', async (t) => {
  const rig = await startRig(t.testdir());
  const clock = fakeClock();
  const subject = pubsub({ url: 'embedded:' }, rig, clock);
  await subject.init(SIGNAL);
  const reasons: unknown[] = [];
  let taken = 0;
  let three: () => void = () => {};
  const full = new Promise<void>((resolve) => {
    three = resolve;
  });
  // A stream whose client is gone: it takes events and never answers.
  const dead = await subject.subscribe({ topic: 'orders', metadata: {} }, (_, signal) => {
    taken += 1;
    if (taken === 3) three();
    return new Promise((_resolve, reject) => {
      signal.addEventListener('abort', () => {
        reasons.push(signal.reason);
        reject(new Error('context canceled'));
      });
    });
  });
  const device = await rig.client();
  for (let n = 1; n <= 3; n += 1) await device.publishAsync('orders', `${n}`, { qos: 1 });
  await full;
  const texts: string[] = [];
  let six: () => void = () => {};
  const all = new Promise<void>((resolve) => {
    six = resolve;
  });
  await subject.subscribe({ topic: 'orders', metadata: {} }, async (message) => {
    texts.push(Buffer.from(message.data).toString());
    if (texts.length === 6) six();
  });
  for (let n = 4; n <= 6; n += 1) await device.publishAsync('orders', `${n}`, { qos: 1 });
  t.same(texts, [], 'nothing overtakes');
  await clock.advance(2000);
  await all;
  t.same(texts, ['1', '2', '3', '4', '5', '6']);
  t.equal(reasons.length, 3);
  t.ok(reasons.every((reason) => reason instanceof SubscriptionClosingError));
  await dead.close();
  await subject.close();
  await device.endAsync();
  await rig.stop();
});

t.test('a later subscription waits for an earlier one that answers, and nothing comes twice', async (t) => {
  const rig = await startRig(t.testdir());
  const subject = pubsub({ url: 'embedded:' }, rig, fakeClock());
  await subject.init(SIGNAL);
  const texts: string[] = [];
  let answer: () => void = () => {};
  let began: () => void = () => {};
  const begun = new Promise<void>((resolve) => {
    began = resolve;
  });
  await subject.subscribe({ topic: 'orders', metadata: {} }, async (message) => {
    began();
    await new Promise<void>((resolve) => {
      answer = resolve;
    });
    texts.push(`first ${Buffer.from(message.data).toString()}`);
  });
  const device = await rig.client();
  await device.publishAsync('orders', '1', { qos: 1 });
  await begun;
  let two: () => void = () => {};
  const all = new Promise<void>((resolve) => {
    two = resolve;
  });
  await subject.subscribe({ topic: 'orders', metadata: {} }, async (message) => {
    texts.push(`second ${Buffer.from(message.data).toString()}`);
    two();
  });
  await device.publishAsync('orders', '2', { qos: 1 });
  answer();
  await all;
  t.same(texts, ['first 1', 'second 2']);
  await subject.close();
  await device.endAsync();
  await rig.stop();
});

t.test('a later subscription waits for one that is closing', async (t) => {
  const rig = await startRig(t.testdir());
  const subject = pubsub({ url: 'embedded:' }, rig, fakeClock());
  await subject.init(SIGNAL);
  const texts: string[] = [];
  let giveBack: () => void = () => {};
  let began: () => void = () => {};
  const begun = new Promise<void>((resolve) => {
    began = resolve;
  });
  const first = await subject.subscribe({ topic: 'orders', metadata: {} }, () => {
    began();
    return new Promise((_resolve, reject) => {
      giveBack = () => reject(new SubscriptionClosingError());
    });
  });
  const device = await rig.client();
  await device.publishAsync('orders', '1', { qos: 1 });
  await begun;
  const closed = first.close();
  let two: () => void = () => {};
  const all = new Promise<void>((resolve) => {
    two = resolve;
  });
  await subject.subscribe({ topic: 'orders', metadata: {} }, async (message) => {
    texts.push(Buffer.from(message.data).toString());
    if (texts.length === 2) two();
  });
  await device.publishAsync('orders', '2', { qos: 1 });
  // Through the broker and back: what was published before is here.
  await publish(subject, 'orders/other', 'x');
  giveBack();
  await closed;
  await all;
  t.same(texts, ['1', '2']);
  await subject.close();
  await device.endAsync();
  await rig.stop();
});
