/** MQTT 3.1 and 3.1.1: what differs from version 5. */

import { once } from 'node:events';
import t from 'tap';
import { collect, startRig } from './broker-rig.ts';
import { connect, packet, type Received, reader, text } from './raw-client.ts';

t.test('MQTT 3.1: its name, its short client ids', async (t) => {
  const rig = await startRig(t.testdir());
  const client = await rig.client({
    protocolId: 'MQIsdp',
    protocolVersion: 3,
    clientId: 'old',
    clean: false,
  });
  const got = collect(client);
  await client.subscribeAsync('a/+', { qos: 2 });
  await client.publishAsync('a/b', 'x', { qos: 2 });
  t.same(await got.until(1), ['a/b x']);
  const socket = await rig.socket();
  const next = reader(socket);
  socket.write(connect('more than 23 characters.', { version: 3 }));
  t.same((await next())?.body, Buffer.from([0, 2]), 'identifier rejected');
  await rig.stop();
});

t.test(
  'MQTT 3.1.1: session present, one code per filter, shared subscriptions, a level nobody knows',
  async (t) => {
    const rig = await startRig(t.testdir());
    const open = async (): Promise<[ReturnType<typeof reader>, Awaited<ReturnType<typeof rig.socket>>]> => {
      const socket = await rig.socket();
      const next = reader(socket);
      socket.write(connect('s', { version: 4, clean: false }));
      return [next, socket];
    };
    const [next, socket] = await open();
    t.same((await next())?.body, Buffer.from([0, 0]));
    const filters = ['a', 'a/#/b', '$share/g/w', 'a'];
    socket.write(packet(0x82, [0, 1], ...filters.flatMap((filter) => [text(filter), Buffer.from([1])])));
    t.same(((await next()) as Received).body, Buffer.from([0, 1, 1, 0x80, 1, 1]), '[MQTT-3.8.4-5]');
    socket.end(packet(0xe0));
    await once(socket, 'close');
    const [again, second] = await open();
    t.same((await again())?.body, Buffer.from([1, 0]), '[MQTT-3.2.2-2]');
    const publisher = await rig.client();
    await publisher.publishAsync('w', 'shared', { qos: 1 });
    t.match((await again())?.body.toString(), /shared/);
    second.destroy();
    const strange = await rig.socket();
    const answer = reader(strange);
    strange.write(packet(0x10, text('MQTT'), [9, 2, 0, 0], text('x')));
    t.same((await answer())?.body, Buffer.from([0, 1]), '[MQTT-3.1.2-2]');
    await rig.stop();
  },
);
