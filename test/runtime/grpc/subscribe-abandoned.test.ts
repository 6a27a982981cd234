/** A stream that is left before its first answer was taken gives back what was meant for it. */

import t from 'tap';
import { createChannel } from '../../../runtime/grpc/services/channel.ts';

t.test('a channel that is closed with an error before anybody read it holds nobody up', async (t) => {
  const channel = createChannel<number>();
  const pushed = [channel.push(1), channel.push(2)];
  channel.close(new Error('gone'));
  t.same(await Promise.all(pushed), [false, false]);
  t.equal(await channel.push(3), false);
});
