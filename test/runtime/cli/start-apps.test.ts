// The apps of a run file start in order: each one when the one before it is ready, has ended, or took too long.

import t from 'tap';
import { startApps } from '../../../runtime/cli/start-apps.ts';
import { runtimeError } from '../../../runtime/contracts/error.ts';
import { fakeClock } from '../../support/fake-clock.ts';

function rig() {
  const clock = fakeClock();
  const started: string[] = [];
  const ready = new Set<string>();
  const app = (name: string, hasPort = true) => {
    const { promise: ended, resolve: end } = Promise.withResolvers<void>();
    const check = (): void => {
      if (!ready.has(name)) throw runtimeError('notReady', { targets: 'app' });
    };
    return {
      end,
      health: hasPort ? { check, checkOutbound: () => {} } : undefined,
      start: () => {
        started.push(name);
        return ended;
      },
    };
  };
  return { clock, started, ready, app };
}

t.test('the next app waits until the one before it is ready', async (t) => {
  const { clock, started, ready, app } = rig();
  const all = startApps([app('a'), app('b', false), app('c')], clock, new AbortController().signal);
  await clock.advance(200);
  t.same(started, ['a']);
  ready.add('a');
  await clock.advance(100);
  t.same(started, ['a', 'b', 'c'], 'an app without a port is not waited for');
  ready.add('c');
  await clock.advance(100);
  await all;
});

t.test('an app that never listens, or ends, holds nobody up for ever', async (t) => {
  const { clock, started, app } = rig();
  const short = app('short');
  void startApps([app('deaf'), short, app('last')], clock, new AbortController().signal);
  await clock.advance(4900);
  t.same(started, ['deaf']);
  await clock.advance(200);
  t.same(started, ['deaf', 'short']);
  short.end();
  await clock.advance(100);
  t.same(started, ['deaf', 'short', 'last']);
});

t.test('a stop starts no more apps', async (t) => {
  const { clock, started, app } = rig();
  const stop = new AbortController();
  const all = startApps([app('a'), app('b')], clock, stop.signal);
  await clock.advance(100);
  stop.abort();
  await all;
  t.same(started, ['a']);
});
