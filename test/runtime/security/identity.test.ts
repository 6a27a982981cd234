/** When an identity is asked for, how long it serves, and what is said when it cannot be had. The clock is the test's. */

import { generateKeyPairSync } from 'node:crypto';
import { setImmediate as turn } from 'node:timers/promises';
import t, { type Test } from 'tap';
import { certificateRequest } from '../../../runtime/security/csr.ts';
import {
  type IdentityKeeper,
  type IdentityMemory,
  obtainIdentity,
} from '../../../runtime/security/identity.ts';
import { SentryError, SentryRefusal } from '../../../runtime/security/sentry.ts';
import { createAuthority, publicKeyOfRequest } from '../../support/certificate-authority.ts';
import { fakeClock } from '../../support/fake-clock.ts';
import { recordingLogger } from '../../support/recording-logger.ts';
import { seededRandom } from '../../support/seeded-random.ts';

const authority = createAuthority();
const HOUR = 3_600_000;
const ID = 'spiffe://public/ns/default/app';

function setUp(t: Test) {
  const clock = fakeClock();
  const log = recordingLogger();
  const counted: string[] = [];
  const asked: number[] = [];
  const closing = new AbortController();
  const rig = {
    lifetimeMs: HOUR,
    fail: undefined as (() => Error) | undefined,
    uris: [ID],
    from: (now: number) => now,
    request: undefined as string | undefined,
    /** Nothing is under way. */
    idle: false,
  };
  const options = {
    clock,
    log,
    random: seededRandom(1),
    metrics: {
      count: (name: string, labels: object) =>
        void counted.push([name, ...Object.values(labels)].join(' ').replace('runtime_mtls_', '')),
      observe: () => {},
      gauge: () => {},
    },
    sign: async (csr: string) => {
      asked.push(clock.now());
      if (rig.fail !== undefined) throw rig.fail();
      const from = rig.from(clock.now());
      return authority.sign(publicKeyOfRequest(rig.request ?? csr), {
        uris: rig.uris,
        from,
        to: from + rig.lifetimeMs,
      });
    },
  };
  const obtain = async (memory?: IdentityMemory): Promise<IdentityKeeper> => {
    const keeper = await obtainIdentity({ ...options, memory }, closing.signal);
    rig.idle = true;
    return {
      get current() {
        return keeper.current;
      },
      start: (changed) => {
        rig.idle = false;
        keeper.start(changed);
      },
      close: () => keeper.close(),
    };
  };
  /** Moves the clock in steps; keys are made on real threads, so a step waits for what it started. */
  const pass = async (ms: number, stepMs: number): Promise<void> => {
    for (let left = ms; left > 0; left -= stepMs) {
      await clock.advance(Math.min(left, stepMs));
      while (clock.pending === 0 && !rig.idle) await turn();
    }
  };
  t.teardown(() => closing.abort());
  return { ...options, rig, obtain, pass, asked, counted, closing, said: () => log.lines.map(textOf) };
}
const textOf = (line: { level: string; message: string }): string => `${line.level} ${line.message}`;

t.test('renewed between half and 70 % of the lifetime, again and again', async (t) => {
  const { obtain, pass, asked, clock, counted } = setUp(t);
  const keeper = await obtain();
  t.equal(keeper.current.id.text, ID);
  t.match(keeper.current, { notBeforeMs: clock.now(), notAfterMs: clock.now() + HOUR });
  const first = keeper.current;
  let changes = 0;
  keeper.start(() => {
    changes += 1;
  });
  await pass(0.49 * HOUR, 60_000);
  t.equal(asked.length, 1);
  await pass(0.23 * HOUR, 60_000);
  t.equal(asked.length, 2);
  t.equal(changes, 1);
  t.not(keeper.current.key, first.key, 'with a key of its own');
  await pass(3 * HOUR, 60_000);
  const shares = asked.slice(1).map((at, index) => (at - (asked[index] ?? 0)) / HOUR);
  t.ok(
    shares.every((share) => share >= 0.5 && share <= 0.72),
    `asked after ${shares.map((share) => share.toFixed(2)).join(', ')} of the lifetime`,
  );
  t.ok(new Set(shares.map((share) => share.toFixed(2))).size > 1, 'not all at the same moment');
  t.same(counted.slice(0, 2), ['init_total', 'workload_cert_rotated_total']);
  await keeper.close();
  t.equal(clock.pending, 0);
});

