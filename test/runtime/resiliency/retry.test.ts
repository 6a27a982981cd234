import t from 'tap';
import { DEFAULT_RETRY } from '../../../runtime/resiliency/resiliency-schema.ts';
import { parseCodeList, retriesStatus, retrySchedule } from '../../../runtime/resiliency/retry.ts';
import { fakeClock } from '../../support/fake-clock.ts';

const middle = { float: () => 0.5, bytes: () => new Uint8Array() };

t.test('a constant policy waits the same time, as often as allowed', async (t) => {
  const next = retrySchedule({ ...DEFAULT_RETRY, durationMs: 50, maxRetries: 2 }, fakeClock(), middle);
  t.same([next(), next(), next()], [50, 50, undefined]);
});

t.test('an exponential policy grows by half up to its cap', async (t) => {
  const next = retrySchedule(
    { ...DEFAULT_RETRY, policy: 'exponential', maxIntervalMs: 1000 },
    fakeClock(),
    middle,
  );
  t.same([next(), next(), next(), next()], [500, 750, 1000, 1000]);
});

t.test('jitter is half of the wait either way', async (t) => {
  const at = (value: number) =>
    retrySchedule({ ...DEFAULT_RETRY, policy: 'exponential' }, fakeClock(), {
      ...middle,
      float: () => value,
    })();
  t.equal(at(0), 250);
  t.ok(Math.abs((at(0.999999) ?? 0) - 750) < 0.01);
});

t.test('an exponential policy ends after its total time', async (t) => {
  const clock = fakeClock();
  const policy = { ...DEFAULT_RETRY, policy: 'exponential' as const, maxElapsedMs: 1000 };
  const next = retrySchedule(policy, clock, middle);
  t.equal(next(), 500);
  await clock.advance(500);
  t.equal(next(), undefined, '500 + 750 ms would be too long');
});

t.test('lists of codes', async (t) => {
  t.same(parseCodeList('429,500-599', 100, 599), [
    { first: 429, last: 429 },
    { first: 500, last: 599 },
  ]);
  t.equal(parseCodeList('', 0, 16), undefined);
  for (const bad of ['99', '600', '500-400', '5xx', '1-2-3']) {
    t.throws(() => parseCodeList(bad, 100, 599), { message: new RegExp(`invalid status codes '${bad}'`) });
  }
  const policy = { ...DEFAULT_RETRY, httpStatusCodes: [{ first: 503, last: 503 }] };
  t.equal(retriesStatus(policy, { httpStatus: 503 }), true);
  t.equal(retriesStatus(policy, { httpStatus: 500 }), false);
  t.equal(retriesStatus(policy, { grpcCode: 14 }), true, 'no list for gRPC');
  t.equal(retriesStatus(policy, undefined), true, 'no status');
});
