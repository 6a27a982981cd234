/** `bindings.cron`: when it fires, what the app gets, and what clocks being set do to it. */

import t, { type Test } from 'tap';
import { createCronBinding, parseSchedule } from '../../../../edge-components/bindings/cron/cron.ts';
import type { BindingEvent, BindingHandler } from '../../../../runtime/contracts/binding.ts';
import { componentDeps } from '../../../support/component-deps.ts';
import { type FakeClock, fakeClock } from '../../../support/fake-clock.ts';
import { recordingLogger } from '../../../support/recording-logger.ts';

/** 2024-03-01T10:00:00.250Z */
const START = 1_709_287_200_250;
const MINUTE = 60_000;

interface Rig {
  readonly clock: FakeClock;
  readonly events: BindingEvent[];
  readonly log: ReturnType<typeof recordingLogger>;
  readonly reader: { close(): Promise<void> };
  close(): Promise<void>;
}

async function run(t: Test, schedule: string, handler?: BindingHandler, start = START): Promise<Rig> {
  const clock = fakeClock(start);
  const log = recordingLogger();
  const events: BindingEvent[] = [];
  const binding = createCronBinding(schedule, componentDeps({ clock, log }));
  await binding.init(new AbortController().signal);
  const reader = await binding.read?.(async (event, signal) => {
    events.push(event);
    return await handler?.(event, signal);
  });
  if (reader === undefined) throw new Error('cron has an input side');
  t.teardown(() => binding.close());
  return { clock, log, events, reader, close: () => binding.close() };
}

t.test('@every counts whole seconds from the second that has begun', async (t) => {
  const { clock, events } = await run(t, '@every 5s');
  await clock.advance(4749);
  t.equal(events.length, 0, 'nothing at start, nothing early');
  await clock.advance(1);
  t.equal(events.length, 1);
  await clock.advance(15_000);
  t.equal(events.length, 4);
});

t.test('an event is empty and tells its time as Go prints it', async (t) => {
  const { clock, events } = await run(t, '@every 1s');
  await clock.advance(750);
  t.strictSame(events, [
    {
      data: new Uint8Array(),
      metadata: { timeZone: 'Local', readTimeUTC: '2024-03-01 10:00:01.000000000 +0000 UTC' },
    },
  ]);
});

t.test('intervals below a second are a second, long ones are not cut', async (t) => {
  const fast = await run(t, '@every 10ms');
  await fast.clock.advance(3000);
  t.equal(fast.events.length, 3);
  const long = await run(t, '@every 1000h');
  await long.clock.advance(1000 * 60 * MINUTE - 251);
  t.equal(long.events.length, 0, 'longer than a timer of Node can be');
  await long.clock.advance(1);
  t.equal(long.events.length, 1);
});

t.test('five fields, six fields, descriptors, time zones', async (t) => {
  const next = (schedule: string, now = START): number | undefined => parseSchedule(schedule).next(now);
  t.equal(next('TZ=UTC 1 10 * * *'), MINUTE - 250);
  t.equal(next('CRON_TZ=UTC 30 0 10 * * *'), 30_000 - 250);
  t.equal(next('TZ=Asia/Tokyo 0 20 * * *'), 60 * MINUTE - 250, '11:00 UTC');
  t.equal(next('*/15 * * * * *'), 15_000 - 250);
  t.equal(next('@hourly'), 60 * MINUTE - 250);
  t.equal(next('TZ=UTC @midnight'), 14 * 60 * MINUTE - 250);
  t.equal(next('TZ=UTC @annually'), next('TZ=UTC 0 0 1 1 *'));
});

t.test('a schedule that is none stops the start and names the item', async (t) => {
  for (const bad of [
    '',
    'soon',
    '@every',
    '@every x',
    '@every -5s',
    '@every 0s',
    '* * *',
    '99 * * * *',
    '@never',
    'TZ=Nowhere/At_All * * * * *',
  ])
    t.throws(
      () => createCronBinding(bad, componentDeps()),
      { message: /^metadata item 'schedule': expected/ },
      bad,
    );
});

t.test('fields follow the wall clock: a clock that is set neither fires early nor twice', async (t) => {
  const { clock, events } = await run(t, 'TZ=UTC 0 3 * * *', undefined, 0);
  await clock.advance(MINUTE);
  clock.setWallClock(START);
  await clock.advance(MINUTE);
  t.equal(events.length, 0, 'what 1970 had due is not made up for');
  await clock.advance(17 * 60 * MINUTE - 2 * MINUTE);
  t.equal(events.length, 0);
  await clock.advance(2 * MINUTE);
  t.equal(events.length, 1, 'at 03:00 of the new clock');
  t.match(events[0]?.metadata['readTimeUTC'], /^2024-03-02 03:00:0/);
  await clock.advance(24 * 60 * MINUTE);
  t.equal(events.length, 2);
});

t.test('@every does not care about the wall clock', async (t) => {
  const { clock, events } = await run(t, '@every 10s', undefined, 0);
  await clock.advance(5000);
  clock.setWallClock(START);
  await clock.advance(5000);
  t.equal(events.length, 1);
});

t.test('a failing app shows in the log and changes nothing else', async (t) => {
  const { clock, events, log } = await run(t, '@every 1s', async () => {
    throw new Error('no');
  });
  await clock.advance(2000);
  t.equal(events.length, 2);
  t.match(log.lines[0], { level: 'error', message: 'cron binding test: the app failed: no' });
});

t.test('ticks overlap while the app is slow, up to a bound', async (t) => {
  const { clock, events, log } = await run(
    t,
    '@every 1s',
    (_event, signal) =>
      new Promise((resolve) => signal.addEventListener('abort', () => resolve(undefined), { once: true })),
  );
  await clock.advance(70_000);
  t.equal(events.length, 64);
  t.match(log.lines[0], { level: 'warn', message: /a tick was skipped/ });
});

t.test('close stops, tells the app side, and waits for it', async (t) => {
  let ended = false;
  const { clock, events, close, reader } = await run(t, '@every 1s', async (_event, signal) => {
    await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }));
    ended = true;
    return undefined;
  });
  await clock.advance(1000);
  await reader.close();
  t.ok(ended);
  t.equal(clock.pending, 0);
  await clock.advance(5000);
  t.equal(events.length, 1);
  await close();
});
