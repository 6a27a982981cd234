/** What comes in while a backlog is worked off goes first, but never all of the way, and never past its own key. */

import t from 'tap';
import type { StoredMessage } from '../../../../runtime/contracts/spool.ts';
import { fakeClock } from '../../../support/fake-clock.ts';
import { openPool, openSpools, until } from '../../../support/open-pool.ts';

const BACKLOG = 900;
const LIVE = 60;

t.test('live messages before the backlog, with a share for the backlog', async (t) => {
  const clock = fakeClock();
  const databases = openPool(t.testdir(), { clock });
  const source = openSpools(databases, clock, { parallelKeys: 1 });
  const spool = await source.open({
    name: 'q',
    maxMessages: 10_000,
    maxBytes: 1e7,
    whenFull: 'reject',
    ttlMs: 0,
  });
  const append = (key: string, text: string) =>
    spool.append({ key, priority: 4, payload: Buffer.from(text), headers: {} });
  await Promise.all(Array.from({ length: BACKLOG }, (_, n) => append(`k${n}`, `old ${n}`)));
  const order: string[] = [];
  let arriving: Promise<unknown> = Promise.resolve();
  spool.drain(async ({ payload }: StoredMessage) => {
    order.push(Buffer.from(payload).toString());
    if (order.length === 10) {
      arriving = Promise.all([
        ...Array.from({ length: LIVE }, (_, n) => append(`live${n}`, `live ${n}`)),
        append('k800', 'after its backlog'),
      ]);
      // They are fewer than the group before them, which they wait a moment to become.
      await clock.advance(30);
      await arriving;
    }
    return 'delivered';
  });
  await until(() => spool.counts().delivered === BACKLOG + LIVE + 1);
  const places = order.flatMap((text, place) => (text.startsWith('live') ? [place] : []));
  t.equal(places.length, LIVE);
  t.ok((places.at(-1) ?? 0) < 120, `the last live message was number ${places.at(-1)}`);
  const between = (places.at(-1) ?? 0) - (places[0] ?? 0) - LIVE + 1;
  t.ok(between >= LIVE / 4, `${between} of the backlog went in between`);
  t.ok(order.indexOf('after its backlog') > order.indexOf('old 800'), 'order of a key comes first');
  t.equal(new Set(order).size, order.length, 'each once');
  await spool.close();
  await source.close();
  await databases.close();
});
