import t from 'tap';
import { PermanentError } from '../../../runtime/contracts/resiliency.ts';
import { createCircuitBreaker } from '../../../runtime/resiliency/circuit-breaker.ts';
import { createPolicy, NO_POLICY, type PolicyParts } from '../../../runtime/resiliency/policy.ts';
import { DEFAULT_RETRY } from '../../../runtime/resiliency/resiliency-schema.ts';
import { fakeClock } from '../../support/fake-clock.ts';
import { seededRandom } from '../../support/seeded-random.ts';

const retry = { ...DEFAULT_RETRY, durationMs: 50, maxRetries: 2 };
const { signal } = new AbortController();

function make(parts: Partial<PolicyParts> & { breakAfter?: number }) {
  const clock = fakeClock();
  const events: string[] = [];
  const { breakAfter, ...rest } = parts;
  const trip = {
    maxRequests: 1,
    intervalMs: 0,
    timeoutMs: 1000,
    trip: (c: { consecutiveFailures: number }) => c.consecutiveFailures > (breakAfter ?? 0),
  };
  const breaker = breakAfter === undefined ? {} : { breaker: createCircuitBreaker(trip, clock, () => {}) };
  const policy = createPolicy({ timeoutMs: 0, ...rest, ...breaker }, clock, seededRandom(1), {
    executed: () => events.push('executed'),
    timedOut: () => events.push('timedOut'),
    retrying: (_error, wait) => events.push(`retrying ${wait}`),
    breakerChanged: () => events.push('breakerChanged'),
  });
  return { clock, events, policy };
}

/** Runs to the end while time passes. */
async function finish<T>(clock: ReturnType<typeof fakeClock>, running: Promise<T>): Promise<T> {
  running.catch(() => {});
  await clock.advance(10_000);
  return running;
}

t.test('nothing configured is no policy at all', async (t) => {
  t.equal(make({}).policy, NO_POLICY);
  t.equal(NO_POLICY.active, false);
  t.equal(await NO_POLICY.run(async (given, count) => `${given === signal} ${count}`, { signal }), 'true 1');
});

t.test('errors are retried until the attempts are used up, then the last one is thrown', async (t) => {
  const { clock, events, policy } = make({ retry });
  const numbers: number[] = [];
  const running = policy.run(
    async (_signal, count) => {
      numbers.push(count);
      throw new Error(`no ${count}`);
    },
    { signal },
  );
  await t.rejects(finish(clock, running), { message: 'no 3' });
  t.same(numbers, [1, 2, 3]);
  t.same(events, ['executed', 'retrying 50'], 'told once a run');
});

t.test('a failed value is retried and finally returned', async (t) => {
  const { clock, policy } = make({ retry });
  let count = 0;
  const failed = (value: number) => (value < 10 ? { httpStatus: 500 } : undefined);
  t.equal(
    await finish(
      clock,
      policy.run(async () => ++count, { signal, failed }),
    ),
    3,
  );
});

t.test('what may not be repeated is not', async (t) => {
  const attempts = async (
    run: (policy: ReturnType<typeof make>['policy'], count: () => never) => Promise<unknown>,
  ) => {
    const { clock, policy } = make({ retry: { ...retry, httpStatusCodes: [{ first: 503, last: 503 }] } });
    let calls = 0;
    const fail = (): never => {
      calls += 1;
      throw new Error('x');
    };
    await finish(clock, run(policy, fail)).catch(() => {});
    return calls;
  };
  t.equal(
    await attempts((policy, fail) => policy.run(async () => fail(), { signal })),
    3,
    'no status: repeated',
  );
  t.equal(await attempts((policy, fail) => policy.run(async () => fail(), { signal, replayable: false })), 1);
  t.equal(
    await attempts((policy, fail) =>
      policy.run(async () => fail(), { signal, status: () => ({ httpStatus: 500 }) }),
    ),
    1,
  );
  t.equal(
    await attempts((policy, fail) =>
      policy.run(async () => fail(), { signal, status: () => ({ httpStatus: 503 }) }),
    ),
    3,
  );

  const { policy } = make({ retry });
  await t.rejects(
    policy.run(() => Promise.reject(new PermanentError('etag')), { signal }),
    { message: 'etag' },
  );
});

t.test('a timeout ends an attempt that ignores its signal, and counts as failure', async (t) => {
  const { clock, events, policy } = make({ timeoutMs: 250, retry: { ...retry, maxRetries: 1 } });
  const signals: AbortSignal[] = [];
  const running = policy.run(
    (inner) => {
      signals.push(inner);
      return new Promise(() => {});
    },
    { signal },
  );
  await t.rejects(finish(clock, running), {
    name: 'PolicyTimeoutError',
    message: 'context deadline exceeded',
  });
  t.same(
    signals.map((inner) => inner.aborted),
    [true, true],
  );
  t.same(events, ['executed', 'timedOut', 'retrying 50'], 'the timeout is counted once');
  t.equal(clock.pending, 0);
});

t.test('an attempt in time leaves no timer behind', async (t) => {
  const { clock, policy } = make({ timeoutMs: 250 });
  t.equal(await policy.run(async () => 'ok', { signal }), 'ok');
  t.equal(clock.pending, 0);
});

t.test('an open breaker ends the retries at once', async (t) => {
  const { clock, events, policy } = make({ retry, breakAfter: 1 });
  let calls = 0;
  const running = policy.run(
    async () => {
      calls += 1;
      throw new Error('down');
    },
    { signal },
  );
  await t.rejects(finish(clock, running), { name: 'CircuitOpenError', message: 'circuit breaker is open' });
  t.equal(calls, 2);
  t.ok(events.includes('breakerChanged'));
});

t.test('a permanent error or a caller that leaves does not open the breaker', async (t) => {
  const { clock, policy } = make({ breakAfter: 0 });
  await t.rejects(policy.run(() => Promise.reject(new PermanentError('etag')), { signal }));
  const caller = new AbortController();
  const running = policy.run((inner) => clock.sleep(1000, inner), { signal: caller.signal });
  caller.abort(new Error('gone'));
  await t.rejects(running, { message: 'gone' });
  t.equal(await policy.run(async () => 'still closed', { signal }), 'still closed');
});

t.test('a caller that leaves ends the wait between attempts', async (t) => {
  const { clock, policy } = make({ retry });
  const caller = new AbortController();
  let calls = 0;
  const running = policy.run(
    async () => {
      calls += 1;
      throw new Error('x');
    },
    { signal: caller.signal },
  );
  running.catch(() => {});
  await clock.advance(10);
  caller.abort(new Error('gone'));
  await t.rejects(running, { message: 'gone' });
  t.equal(calls, 1);
  t.equal(clock.pending, 0);
});
