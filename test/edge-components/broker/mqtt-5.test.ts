/**
 * MQTT 5 clause by clause, the same ground as the interoperability tests of Eclipse Paho (which `node test/paho/main.ts`
 * runs from a checkout).
 */

import { ack, packet, props, publish, subscribe, text } from './raw-client.ts';
import { messageIn, raw, withRig } from './raw-session.ts';

withRig(
  'CONNACK offers what the broker has and names an assigned client id',
  async (t, rig) => {
    const client = await raw(rig, '', { keepAlive: 120 });
    t.same(client.connack.body.subarray(0, 2), Buffer.from([0, 0]));
    const list = client.connack.body.subarray(3);
    t.ok(list.includes(Buffer.from([33, 0, 7])), 'receive maximum 7');
    t.ok(list.includes(Buffer.from([19, 0, 60])), 'server keep alive 60 ([MQTT-3.2.2-21])');
    t.ok(list.includes(Buffer.from([18])), 'assigned client id ([MQTT-3.2.2-16])');
  },
  { receiveMaximum: 7, maxKeepAlive: 60 },
);

withRig('one copy with all subscription identifiers ([MQTT-3.3.4-4])', async (t, rig) => {
  const client = await raw(rig, 'ids');
  client.send(
    subscribe(1, [['a/b', 2]], [[11, 2]]),
    subscribe(2, [['a/#', 1]], [[11, 300]]),
    publish('a/b', 'x', 2, 5),
  );
  await client.next(9);
  await client.next(9);
  const { qos, properties } = await messageIn(client);
  t.equal(qos, 2, 'the highest granted');
  t.same(properties.map(([, id]) => id).sort(), [2, 300]);
});

withRig('no local, retain as published, retain handling', async (t, rig) => {
  const client = await raw(rig, 'options');
  client.send(subscribe(1, [['own', 1 | 4]]), publish('own', 'x', 1, 1));
  await client.next(9);
  t.equal((await client.next(4)).body[1], 1, 'acknowledged');
  t.ok(await client.quiet(), 'and not delivered to its publisher ([MQTT-3.8.3-3])');

  client.send(subscribe(2, [['kept', 1 | 8]]), publish('kept', 'v', 1, 2, [], 1));
  await client.next(9);
  const live = await messageIn(client);
  t.ok(live.retain, 'the flag as it was published ([MQTT-3.3.1-13])');
  await client.next(4);
  client.send(ack(0x40, live.id), subscribe(3, [['kept', 1 | 0x20]]));
  await client.next(9);
  t.ok(await client.quiet(), 'handling 2: none ([MQTT-3.3.1-11])');
  client.send(subscribe(4, [['kept', 1 | 0x10]]));
  await client.next(9);
  t.ok(await client.quiet(), 'handling 1: none for a known subscription ([MQTT-3.3.1-10])');
  client.send(subscribe(5, [['kept', 1]]));
  await client.next(9);
  const again = await messageIn(client);
  t.ok(again.retain && again.payload === 'v', 'handling 0: always ([MQTT-3.3.1-9])');
});

withRig('topic aliases both ways', async (t, rig) => {
  const client = await raw(rig, 'alias', { properties: [[34, 1]] });
  client.send(
    subscribe(1, [
      ['t/1', 0],
      ['t/2', 0],
    ]),
    publish('t/1', 'a', 0, 0, [[35, 3]]),
    publish('', 'b', 0, 0, [[35, 3]]),
    publish('t/2', 'c'),
  );
  await client.next(9);
  t.match(await messageIn(client), { topic: 't/1', payload: 'a', properties: [[35, 1]] });
  t.match(await messageIn(client), { topic: '', payload: 'b', properties: [[35, 1]] });
  t.match(await messageIn(client), { topic: 't/2', payload: 'c', properties: [] }, 'one alias was granted');
  client.send(publish('t/1', 'x', 0, 0, [[35, 0]]));
  t.equal(await client.end(), 0x94, 'topic alias invalid ([MQTT-3.3.2-8])');
  const other = await raw(rig, 'alias');
  other.send(publish('', 'x', 0, 0, [[35, 3]]));
  t.equal(await other.end(), 0x94, 'aliases end with their connection ([MQTT-3.3.2-7])');
});

