import t from 'tap';
import { systemIds } from '../../../runtime/platform/system-ids.ts';
import { fakeClock } from '../../support/fake-clock.ts';

t.test('UUID v7 carries the time and never goes backwards, even when the clock does', (t) => {
  const clock = fakeClock(0x0123_4567_89ab);
  const ids = systemIds(clock);
  const first = ids.uuidv7();
  t.match(first, /^01234567-89ab-7000-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  clock.setWallClock(1000);
  const many = Array.from({ length: 5000 }, () => ids.uuidv7());
  t.same([first, ...many].toSorted(), [first, ...many]);
  t.equal(new Set(many).size, many.length);
  t.end();
});

t.test('UUID v4 is random', (t) => {
  const ids = systemIds(fakeClock());
  t.match(ids.uuid(), /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  t.not(ids.uuid(), ids.uuid());
  t.end();
});
