/** What the broker has done with leaves nothing in memory: a gateway takes messages for years. */

import { queryObjects } from 'node:v8';
import t from 'tap';
import { startRig } from './broker-rig.ts';

const MESSAGES = 300;

/** Counted after a full collection of garbage. */
const arrays = (): number => queryObjects(Array, { format: 'count' });

t.test('messages that were accepted, delivered and acknowledged are forgotten', async (t) => {
  const rig = await startRig(t.testdir());
  const subscriber = await rig.client({ clientId: 'subscriber', clean: false });
  await subscriber.subscribeAsync('plant/#', { qos: 1 });
  const publisher = await rig.client();
  const publish = async (): Promise<void> => {
    // One by one: each is a write of its own.
    for (let n = 0; n < MESSAGES; n += 1) await publisher.publishAsync('plant/a', `m${n}`, { qos: 1 });
  };
  await publish();
  const before = arrays();
  await publish();
  const more = arrays() - before;
  t.ok(more < MESSAGES / 2, `${more} more arrays after ${MESSAGES} more messages`);
  await rig.stop();
});
