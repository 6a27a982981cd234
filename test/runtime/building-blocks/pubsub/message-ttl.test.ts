import t from 'tap';
import {
  expirationText,
  hasExpired,
  messageTtlMs,
  rfc3339,
} from '../../../../runtime/building-blocks/pubsub/message-ttl.ts';

const now = Temporal.Instant.from('2026-01-02T03:04:05.6Z').epochMilliseconds;

t.test('ttl wins over ttlInSeconds, names in any case', async (t) => {
  t.equal(messageTtlMs({ TTLInSeconds: '100' }), 100_000);
  t.equal(messageTtlMs({ ttl: '90s', ttlInSeconds: '5' }), 90_000);
  t.equal(messageTtlMs({ Ttl: '7' }), 7000);
  t.equal(messageTtlMs({ ttl: '1m30s' }), 90_000);
  for (const none of ['', '-5', 'soon', '1.5', '0', '0s', '-3s'])
    t.equal(messageTtlMs({ ttlInSeconds: none }), undefined, none);
  t.equal(messageTtlMs({ other: '1' }), undefined);
});

t.test('expiration is whole seconds, never too early', async (t) => {
  t.equal(expirationText({ ttl: '500ms' }, now), '2026-01-02T03:04:07Z');
  t.equal(expirationText({ ttlInSeconds: '99999999999999999' }, now), '9999-12-31T23:59:59Z');
  t.equal(expirationText({}, now), undefined);
  t.equal(expirationText({ ttl: '5s' }, 1000), undefined, 'a clock that has not been set decides nothing');
});

t.test('what has expired', async (t) => {
  t.equal(hasExpired({ expiration: '2001-01-01T00:00:00Z' }, now), true);
  t.equal(hasExpired({ expiration: '2026-01-02T05:04:05+02:00' }, now), true);
  t.equal(hasExpired({ expiration: '2026-01-02T03:04:06Z' }, now), false);
  for (const odd of ['', 'never', 5, null, undefined])
    t.equal(hasExpired({ expiration: odd }, now), false, String(odd));
  t.equal(hasExpired({ expiration: '1970-01-01T00:00:00Z' }, 5000), false);
});

t.test('RFC 3339', async (t) => {
  t.equal(rfc3339(now), '2026-01-02T03:04:05Z');
});
