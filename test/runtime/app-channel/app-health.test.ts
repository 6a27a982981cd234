import type { AddressInfo } from 'node:net';
import { createServer } from 'node:net';
import t from 'tap';
import { createAppHealth } from '../../../runtime/app-channel/app-health.ts';
import { createConcurrencyLimit } from '../../../runtime/app-channel/concurrency-limit.ts';
import { waitForApp } from '../../../runtime/app-channel/wait-for-app.ts';
import { fakeClock } from '../../support/fake-clock.ts';
import { recordingLogger } from '../../support/recording-logger.ts';

const CHECKS = { path: '/healthz', intervalMs: 1000, timeoutMs: 300, threshold: 2 };

t.test('one success makes it healthy, failures in a row make it unhealthy', async (t) => {
  const clock = fakeClock();
  const answers: (boolean | Error)[] = [false, true, false, true, false, new Error('refused'), true];
  const health = createAppHealth({
    checks: CHECKS,
    clock,
    log: recordingLogger(),
    probe: async (path) => {
      t.equal(path, '/healthz');
      const answer = answers.shift() ?? true;
      if (answer instanceof Error) throw answer;
      return answer;
    },
  });
  const changes: boolean[] = [];
  health.onChange((healthy) => changes.push(healthy));
  t.equal(health.healthy, false);
  health.start();
  await clock.advance(0);
  t.same([health.healthy, changes], [false, []]);
  await clock.advance(3000);
  t.same([health.healthy, changes], [true, [true]], 'a single failure does not count');
  await clock.advance(2000);
  t.same([health.healthy, changes], [false, [true, false]]);
  await clock.advance(1000);
  t.same(changes, [true, false, true]);
  health.close();
  t.equal(clock.pending, 0);
});

t.test('a probe that takes longer than its timeout is a failure', async (t) => {
  const clock = fakeClock();
  let aborted = false;
  const health = createAppHealth({
    checks: { ...CHECKS, threshold: 1 },
    clock,
    log: recordingLogger(),
    probe: (_path, signal) =>
      new Promise((_resolve, reject) =>
        signal.addEventListener('abort', () => {
          aborted = true;
          reject(signal.reason);
        }),
      ),
  });
  health.start();
  await clock.advance(299);
  t.equal(aborted, false);
  await clock.advance(1);
  t.equal(aborted, true);
  t.equal(health.healthy, false);
  health.close();
});

t.test('without probes an app is healthy once its port accepts', async (t) => {
  const health = createAppHealth({
    clock: fakeClock(),
    log: recordingLogger(),
    probe: async () => t.fail('no probe') as never,
  });
  const changes: boolean[] = [];
  const stop = health.onChange((healthy) => changes.push(healthy));
  health.start();
  t.same([health.healthy, changes], [true, [true]]);
  stop();
});

t.test('waiting for the port of the app', async (t) => {
  const server = createServer((socket) => socket.destroy());
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  const clock = fakeClock();
  const sleeps: number[] = [];
  const sleep = async (ms: number): Promise<void> => {
    sleeps.push(ms);
    if (sleeps.length === 2) await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
  };
  await waitForApp(
    { address: '127.0.0.1', port, tls: false, clock: { ...clock, sleep } },
    new AbortController().signal,
  );
  t.same(sleeps, [100, 100]);
  await new Promise((resolve) => server.close(resolve));
  const abort = new AbortController();
  abort.abort(new Error('stopping'));
  await t.rejects(waitForApp({ address: '127.0.0.1', port, tls: false, clock }, abort.signal), {
    message: 'stopping',
  });
});

t.test('the concurrency limit: in order, bounded, and a waiter may leave', async (t) => {
  const signal = new AbortController().signal;
  t.equal(createConcurrencyLimit(0), undefined);
  const limit = createConcurrencyLimit(1, 2);
  if (limit === undefined) return;
  const first = limit.acquire(signal) as () => void;
  t.type(first, 'function', 'a free place costs no promise');
  const leaving = new AbortController();
  const leaver = limit.acquire(leaving.signal) as Promise<() => void>;
  const second = limit.acquire(signal) as Promise<() => void>;
  await t.rejects(limit.acquire(signal) as Promise<unknown>, { message: /too many calls/ });
  leaving.abort(new Error('gone'));
  await t.rejects(leaver, { message: 'gone' });
  first();
  first();
  const release = await second;
  release();
  t.type(limit.acquire(signal), 'function', 'giving back twice frees one place only');
  t.type(limit.acquire(signal), Promise);
});
