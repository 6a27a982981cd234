import t from 'tap';
import { keepSubscription } from '../../../../runtime/building-blocks/pubsub/component-subscription.ts';
import { fakeClock } from '../../../support/fake-clock.ts';
import { recordingLogger } from '../../../support/recording-logger.ts';

function make(failures: number) {
  const clock = fakeClock();
  const log = recordingLogger();
  const events: string[] = [];
  let left = failures;
  const kept = keepSubscription({
    label: 't',
    clock,
    log,
    open: async () => {
      left -= 1;
      if (left >= 0) {
        events.push('refused');
        throw new Error('broker away');
      }
      events.push('opened');
      return { close: async () => void events.push('closed') };
    },
    drain: async () => void events.push('drained'),
  });
  return { clock, log, events, kept };
}

t.test('opens, closes, drains', async (t) => {
  const { events, kept } = make(0);
  await kept.opened;
  await Promise.all([kept.close(), kept.close()]);
  t.same(events, ['opened', 'closed', 'drained']);
});

t.test('tries again for ever, with growing waits', async (t) => {
  const { clock, log, events, kept } = make(3);
  await t.rejects(kept.opened, { message: 'broker away' });
  await clock.advance(500);
  t.equal(events.length, 2);
  await clock.advance(749);
  t.equal(events.length, 2);
  await clock.advance(1 + 1125);
  t.same(events, ['refused', 'refused', 'refused', 'opened']);
  t.match(log.lines.at(-1), { level: 'info', message: /after retry/ });
});

t.test('closing ends the tries', async (t) => {
  const { clock, events, kept } = make(3);
  await clock.advance(0);
  await kept.close();
  await clock.advance(100_000);
  t.same(events, ['refused', 'drained']);
  t.equal(clock.pending, 0);
});

t.test('closed while opening: what opens late is closed', async (t) => {
  const { promise, resolve } = Promise.withResolvers<void>();
  let closed = 0;
  const kept = keepSubscription({
    label: 't',
    clock: fakeClock(),
    log: recordingLogger(),
    drain: async () => {},
    open: async () => {
      await promise;
      return {
        close: async () => {
          closed += 1;
        },
      };
    },
  });
  await kept.close();
  resolve();
  await kept.opened;
  t.equal(closed, 1);
});