t.test('a certificate that is dated back is renewed by the time that is left', async (t) => {
  const { obtain, pass, asked, rig } = setUp(t);
  rig.from = (now) => now - HOUR;
  rig.lifetimeMs = HOUR + 600_000;
  const keeper = await obtain();
  keeper.start(() => {});
  await pass(290_000, 10_000);
  t.equal(asked.length, 1);
  await pass(140_000, 10_000);
  t.equal(asked.length, 2);
  await keeper.close();
});

t.test('the old identity works on while sentry is away', async (t) => {
  const { obtain, pass, asked, rig, said, counted } = setUp(t);
  const keeper = await obtain();
  const first = keeper.current;
  keeper.start(() => {});
  rig.fail = () => new SentryError('sentry_conn', 'error establishing connection to sentry: refused');
  await pass(0.75 * HOUR, 30_000);
  const failed = asked.length - 1;
  t.ok(failed > 10 && failed < 200, `asked ${failed} times in a quarter of an hour at most`);
  t.equal(keeper.current, first);
  t.match(
    said().at(-1),
    /^error Error renewing identity, trying again in [\d.]+ seconds: error establishing/,
  );
  t.notMatch(said().at(-1), /expired/);
  await pass(0.3 * HOUR, 30_000);
  t.match(said().at(-1), /the certificate in use has expired, so that other sidecars refuse it/);
  t.equal(counted.at(-1), 'workload_cert_rotated_fail_total sentry_conn');
  rig.fail = undefined;
  await pass(60_000, 5000);
  t.not(keeper.current, first);
  await keeper.close();
});

t.test('a clock that is set forward renews at once, one that is set back does no harm', async (t) => {
  const { obtain, pass, asked, clock } = setUp(t);
  const keeper = await obtain();
  keeper.start(() => {});
  clock.setWallClock(clock.now() - 10 * HOUR);
  await pass(0.4 * HOUR, 60_000);
  t.equal(asked.length, 1);
  clock.setWallClock(clock.now() + 24 * HOUR);
  await pass(61_000, 61_000);
  t.equal(asked.length, 2);
  await keeper.close();
});

t.test('lifetimes of nothing do not become a flood', async (t) => {
  const { obtain, pass, asked, rig } = setUp(t);
  rig.lifetimeMs = 10;
  const keeper = await obtain();
  keeper.start(() => {});
  await pass(5000, 250);
  t.ok(asked.length >= 6 && asked.length <= 21, `${asked.length} in five seconds`);
  await keeper.close();
});

t.test('at the start: asked until sentry is there', async (t) => {
  const { obtain, pass, asked, rig, said, counted } = setUp(t);
  rig.fail = () => new SentryError('sentry_conn', 'error establishing connection to sentry: refused');
  const waiting = obtain();
  await pass(60_000, 1000);
  t.ok(asked.length >= 12, `${asked.length} times in a minute`);
  t.match(
    said().at(-1),
    /^error failed to retrieve the initial identity: error establishing connection to sentry: refused; trying again\. The clock of this host says 2023-11-1/,
  );
  t.equal(counted[0], 'init_fail_total sentry_conn');
  rig.fail = undefined;
  await pass(6000, 1000);
  const keeper = await waiting;
  t.equal(keeper.current.id.text, ID);
  await keeper.close();
});

