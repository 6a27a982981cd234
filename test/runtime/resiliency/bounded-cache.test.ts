import t from 'tap';
import { boundedCache } from '../../../runtime/resiliency/bounded-cache.ts';

t.test('keeps what is asked for and forgets the rest', async (t) => {
  const cache = boundedCache<number>(2);
  let made = 0;
  const make = () => {
    made += 1;
    return made;
  };
  t.equal(cache.get('a', make), 1);
  t.equal(cache.get('b', make), 2);
  t.equal(cache.get('a', make), 1);
  t.equal(cache.get('c', make), 3, 'b has to go');
  t.equal(cache.get('a', make), 1);
  t.equal(cache.get('b', make), 4);
});
