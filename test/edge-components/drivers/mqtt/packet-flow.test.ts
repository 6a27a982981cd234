/** Packets of one turn leave together; a silent connection with open publishes gets a PINGREQ, one at a time. */

import { Duplex } from 'node:stream';
import { setImmediate as turn } from 'node:timers/promises';
import t from 'tap';
import { PacketFlow } from '../../../../edge-components/drivers/mqtt/packet-flow.ts';

function recorder(): { readonly stream: Duplex; readonly writes: string[] } {
  const writes: string[] = [];
  const stream = new Duplex({
    read: () => {},
    writev: (chunks, done) => {
      writes.push(chunks.map(({ chunk }) => String(chunk)).join(''));
      done();
    },
  });
  return { stream, writes };
}

function flowOf(unconfirmed: () => number): { readonly flow: PacketFlow; readonly pings: () => number } {
  let pings = 0;
  const ping = (): void => {
    pings += 1;
  };
  return { flow: new PacketFlow({ unconfirmed, ping }), pings: () => pings };
}

t.test('packets of one turn leave in one write, those of the next in another', async (t) => {
  const { stream, writes } = recorder();
  const { flow } = flowOf(() => 0);
  for (const packet of ['a', 'b']) {
    flow.sending(stream);
    stream.write(packet);
  }
  t.same(writes, []);
  await turn();
  t.same(writes, ['ab']);
  flow.sending(stream);
  stream.write('c');
  await turn();
  t.same(writes, ['ab', 'c']);
});

t.test(
  'an acknowledgement with others outstanding and nothing to send is followed by one ping',
  async (t) => {
    let open = 3;
    const { flow, pings } = flowOf(() => open);
    flow.received('puback');
    open = 2;
    await turn();
    t.equal(pings(), 1);
    flow.received('puback');
    await turn();
    t.equal(pings(), 1, 'the first is not answered yet');
    flow.received('pingresp');
    await turn();
    t.equal(pings(), 2);
  },
);

t.test('no ping when a packet was sent anyway, or nothing is outstanding', async (t) => {
  const { stream } = recorder();
  let open = 2;
  const { flow, pings } = flowOf(() => open);
  flow.received('puback');
  flow.sending(stream);
  await turn();
  open = 1;
  flow.received('puback');
  await turn();
  open = 2;
  flow.received('puback');
  open = 0;
  await turn();
  t.equal(pings(), 0);
});

t.test('an unanswered ping is forgotten with its connection', async (t) => {
  const { flow, pings } = flowOf(() => 2);
  flow.received('puback');
  await turn();
  flow.begin(recorder().stream);
  flow.received('puback');
  await turn();
  t.equal(pings(), 2);
});
