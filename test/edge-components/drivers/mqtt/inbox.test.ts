/** Order, concurrency, retry and redelivery of incoming messages, without a broker. */

import t from 'tap';
import { Inbox, type InboxMessage } from '../../../../edge-components/drivers/mqtt/inbox.ts';
import { SubscriptionClosingError } from '../../../../runtime/contracts/pubsub.ts';
import { fakeClock } from '../../../support/fake-clock.ts';
import { recordingLogger } from '../../../support/recording-logger.ts';

interface Run {
  readonly payload: string;
  succeed(): Promise<void>;
  fail(error?: Error): Promise<void>;
}

function rig(options: { maxConcurrent?: number; handled?: (topic: string) => boolean } = {}) {
  const clock = fakeClock();
  const acknowledged: string[] = [];
  const runs: Run[] = [];
  const settle = async (): Promise<void> => {
    for (let turn = 0; turn < 10; turn += 1) await Promise.resolve();
  };
  const inbox = new Inbox({
    clock,
    log: recordingLogger(),
    maxConcurrent: options.maxConcurrent ?? 64,
    retryDelayMs: (attempt) => Math.min(30_000, 1000 * 2 ** (attempt - 1)),
    acknowledge: (message) => acknowledged.push(message.payload.toString()),
    handle: (message) => {
      if (options.handled?.(message.topic) === false) return undefined;
      return new Promise<void>((resolve, reject) => {
        runs.push({
          payload: message.payload.toString(),
          succeed: async () => {
            resolve();
            await settle();
          },
          fail: async (error = new Error('no')) => {
            reject(error);
            await settle();
          },
        });
      });
    },
  });
  return { inbox, clock, acknowledged, runs, started: () => runs.map((run) => run.payload) };
}

const message = (payload: string, packetId: number, more: Partial<InboxMessage> = {}): InboxMessage => ({
  topic: 't',
  payload: Buffer.from(payload),
  qos: 1,
  retain: false,
  dup: false,
  packetId,
  ...more,
});

t.test('handlers overlap, acknowledgements keep the order of arrival', async (t) => {
  const { inbox, acknowledged, runs, started } = rig();
  for (const n of [1, 2, 3]) inbox.accept(message(`${n}`, n));
  t.same(started(), ['1', '2', '3']);
  await runs[2]?.succeed();
  await runs[1]?.succeed();
  t.same(acknowledged, []);
  await runs[0]?.succeed();
  t.same(acknowledged, ['1', '2', '3']);
});

t.test('a failed message steps aside and is tried again with growing pauses', async (t) => {
  const { inbox, clock, acknowledged, runs, started } = rig();
  inbox.accept(message('bad', 1));
  inbox.accept(message('good', 2));
  await runs[0]?.fail();
  await runs[1]?.succeed();
  t.same(acknowledged, ['good'], 'it holds up nobody');
  await clock.advance(999);
  t.equal(runs.length, 2);
  await clock.advance(1);
  await runs[2]?.fail();
  await clock.advance(2000);
  t.same(started(), ['bad', 'good', 'bad', 'bad']);
  t.same(acknowledged, ['good']);
  await runs[3]?.succeed();
  t.same(acknowledged, ['good', 'bad']);
});

t.test('no more handlers than allowed run at a time', async (t) => {
  const { inbox, runs, started } = rig({ maxConcurrent: 2 });
  for (const n of [1, 2, 3, 4]) inbox.accept(message(`${n}`, n));
  t.same(started(), ['1', '2']);
  await runs[1]?.succeed();
  t.same(started(), ['1', '2', '3']);
});

t.test('after a reconnect the copy joins the message that is still here', async (t) => {
  const { inbox, clock, acknowledged, runs, started } = rig();
  for (const [n, payload] of ['running', 'failed', 'finished'].entries())
    inbox.accept(message(payload, n + 1));
  await runs[1]?.fail();
  inbox.disconnected();
  await runs[2]?.succeed();
  t.same(acknowledged, [], 'nothing is acknowledged on a connection that is gone');
  inbox.reconnected(true);
  await clock.advance(60_000);
  t.equal(runs.length, 3, 'the failed one waits for its copy');
  for (const [n, payload] of ['running', 'failed', 'finished'].entries())
    inbox.accept(message(payload, n + 1, { dup: true }));
  t.same(started(), ['running', 'failed', 'finished', 'failed']);
  await runs[0]?.succeed();
  await runs[3]?.succeed();
  t.same(acknowledged, ['running', 'failed', 'finished']);
});

t.test('an equal message that is no repetition is a new message', async (t) => {
  const { inbox, runs, acknowledged } = rig();
  inbox.accept(message('same', 1));
  inbox.disconnected();
  await runs[0]?.succeed();
  inbox.reconnected(true);
  inbox.accept(message('same', 1));
  t.equal(runs.length, 2);
  await runs[1]?.succeed();
  t.same(acknowledged, ['same']);
});

t.test('when the broker lost the session, messages here are tried on and never acknowledged', async (t) => {
  const { inbox, clock, runs, acknowledged } = rig();
  inbox.accept(message('only copy', 1));
  await runs[0]?.fail();
  inbox.disconnected();
  inbox.reconnected(false);
  await clock.advance(1000);
  t.equal(runs.length, 2);
  await runs[1]?.succeed();
  t.same(acknowledged, []);
});

t.test('a message nobody handles waits, unacknowledged, for a handler', async (t) => {
  let handled = false;
  const { inbox, runs, acknowledged } = rig({ handled: () => handled });
  inbox.accept(message('early', 1));
  inbox.accept(message('lost', 0, { qos: 0 }));
  t.equal(runs.length, 0);
  handled = true;
  inbox.retryParked();
  t.equal(runs.length, 1);
  await runs[0]?.succeed();
  t.same(acknowledged, ['early']);
});

t.test('QoS 0: the oldest that waits makes room, a failed one is gone', async (t) => {
  const { inbox, clock, runs, started } = rig({ maxConcurrent: 1 });
  for (let n = 0; n <= 1002; n += 1) inbox.accept(message(`${n}`, 0, { qos: 0 }));
  t.equal(inbox.dropped, 2);
  await runs[0]?.fail();
  t.same(started(), ['0', '3']);
  await clock.advance(60_000);
  t.equal(runs.length, 2);
});

t.test('close waits for running handlers and starts nothing more', async (t) => {
  const { inbox, clock, runs } = rig({ maxConcurrent: 1 });
  inbox.accept(message('1', 1));
  inbox.accept(message('2', 2));
  let closed = false;
  const closing = inbox.close().then(() => {
    closed = true;
  });
  await Promise.resolve();
  t.notOk(closed);
  await runs[0]?.fail();
  await closing;
  await clock.advance(60_000);
  t.equal(runs.length, 1);
});

t.test('what a closing subscription gives back goes to the next one, before what came later', async (t) => {
  const { inbox, acknowledged, runs, started, clock } = rig({ maxConcurrent: 3 });
  for (const n of [1, 2, 3, 4]) inbox.accept(message(`${n}`, n));
  await runs[0]?.succeed();
  for (const n of [2, 1, 3]) await runs[n]?.fail(new SubscriptionClosingError());
  await clock.advance(60_000);
  t.same(started(), ['1', '2', '3', '4'], 'nobody is there');
  inbox.accept(message('5', 5));
  await runs[4]?.fail(new SubscriptionClosingError());
  inbox.retryParked();
  t.same(started().slice(5), ['2', '3', '4']);
  for (const n of [5, 6, 7]) await runs[n]?.succeed();
  await runs[8]?.succeed();
  t.same(acknowledged, ['1', '2', '3', '4', '5']);
});
