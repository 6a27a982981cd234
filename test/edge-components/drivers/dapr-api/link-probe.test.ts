import t from 'tap';
import {
  createLinkProbe,
  PROBE_INTERVAL_MS,
} from '../../../../edge-components/drivers/dapr-api/link-probe.ts';
import { fakeClock } from '../../../support/fake-clock.ts';

t.test('asks at a steady pace from the first loss until an answer, then tells once', async (t) => {
  const clock = fakeClock();
  let asked = 0;
  let back = 0;
  const probe = createLinkProbe({
    clock,
    ask: async () => {
      asked += 1;
      if (asked < 3) throw new Error('refused');
      return true;
    },
    back: () => {
      back += 1;
    },
  });
  await clock.advance(10 * PROBE_INTERVAL_MS);
  t.equal(asked, 0, 'nothing is asked while the link is fine');
  probe.lost();
  probe.lost();
  await clock.advance(2 * PROBE_INTERVAL_MS);
  t.same([asked, back], [2, 0]);
  await clock.advance(PROBE_INTERVAL_MS);
  t.same([asked, back], [3, 1]);
  await clock.advance(10 * PROBE_INTERVAL_MS);
  t.same([asked, back], [3, 1], 'an answer ends the probing');
  probe.lost();
  probe.close();
  await clock.advance(10 * PROBE_INTERVAL_MS);
  t.equal(asked, 3, 'nothing is asked after close');
});

t.test(
  'a question without an answer does not hold up the next ones, and the first answer counts',
  async (t) => {
    const clock = fakeClock();
    const asked: ((answer: boolean) => void)[] = [];
    const outages: object[] = [];
    const probe = createLinkProbe({
      clock,
      ask: () => new Promise((resolve) => asked.push(resolve)),
      back: (outage) => outages.push(outage),
    });
    const start = clock.monotonicMs();
    probe.lost();
    await clock.advance(20 * PROBE_INTERVAL_MS);
    t.equal(asked.length, 5, 'a bounded number');
    asked[1]?.(false);
    await clock.advance(PROBE_INTERVAL_MS);
    t.equal(asked.length, 6);
    asked[5]?.(true);
    await clock.advance(0);
    t.same(outages, [{ lostAt: start, askedAt: start + 21 * PROBE_INTERVAL_MS }]);
    for (const answer of asked) answer(true);
    await clock.advance(10 * PROBE_INTERVAL_MS);
    t.equal(outages.length, 1, 'once');
    probe.close();
  },
);
