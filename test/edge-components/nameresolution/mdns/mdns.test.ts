/** The resolver on a network that exists in memory only. */

import t, { type Test } from 'tap';
import type {
  MdnsPacket,
  MulticastSocketOptions,
} from '../../../../edge-components/drivers/mdns/multicast-socket.ts';
import { createMdnsResolver } from '../../../../edge-components/nameresolution/mdns/mdns.ts';
import { fakeClock } from '../../../support/fake-clock.ts';
import { recordingLogger } from '../../../support/recording-logger.ts';

const signal = new AbortController().signal;
const from = { address: '10.0.0.1', port: 5353 };
const request = (appId: string) => ({ appId, namespace: '' });

function network() {
  const clock = fakeClock();
  const members: MulticastSocketOptions[] = [];
  const sent: MdnsPacket[] = [];
  const direct: { packet: MdnsPacket; port: number }[] = [];
  const deliver = (packet: MdnsPacket): void => {
    for (const member of members) member.received(packet, from);
  };
  const node = async (pid: number, log = recordingLogger()) => {
    const resolver = createMdnsResolver({
      clock,
      log,
      hostName: 'box',
      pid,
      openSocket: async (options) => {
        members.push(options);
        return {
          send: async (packet) => {
            sent.push(packet);
            deliver(packet);
          },
          sendTo: async (packet, asker) => void direct.push({ packet, port: asker.port }),
          close: async () => void members.splice(members.indexOf(options), 1),
        };
      },
    });
    await resolver.init(signal);
    return resolver;
  };
  return { clock, sent, direct, deliver, members, node };
}

const app = (appId: string, address = '10.0.0.1', internalPort = 50002) => ({
  appId,
  namespace: '',
  address,
  internalPort,
  httpPort: 3500,
});
const browses = (sent: readonly MdnsPacket[], appId: string) =>
  sent.filter(({ questions }) => questions.some(({ name }) => name === `${appId}.local`)).length;

t.test('records are those that daprd publishes, all in one packet, twice', async (t) => {
  const { sent, node, clock } = network();
  const one = await node(7);
  await one.register(app('one'));
  t.same(
    sent[0]?.answers.map((answer) => [
      answer.type,
      answer.name,
      'ttl' in answer && answer.ttl,
      'data' in answer && answer.data,
    ]),
    [
      ['PTR', 'one.local', 3200, 'box:7.one.local'],
      ['SRV', 'box:7.one.local', 3200, { port: 50002, target: 'box.local', priority: 0, weight: 0 }],
      ['TXT', 'box:7.one.local', 3200, ['one']],
      ['A', 'box.local', 120, '10.0.0.1'],
    ],
  );
  await clock.advance(1000);
  t.same(sent[1], sent[0]);
  t.equal(sent.length, 2);
});

t.test('one finds the other, once, and remembers it for a minute', async (t) => {
  const { sent, node, clock } = network();
  const one = await node(1);
  const two = await node(2);
  await one.register(app('one', 'fd00::1'));
  t.equal(await two.resolve(request('one'), signal), '[fd00::1]:50002');
  t.equal(await two.resolve(request('one'), signal), '[fd00::1]:50002');
  t.equal(browses(sent, 'one'), 1);
  await clock.advance(30_000);
  t.equal(browses(sent, 'one'), 2, 'known apps are asked for again every 30 s');
});

t.test('replicas are used in turn, one that failed is forgotten', async (t) => {
  const { node } = network();
  await (await node(1)).register(app('one', '10.0.0.1'));
  await (await node(2)).register(app('one', '10.0.0.2'));
  const three = await node(3);
  await three.resolve(request('one'), signal);
  const seen = new Set<string>();
  for (let i = 0; i < 4; i += 1) seen.add(await three.resolve(request('one'), signal));
  t.same([...seen].sort(), ['10.0.0.1:50002', '10.0.0.2:50002']);
  three.forget?.(request('one'), '10.0.0.1:50002');
  t.equal(await three.resolve(request('one'), signal), '10.0.0.2:50002');
});

t.test('an app nobody has: asked for again, given up after a second', async (t) => {
  const { sent, node, clock } = network();
  const one = await node(1);
  const waiting = Promise.allSettled([
    one.resolve(request('nobody'), signal),
    one.resolve(request('nobody'), signal),
  ]);
  await clock.advance(999);
  t.equal(browses(sent, 'nobody'), 3, 'two callers share the questions');
  await clock.advance(1);
  t.match(await waiting, [
    { reason: { message: "couldn't find service: nobody" } },
    { reason: { message: "couldn't find service: nobody" } },
  ]);
});