t.test(
  'a restart with sentry away goes on with the identity of before, as long as it is valid',
  async (t) => {
    const { obtain, pass, rig, said, asked } = setUp(t);
    const memory: IdentityMemory = { identity: undefined };
    const before = await obtain(memory);
    await before.close();
    rig.fail = () => new SentryError('sentry_conn', 'down');
    const kept = await obtain(memory);
    t.equal(kept.current, before.current);
    t.match(said().at(-1), /^warn .*down; the identity of before the restart is used on/);
    rig.fail = undefined;
    kept.start(() => {});
    await pass(0.75 * HOUR, 60_000);
    t.not(kept.current, before.current, 'and is renewed like any other');
    await kept.close();
    const again = await obtain(memory);
    t.not(again.current, kept.current, 'a sentry that is there is asked');
    await again.close();
    t.equal(asked.length, 4);

    rig.fail = () => new SentryError('sentry_conn', 'down');
    await pass(2 * HOUR, HOUR);
    rig.idle = false;
    const waiting = obtain(memory);
    await pass(1, 1);
    t.match(said().at(-1), /^error .*trying again/, 'an expired one is of no use');
    rig.fail = undefined;
    await pass(6000, 1000);
    await (await waiting).close();
  },
);

t.test('at the start: a refusal is final, and closing ends the waiting', async (t) => {
  const refused = setUp(t);
  refused.rig.fail = () =>
    new SentryRefusal('error from sentry SignCertificate: rpc error: code = PermissionDenied');
  await t.rejects(refused.obtain(), {
    message:
      'failed to retrieve the initial identity: error from sentry SignCertificate: rpc error: code = PermissionDenied',
  });
  t.equal(refused.asked.length, 1);

  const { obtain, pass, rig, closing } = setUp(t);
  rig.fail = () => new SentryError('sentry_conn', 'down');
  const waiting = obtain();
  const ended = t.rejects(waiting, { message: 'enough' });
  await pass(1000, 1000);
  closing.abort(new Error('enough'));
  await ended;
});

t.test('answers that are of no use', async (t) => {
  const { obtain, pass, rig, said } = setUp(t);
  const waiting = obtain();
  const last = async (change: Partial<typeof rig>): Promise<string | undefined> => {
    Object.assign(rig, change);
    await pass(6000, 1000);
    return said().at(-1);
  };
  t.match(await last({ uris: [] }), /newly signed certificate: the certificate names no SPIFFE id/);
  t.match(await last({ uris: ['https://nobody'] }), /is no SPIFFE id/);
  const { privateKey } = generateKeyPairSync('ed25519');
  const foreign = certificateRequest(privateKey);
  t.match(await last({ uris: [ID], request: foreign }), /is not for the key of the request/);
  await last({ request: undefined });
  await (await waiting).close();
});

t.test('a clock that disagrees with the dates of the certificate is said', async (t) => {
  const early = setUp(t);
  early.rig.from = (now) => now + HOUR;
  await (await early.obtain()).close();
  t.match(
    early.said().find((line) => line.startsWith('warn')),
    /^warn the certificate from sentry is valid from 2023-.*Z to 2023-.*Z, but the clock of this host says 2023-.*Z/,
  );
  const late = setUp(t);
  late.rig.from = (now) => now - 2 * HOUR;
  await (await late.obtain()).close();
  t.ok(late.said().some((line) => line.startsWith('warn')));
  const right = setUp(t);
  await (await right.obtain()).close();
  t.notOk(right.said().some((line) => line.startsWith('warn')));
});

t.test('keys are never logged', async (t) => {
  const { obtain, pass, log } = setUp(t);
  const keeper = await obtain();
  keeper.start(() => {});
  await pass(HOUR, 60_000);
  const text = JSON.stringify(log.lines);
  t.notMatch(text, /PRIVATE/);
  t.notOk(text.includes(keeper.current.key.split('\n')[1] ?? '?'));
  await keeper.close();
});
