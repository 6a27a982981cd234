/** `bindings.mqtt3` on the node's own broker: both directions, acknowledgement, metadata. */

import t from 'tap';
import { definition } from '../../../edge-components/bindings/mqtt3/component.ts';
import type { Binding, BindingEvent } from '../../../runtime/contracts/binding.ts';
import { decodeMetadata } from '../../../runtime/contracts/metadata.ts';
import { systemClock } from '../../../runtime/platform/system-clock.ts';
import { componentDeps } from '../../support/component-deps.ts';
import { collect, type Rig, startRig } from '../broker/broker-rig.ts';

const SIGNAL = new AbortController().signal;

function binding(items: Record<string, string>, rig: Rig): Binding {
  const decoded = decodeMetadata(definition.metadata, {
    url: 'embedded:',
    topic: 'in',
    consumerID: 'b',
    ...items,
  });
  if (!decoded.ok) throw new Error(decoded.faults.join('; '));
  return definition.create(decoded.value, componentDeps({ broker: rig.broker, clock: systemClock() }));
}

t.test('create publishes to the default topic or the one of the request', async (t) => {
  const rig = await startRig(t.testdir());
  const watcher = await rig.client();
  const got = collect(watcher);
  await watcher.subscribeAsync('#', { qos: 1 });
  const subject = binding({ retain: 'true' }, rig);
  await subject.init(SIGNAL);
  t.same(subject.operations, ['create']);
  t.equal(
    await subject.invoke?.({ operation: 'create', data: Buffer.from('one'), metadata: {} }, SIGNAL),
    undefined,
  );
  await subject.invoke?.(
    { operation: 'create', data: Buffer.from('two'), metadata: { topic: 'else/where' } },
    SIGNAL,
  );
  t.same(await got.until(2), ['in one', 'else/where two']);
  t.equal(rig.broker.status().retainedMessages, 2);
  await subject.close();
  await t.rejects(
    Promise.resolve(subject.invoke?.({ operation: 'create', data: Buffer.from(''), metadata: {} }, SIGNAL)),
    { message: /closed/ },
  );
  await rig.stop();
});

t.test('an event is acknowledged after the app accepted it, and kept while nobody reads', async (t) => {
  const rig = await startRig(t.testdir());
  const subject = binding({}, rig);
  await subject.init(SIGNAL);
  let answer = (): void => {};
  const events: BindingEvent[] = [];
  const first = await new Promise<{ close(): Promise<void> }>((resolve, reject) => {
    const reading = subject.read?.(async (event) => {
      events.push(event);
      await new Promise<void>((done) => {
        answer = done;
      });
      return undefined;
    });
    reading?.then(resolve, reject);
  });
  const device = await rig.client();
  await device.publishAsync('in', 'hot', { qos: 1 });
  while (events.length === 0) await new Promise((resolve) => setImmediate(resolve));
  t.match(events, [{ metadata: { topic: 'in' } }]);
  t.equal(Buffer.from(events[0]?.data ?? []).toString(), 'hot');
  t.equal(rig.broker.status().queuedMessages, 1, 'not acknowledged while the app works');
  const closing = first.close();
  answer();
  await closing;
  await device.publishAsync('in', 'later', { qos: 1 });
  t.equal(rig.broker.status().queuedMessages, 1, 'kept for the session');
  const got = await new Promise<string>((resolve) => {
    void subject.read?.(async (event) => {
      resolve(Buffer.from(event.data).toString());
      return undefined;
    });
  });
  t.equal(got, 'later');
  await subject.close();
  await rig.stop();
});

t.test('metadata', async (t) => {
  t.same(decodeMetadata(definition.metadata, {}), {
    ok: false,
    faults: [
      "metadata item 'url': missing url",
      "metadata item 'topic': missing topic",
      "metadata item 'consumerID': missing consumerID",
    ],
  });
  const rest = { url: 'mqtt://h', topic: 't', consumerId: 'c' };
  t.match(decodeMetadata(definition.metadata, rest), {
    value: { backOffMaxRetries: 0, cleanSession: false, retain: false },
  });
  t.match(decodeMetadata(definition.metadata, { ...rest, backOffMaxRetries: '-2' }), {
    ok: false,
    faults: [/'backOffMaxRetries'/],
  });
});
