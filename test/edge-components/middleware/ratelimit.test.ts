/** `middleware.http.ratelimit`: buckets fill with time, addresses do not disturb each other, the table is bounded. */

import t from 'tap';
import { definition } from '../../../edge-components/middleware/ratelimit/component.ts';
import { createRateLimit } from '../../../edge-components/middleware/ratelimit/rate-limit.ts';
import { createTokenBuckets } from '../../../edge-components/middleware/ratelimit/token-buckets.ts';
import { decodeMetadata } from '../../../runtime/contracts/metadata.ts';
import { fakeClock } from '../../support/fake-clock.ts';
import { throughMiddleware } from '../../support/pipeline.ts';

t.test('a burst of one second passes, then 429 until time has passed', async (t) => {
  const clock = fakeClock();
  const limit = createRateLimit(5, clock);
  const ask = (): ReturnType<typeof throughMiddleware> => throughMiddleware(limit);
  for (let i = 0; i < 5; i += 1) t.equal((await ask()).status, 200);
  const refused = await ask();
  t.strictSame(refused, {
    status: 429,
    headers: {
      'x-rate-limit-limit': '5.00',
      'x-rate-limit-duration': '1',
      'x-rate-limit-request-remote-addr': '127.0.0.1:40000',
      'ratelimit-limit': '5',
      'ratelimit-reset': '1',
      'ratelimit-remaining': '0',
      'content-type': 'text/plain; charset=utf-8',
    },
    body: 'You have reached maximum request limit.',
    reached: undefined,
  });
  clock.setWallClock(0);
  t.equal((await ask()).status, 429, 'the wall clock has no say');
  await clock.advance(200);
  const next = await ask();
  t.equal(next.status, 200, 'one token more after a fifth of a second');
  t.match(next.headers, { 'content-type': 'text/plain', 'ratelimit-remaining': '0' });
  t.equal((await ask()).status, 429);
});

t.test('each address has a bucket of its own; proxies are believed', async (t) => {
  const limit = createRateLimit(1, fakeClock());
  const status = async (remoteAddress: string, headers = {}): Promise<number> =>
    (await throughMiddleware(limit, { remoteAddress, headers })).status;
  t.equal(await status('10.0.0.1:1'), 200);
  t.equal(await status('10.0.0.1:2'), 429, 'the port does not count');
  t.equal(await status('10.0.0.2:1'), 200);
  t.equal(await status('[2001:db8::1]:1'), 200);
  t.equal(await status('[2001:db8:0:0:ffff::2]:1'), 429, 'the same /64');
  t.equal(await status('[2001:db8:0:1::1]:1'), 200, 'another /64');
  t.equal(await status('10.0.0.1:1', { 'x-forwarded-for': '1.1.1.1, 10.9.9.9' }), 200);
  t.equal(await status('10.0.0.3:1', { 'x-forwarded-for': '10.9.9.9' }), 429, 'the last entry');
  t.equal(await status('10.0.0.1:1', { 'x-real-ip': '10.8.8.8' }), 200);
  t.equal(await status('10.0.0.9:1', { 'x-real-ip': '10.8.8.8' }), 429);
});

t.test('fewer than one request per second', async (t) => {
  const clock = fakeClock();
  const buckets = createTokenBuckets(0.5, clock);
  t.ok(buckets.take('a').taken);
  t.notOk(buckets.take('a').taken);
  await clock.advance(1000);
  t.notOk(buckets.take('a').taken);
  await clock.advance(1000);
  t.ok(buckets.take('a').taken);
});

t.test('the table forgets who was seen least recently', async (t) => {
  const buckets = createTokenBuckets(1, fakeClock(), 3);
  for (const key of ['a', 'b', 'c', 'a', 'd']) buckets.take(key);
  t.equal(buckets.size, 3);
  t.notOk(buckets.take('a').taken, 'a is remembered');
  t.ok(buckets.take('b').taken, 'b was forgotten');
});

t.test('maxRequestsPerSecond must be above 0', async (t) => {
  const value = (text?: string): unknown => {
    const decoded = decodeMetadata(
      definition.metadata,
      text === undefined ? {} : { maxRequestsPerSecond: text },
    );
    return decoded.ok ? decoded.value.maxRequestsPerSecond : decoded.faults[0];
  };
  t.equal(value(), 100);
  t.equal(value('2.5'), 2.5);
  for (const bad of ['0', '-1', 'many', 'NaN', 'Infinity', '1e3'])
    t.equal(value(bad), `metadata item 'maxRequestsPerSecond': expected a number above 0, got '${bad}'`);
});