t.test('a caller that goes away does not disturb the others', async (t) => {
  const { node } = network();
  const one = await node(1);
  const abort = new AbortController();
  const leaving = one.resolve(request('late'), abort.signal);
  const staying = one.resolve(request('late'), signal);
  abort.abort(new Error('gone'));
  await t.rejects(leaving, { message: 'gone' });
  await (await node(2)).register(app('late'));
  t.equal(await staying, '10.0.0.1:50002');
});

t.test('a goodbye ends it', async (t) => {
  const { sent, node, clock } = network();
  const one = await node(1);
  const two = await node(2);
  const registration = await one.register(app('one'));
  await two.resolve(request('one'), signal);
  await registration.close();
  t.match(sent.at(-1)?.answers[0], { type: 'PTR', ttl: 0 });
  const again = two.resolve(request('one'), signal);
  again.catch(() => {});
  await clock.advance(1000);
  await t.rejects(again, { message: "couldn't find service: one" });
});

t.test('questions: known answers stay unsaid, other ports are answered directly', async (t) => {
  const { sent, direct, members, node } = network();
  await (await node(1)).register(app('one'));
  sent.length = 0;
  const question = { type: 'PTR', name: 'ONE.local', class: 'IN' } as const;
  const query = (extra: Partial<MdnsPacket> = {}): MdnsPacket => ({
    type: 'query',
    id: 9,
    questions: [question],
    answers: [],
    additionals: [],
    ...extra,
  });
  members[0]?.received(
    query({ answers: [{ type: 'PTR', name: 'one.local', ttl: 3000, data: 'box:1.one.local' }] }),
    from,
  );
  t.equal(sent.length, 0);
  members[0]?.received(query(), from);
  t.same(
    sent.map(({ answers, additionals }) => [
      answers.map(({ type }) => type),
      additionals.map(({ type }) => type),
    ]),
    [[['PTR'], ['SRV', 'TXT', 'A']]],
  );
  members[0]?.received(query(), { address: '10.0.0.9', port: 40_000 });
  t.match(direct, [{ port: 40_000, packet: { id: 9, questions: [question] } }]);
  sent.length = 0;
  members[0]?.received(query({ questions: [{ type: 'SRV', name: 'box:1.one.local' }] }), from);
  members[0]?.received(query({ questions: [{ type: 'PTR', name: '_services._dns-sd._udp.local' }] }), from);
  t.same(
    sent.map(({ answers }) => answers.map(({ type }) => type)),
    [['SRV', 'TXT', 'A', 'PTR'], ['PTR']],
  );
});

t.test('answers that are not all of it are not believed', async (t: Test) => {
  const { deliver, node, clock } = network();
  const one = await node(1);
  const full = [
    { type: 'PTR', name: 'x.local', ttl: 120, data: 'i.x.local' },
    { type: 'SRV', name: 'i.x.local', ttl: 120, data: { port: 9, target: 'h.local' } },
    { type: 'TXT', name: 'i.x.local', ttl: 120, data: [Buffer.from('x')] },
    { type: 'A', name: 'h.local', ttl: 120, data: '10.0.0.5' },
  ] as MdnsPacket['answers'];
  const packet = (answers: MdnsPacket['answers']): MdnsPacket => ({
    type: 'response',
    questions: [],
    answers,
    additionals: [],
  });
  const waiting = one.resolve(request('x'), signal);
  for (const missing of full) deliver(packet(full.filter((record) => record !== missing)));
  deliver(
    packet(
      full.map((record) =>
        record.type === 'TXT' ? { ...record, data: ['other'] } : record,
      ) as MdnsPacket['answers'],
    ),
  );
  await clock.advance(10);
  deliver(packet(full));
  t.equal(await waiting, '10.0.0.5:9');
});

t.test('without multicast the process goes on and its own apps resolve', async (t) => {
  const log = recordingLogger();
  const resolver = createMdnsResolver({
    clock: fakeClock(),
    log,
    hostName: 'box',
    pid: 1,
    openSocket: () => Promise.reject(new Error('bind EADDRINUSE 0.0.0.0:5353')),
  });
  await resolver.init(signal);
  await resolver.register(app('mine'));
  t.equal(await resolver.resolve(request('mine'), signal), '10.0.0.1:50002');
  await t.rejects(resolver.resolve(request('other'), signal), { message: "couldn't find service: other" });
  t.match(log.lines, [{ level: 'error', message: /EADDRINUSE/ }]);
  await resolver.close();
});