withRig(
  'the client’s receive maximum holds messages back, ours ends the connection',
  async (t, rig) => {
    const client = await raw(rig, 'flow', { properties: [[33, 2]] });
    client.send(subscribe(1, [['f', 1]]));
    await client.next(9);
    const feeder = await raw(rig, 'feeder');
    for (let n = 1; n <= 3; n += 1) {
      feeder.send(publish('f', `${n}`, 1, n));
      await feeder.next(4);
    }
    const first = await messageIn(client);
    t.equal((await messageIn(client)).payload, '2');
    t.ok(await client.quiet(), 'no third one ([MQTT-3.3.4-9])');
    client.send(ack(0x40, first.id));
    t.equal((await messageIn(client)).payload, '3');
    for (let n = 1; n <= 4; n += 1) feeder.send(publish('nobody', 'x', 2, n));
    t.equal(await feeder.end(), 0x93, 'receive maximum exceeded (section 3.14.2.1)');
  },
  { receiveMaximum: 3 },
);

withRig('a packet larger than the client takes is not sent ([MQTT-3.1.2-24])', async (t, rig) => {
  const client = await raw(rig, 'small', { properties: [[39, 40]] });
  client.send(subscribe(1, [['s', 1]]), publish('s', 'x'.repeat(60), 1, 1), publish('s', 'fits', 1, 2));
  await client.next(9);
  await client.next(4);
  t.equal((await messageIn(client)).payload, 'fits');
  t.equal(rig.counts['too-large'], 1);
});

withRig('user properties keep their order, response topic and correlation data travel', async (t, rig) => {
  const client = await raw(rig, 'props');
  const entries = [
    [1, 1],
    [38, ['b', '1']],
    [38, ['a', '2']],
    [38, ['b', '3']],
    [8, 'reply/here'],
    [9, Buffer.from('id')],
  ] as const;
  client.send(subscribe(1, [['p', 2]]), publish('p', 'ask', 2, 1, entries));
  await client.next(9);
  const { properties } = await messageIn(client);
  t.same(properties, [
    [1, 1],
    [38, ['b', '1']],
    [38, ['a', '2']],
    [38, ['b', '3']],
    [8, 'reply/here'],
    [9, 'id'],
  ]);
});

withRig('shared subscriptions: one member each, an absent one is passed over', async (t, rig) => {
  const one = await raw(rig, 's1');
  const two = await raw(rig, 's2');
  for (const member of [one, two]) {
    member.send(
      subscribe(1, [
        ['$share/g/w', 0],
        ['$share/+/w', 0],
        ['$share/g', 0],
      ]),
    );
    t.same((await member.next(9)).body.subarray(3), Buffer.from([0, 0x8f, 0x8f]), 'bad share names');
  }
  const publisher = await raw(rig, 'p');
  publisher.send(publish('w', '1'), publish('w', '2'));
  t.same(new Set([(await messageIn(one)).payload, (await messageIn(two)).payload]), new Set(['1', '2']));
  two.send(packet(0xe0));
  await two.end();
  publisher.send(publish('w', '3'), publish('w', '4'));
  t.same([(await messageIn(one)).payload, (await messageIn(one)).payload], ['3', '4']);
  const local = await raw(rig, 'nl');
  local.send(subscribe(1, [['$share/g/w', 4]]));
  t.equal(await local.end(), 0x82, 'no local on a shared subscription ([MQTT-3.8.3-4])');
});

