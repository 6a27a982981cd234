/** The process is killed under load, again and again: what was acknowledged is there, in its order, once per packet id. */

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { connect as connectSocket, type Socket } from 'node:net';
import { join } from 'node:path';
import t from 'tap';
import {
  ack,
  connect,
  packet,
  publish,
  type Received,
  reader,
  readPublish,
  subscribe,
} from './raw-client.ts';

const LASTING = [[17, 600]] as const;

interface Child {
  readonly process: ChildProcess;
  readonly port: number;
}

async function start(directory: string): Promise<Child> {
  const entry = join(import.meta.dirname, '../../support/broker-child.ts');
  const child = spawn(process.execPath, [entry, directory], { stdio: ['ignore', 'pipe', 'inherit'] });
  const [line] = (await once(child.stdout, 'data')) as [Buffer];
  return { process: child, port: Number(line.toString()) };
}

async function kill({ process: child }: Child): Promise<void> {
  child.kill('SIGKILL');
  await once(child, 'exit');
}

async function open(port: number, bytes: Buffer): Promise<[Socket, ReturnType<typeof reader>, Received]> {
  const socket = connectSocket(port, '127.0.0.1');
  socket.on('error', () => {});
  const next = reader(socket);
  socket.write(bytes);
  return [socket, next, (await next()) as Received];
}

t.test('three kills under load', async (t) => {
  const directory = t.testdir();
  let child = await start(directory);
  const [away, nextAway] = await open(child.port, connect('away', { properties: LASTING }));
  away.write(subscribe(1, [['q', 2]]));
  await nextAway();
  away.end(packet(0xe0));
  await once(away, 'close');

  const acknowledged: number[] = [];
  let number = 0;
  for (let round = 0; round < 3; round += 1) {
    const [socket, next] = await open(child.port, connect(`p${round}`, { properties: LASTING }));
    for (let sent = 0; sent < 400; sent += 1, number += 1) {
      socket.write(publish('q', `${number}`, number % 2 === 0 ? 1 : 2, sent + 1));
    }
    const first = number - 400;
    for (let answers = 0; answers < 150 + 40 * round; answers += 1) {
      const answer = await next();
      if (answer?.type === 4 || answer?.type === 5)
        acknowledged.push(first + answer.body.readUInt16BE(0) - 1);
    }
    await kill(child);
    child = await start(directory);
  }

  // The subscriber takes some, is cut off by another kill, and comes back.
  const seen = new Map<number, number>();
  const order: number[] = [];
  const take = async (enough: () => boolean): Promise<void> => {
    const [socket, next] = await open(child.port, connect('away', { clean: false, properties: LASTING }));
    while (!enough()) {
      const received = (await next()) as Received;
      if (received.type === 6) socket.write(ack(0x70, received.body.readUInt16BE(0)));
      else {
        const { payload, id, qos } = readPublish(received);
        const value = Number(payload);
        if (seen.has(value)) t.equal(seen.get(value), id, `${value} comes again under its packet id`);
        else {
          seen.set(value, id);
          order.push(value);
        }
        socket.write(ack(qos === 1 ? 0x40 : 0x50, id));
      }
    }
    socket.destroy();
  };
  await take(() => seen.size >= 100);
  await kill(child);
  child = await start(directory);
  const missing = (): number[] => acknowledged.filter((value) => !seen.has(value));
  await take(() => missing().length === 0);
  t.same(missing(), [], `all ${acknowledged.length} that were acknowledged came`);
  t.same(
    order,
    [...order].sort((a, b) => a - b),
    'in the order of acceptance',
  );
  await kill(child);
});
