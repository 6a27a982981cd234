import t from 'tap';
import { createInFlight } from '../../../../runtime/building-blocks/pubsub/in-flight.ts';
import { fakeClock } from '../../../support/fake-clock.ts';

const parent = new AbortController().signal;

t.test('closing waits for calls that are under way and accepts nothing new', async (t) => {
  const clock = fakeClock();
  const inFlight = createInFlight(clock);
  const { promise, resolve } = Promise.withResolvers<string>();
  const running = inFlight.run(parent, (flight) => flight.attempt(() => promise));
  let closed = false;
  const closing = inFlight.close().then(() => {
    closed = true;
  });
  await t.rejects(
    inFlight.run(parent, async () => 'new'),
    { name: 'SubscriptionClosingError' },
  );
  await clock.advance(29_000);
  t.equal(closed, false);
  resolve('answered');
  t.equal(await running, 'answered');
  await closing;
  t.equal(clock.pending, 0);
});

t.test('closing ends the wait before another try', async (t) => {
  const clock = fakeClock();
  const inFlight = createInFlight(clock);
  const running = inFlight.run(parent, async (flight) => {
    await flight.attempt(async () => 'failed');
    await clock.sleep(60_000, flight.signal);
  });
  running.catch(() => {});
  await clock.advance(10);
  await inFlight.close();
  await t.rejects(running, { name: 'SubscriptionClosingError' });
});

t.test('a delivery that has not called yet gets its call, and no second one', async (t) => {
  const clock = fakeClock();
  const inFlight = createInFlight(clock);
  const { promise: before, resolve } = Promise.withResolvers<void>();
  let aborted: boolean | undefined;
  const running = inFlight.run(parent, async (flight) => {
    await before;
    await flight.attempt(async () => {
      aborted = flight.signal.aborted;
    });
    return flight.signal.aborted;
  });
  const closing = inFlight.close();
  resolve();
  t.equal(await running, true, 'no further try');
  t.equal(aborted, false);
  await closing;
});

t.test('after 30 s calls are aborted', async (t) => {
  const clock = fakeClock();
  const inFlight = createInFlight(clock);
  const running = inFlight.run(parent, (flight) => flight.attempt(() => clock.sleep(1e9, flight.signal)));
  running.catch(() => {});
  const closing = inFlight.close();
  await clock.advance(30_000);
  await closing;
  await t.rejects(running, { name: 'SubscriptionClosingError' });
});

t.test('a component that gives up aborts its delivery', async (t) => {
  const inFlight = createInFlight(fakeClock());
  const component = new AbortController();
  const running = inFlight.run(component.signal, (flight) => fakeClock().sleep(1000, flight.signal));
  component.abort(new Error('component closed'));
  await t.rejects(running, { message: 'component closed' });
});
