/** MQTT 5 sessions and wills beyond their connection: expiry, restart, crash. */

import t from 'tap';
import { startRig } from './broker-rig.ts';
import { ack, packet, props, publish, subscribe } from './raw-client.ts';
import { LASTING, messageIn, type Raw, raw } from './raw-session.ts';

t.test('session expiry: at the end, later, changed by DISCONNECT, across a restart', async (t) => {
  const directory = t.testdir();
  let rig = await startRig(directory);
  const present = ({ connack }: Raw): boolean => connack.body[0] === 1;
  const none = await raw(rig, 'x');
  none.send(subscribe(1, [['a', 1]]), packet(0xe0));
  await none.end();
  t.notOk(present(await raw(rig, 'x', { clean: false })), 'without expiry it ends with its connection');
  const kept = await raw(rig, 'y', { properties: [[17, 1]] });
  kept.send(subscribe(1, [['a', 1]]), packet(0xe0, [0], props([[17, 700]])));
  await kept.end();
  const refused = await raw(rig, 'z');
  refused.send(packet(0xe0, [0], props([[17, 5]])));
  t.equal(await refused.end(), 0x82, 'DISCONNECT cannot make it last (section 3.14.2.2.2)');
  await rig.stop();
  rig = await startRig(directory);
  const back = await raw(rig, 'y', { clean: false, properties: [[17, 600]] });
  t.ok(present(back), 'there after the restart');
  back.send(packet(0xe0, [0], props([[17, 0]])));
  await back.end();
  t.notOk(present(await raw(rig, 'y', { clean: false })), 'ended by DISCONNECT with 0');
  await rig.stop();
});

t.test('what waits keeps its packet id and order over a crash and is marked as a duplicate', async (t) => {
  const directory = t.testdir();
  let rig = await startRig(directory);
  const client = await raw(rig, 'c', { properties: LASTING });
  client.send(subscribe(1, [['q', 2]]));
  await client.next(9);
  const feeder = await raw(rig, 'f');
  feeder.send(publish('q', '1', 1, 1), publish('q', '2', 2, 2), publish('q', '3', 1, 3));
  const before = [await messageIn(client), await messageIn(client), await messageIn(client)];
  await rig.stop();
  rig = await startRig(directory);
  const back = await raw(rig, 'c', { clean: false, properties: LASTING });
  const after = [await messageIn(back), await messageIn(back), await messageIn(back)];
  t.same(
    after.map(({ payload, id, qos }) => [payload, id, qos]),
    before.map(({ payload, id, qos }) => [payload, id, qos]),
  );
  t.ok(
    after.every(({ duplicate }) => duplicate),
    '[MQTT-3.3.1-1], [MQTT-4.4.0-1]',
  );
  await rig.stop();
});

t.test('a delayed will waits for its client, also across a restart', async (t) => {
  const directory = t.testdir();
  let rig = await startRig(directory);
  const will = (topic: string, delay: number) => ({
    topic,
    payload: 'gone',
    properties: [
      [24, delay],
      [38, ['k', 'v']],
    ] as const,
  });
  const watcher = await raw(rig, 'w', { properties: LASTING });
  watcher.send(subscribe(1, [['will/#', 1]]));
  await watcher.next(9);
  const now = await raw(rig, 'now', { will: will('will/now', 60) });
  now.drop();
  const first = await messageIn(watcher);
  t.match(
    first,
    { topic: 'will/now', properties: [[38, ['k', 'v']]] },
    'no session: at once ([MQTT-3.1.3-9])',
  );
  watcher.send(ack(0x40, first.id));
  const back = await raw(rig, 'back', { will: will('will/back', 30), properties: LASTING });
  back.drop();
  t.ok(await watcher.quiet(), 'nothing yet');
  const later = await raw(rig, 'later', { will: will('will/later', 1), properties: LASTING });
  later.drop();
  await raw(rig, 'back', { clean: false, properties: LASTING });
  await rig.stop();
  rig = await startRig(directory);
  const again = await raw(rig, 'w', { clean: false, properties: LASTING });
  t.match(
    await messageIn(again),
    { topic: 'will/later', payload: 'gone' },
    'the other client was back in time',
  );
  await rig.stop();
});