withRig('reason codes of acknowledgements', async (t, rig) => {
  const client = await raw(rig, 'codes');
  client.send(publish('nobody', 'x', 1, 1));
  t.same((await client.next(4)).body, Buffer.from([0, 1, 0x10]), 'no matching subscribers');
  client.send(publish('$SYS/fake', 'x', 1, 2));
  t.equal((await client.next(4)).body[2], 0x87, 'not authorized');
  client.send(ack(0x62, 9));
  t.equal((await client.next(7)).body[2], 0x92, 'packet identifier not found');
  client.send(packet(0xa2, [0, 3], props(), text('never')));
  t.same((await client.next(11)).body, Buffer.from([0, 3, 0, 0x11]), 'no subscription existed');
  client.send(
    subscribe(4, [
      ['a/#/b', 0],
      ['ok', 0],
    ]),
  );
  t.same(
    (await client.next(9)).body,
    Buffer.from([0, 4, 0, 0x8f, 0]),
    'topic filter invalid, the other granted',
  );
});

withRig(
  'retained messages expire, and enhanced authentication takes as many steps as it wants',
  async (t, rig) => {
    const client = await raw(rig, 'auth', {
      properties: [
        [21, 'twice'],
        [22, Buffer.from('one')],
      ],
    });
    t.equal(client.connack.type, 15, 'AUTH before CONNACK');
    t.equal(client.connack.body[0], 0x18);
    client.send(
      packet(
        0xf0,
        [0x18],
        props([
          [21, 'twice'],
          [22, Buffer.from('two')],
        ]),
      ),
    );
    const connack = await client.next(2);
    t.ok(connack.body.includes('done') && connack.body.includes('twice'), 'method and data in CONNACK');
    client.send(
      packet(
        0xf0,
        [0x19],
        props([
          [21, 'twice'],
          [22, Buffer.from('one')],
        ]),
      ),
    );
    t.equal((await client.next(15)).body[0], 0x18, 'again, on the open connection');
    client.send(
      packet(
        0xf0,
        [0x18],
        props([
          [21, 'twice'],
          [22, Buffer.from('bad')],
        ]),
      ),
    );
    t.equal(await client.end(), 0x87);
    const unknown = await raw(rig, 'auth', { properties: [[21, 'never heard of']] });
    t.equal(unknown.connack.body[1], 0x8c, 'bad authentication method');
  },
  {
    enhancedAuth: {
      begin: (method) =>
        method === 'twice'
          ? {
              next: async (data) => {
                const given = Buffer.from(data ?? []).toString();
                if (given === 'one') return { continueWith: Buffer.from('more') };
                return given === 'two'
                  ? { user: 'u', data: Buffer.from('done') }
                  : { refused: 'wrong answer' };
              },
            }
          : undefined,
    },
  },
);

withRig('$SYS tells about the broker', async (t, rig) => {
  const client = await raw(rig, 'sys');
  client.send(
    subscribe(1, [
      ['$SYS/broker/clients/connected', 0],
      ['#', 0],
    ]),
  );
  await client.next(9);
  t.match(await messageIn(client), { topic: '$SYS/broker/clients/connected', payload: '1', retain: true });
  t.ok(await client.quiet(), '# does not cover it ([MQTT-4.7.2-1])');
});

withRig('takeover: the older connection is told ([MQTT-3.1.4-3])', async (t, rig) => {
  const first = await raw(rig, 'twin');
  await raw(rig, 'twin');
  t.equal(await first.end(), 0x8e);
});

withRig('what a member of a share group did not take goes to another ([MQTT-4.8.2-5])', async (t, rig) => {
  const one = await raw(rig, 'one', { properties: [[33, 1]] });
  one.send(subscribe(1, [['$share/g/w', 1]]));
  await one.next(9);
  const feeder = await raw(rig, 'feeder');
  for (let n = 1; n <= 3; n += 1) {
    feeder.send(publish('w', `${n}`, 1, n));
    await feeder.next(4);
  }
  t.equal((await messageIn(one)).payload, '1');
  const two = await raw(rig, 'two');
  two.send(subscribe(1, [['$share/g/w', 1]]));
  await two.next(9);
  one.drop();
  const payloads = [await messageIn(two), await messageIn(two), await messageIn(two)].map((m) => m.payload);
  t.same(payloads, ['1', '2', '3']);
});
