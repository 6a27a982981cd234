import t from 'tap';
import { type BreakerSettings, createCircuitBreaker } from '../../../runtime/resiliency/circuit-breaker.ts';
import { fakeClock } from '../../support/fake-clock.ts';

const settings: BreakerSettings = {
  maxRequests: 1,
  intervalMs: 0,
  timeoutMs: 1000,
  trip: (counts) => counts.consecutiveFailures > 1,
};

function make(more: Partial<BreakerSettings> = {}) {
  const clock = fakeClock();
  const changes: string[] = [];
  const breaker = createCircuitBreaker({ ...settings, ...more }, clock, (from, to) =>
    changes.push(`${from}>${to}`),
  );
  return { clock, changes, breaker };
}

t.test('opens when the trip condition holds, refuses, then lets one call through', async (t) => {
  const { clock, changes, breaker } = make();
  breaker.enter()('failure');
  breaker.enter()('success');
  breaker.enter()('failure');
  t.equal(breaker.state, 'closed', 'a success resets consecutive failures');
  breaker.enter()('failure');
  t.throws(() => breaker.enter(), { name: 'CircuitOpenError', message: 'circuit breaker is open' });
  await clock.advance(999);
  t.equal(breaker.state, 'open');
  await clock.advance(1);
  t.equal(breaker.state, 'half-open');
  const report = breaker.enter();
  t.throws(() => breaker.enter(), { message: 'too many requests' });
  report('success');
  t.equal(breaker.state, 'closed');
  t.same(changes, ['closed>open', 'open>half-open', 'half-open>closed']);
});

t.test('a failing trial opens it again for the whole time', async (t) => {
  const { clock, breaker } = make();
  breaker.enter()('failure');
  breaker.enter()('failure');
  await clock.advance(1000);
  breaker.enter()('failure');
  await clock.advance(999);
  t.equal(breaker.state, 'open');
});

t.test('several trials must all succeed', async (t) => {
  const { clock, breaker } = make({ maxRequests: 2 });
  breaker.enter()('failure');
  breaker.enter()('failure');
  await clock.advance(1000);
  const [first, second] = [breaker.enter(), breaker.enter()];
  first('success');
  t.equal(breaker.state, 'half-open');
  second('success');
  t.equal(breaker.state, 'closed');
});

t.test('a caller that gives up frees the trial and counts as nothing', async (t) => {
  const { clock, breaker } = make();
  breaker.enter()('failure');
  breaker.enter()('neutral');
  breaker.enter()('failure');
  t.equal(breaker.state, 'open');
  await clock.advance(1000);
  breaker.enter()('neutral');
  breaker.enter()('success');
  t.equal(breaker.state, 'closed');
});

t.test('results of an older generation are ignored', async (t) => {
  const { clock, breaker } = make();
  const late = breaker.enter();
  breaker.enter()('failure');
  breaker.enter()('failure');
  await clock.advance(1000);
  t.equal(breaker.state, 'half-open');
  late('success');
  t.equal(breaker.state, 'half-open');
});

t.test('an interval forgets the counts of a closed breaker', async (t) => {
  const { clock, breaker } = make({ intervalMs: 100 });
  breaker.enter()('failure');
  await clock.advance(100);
  breaker.enter()('failure');
  t.equal(breaker.state, 'closed');
  breaker.enter()('failure');
  t.equal(breaker.state, 'open');
});
