/**
 * MQTT load on bare sockets, in a process of its own: `node mqtt-load.ts '<json>'` prints one line of JSON. Packets have
 * a fixed size, so that counting them costs next to nothing beside the broker.
 */

import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { performance } from 'node:perf_hooks';

export interface LoadPlan {
  readonly port: number;
  readonly publishers: number;
  readonly subscribers: number;
  readonly qos: 0 | 1;
  readonly payload: number;
  readonly inFlight: number;
  readonly seconds: number;
  /** The subscribers have a session. */
  readonly session: boolean;
  /** Process whose CPU time is read. */
  readonly pid: number;
  /** Publishes per second in total, 0: as fast as it goes. */
  readonly rate: number;
}

export interface LoadResult {
  readonly published: number;
  readonly delivered: number;
  readonly seconds: number;
  /** CPU time of the broker in microseconds per published message. */
  readonly cpuPerMessage: number;
  readonly backlog: number;
}

const TOPIC = 'bench/t';
const text = (value: string): Buffer => {
  const bytes = Buffer.from(value);
  return Buffer.concat([Buffer.from([bytes.length >> 8, bytes.length & 255]), bytes]);
};
const varint = (value: number): number[] =>
  value < 128 ? [value] : [(value & 127) | 128, ...varint(value >> 7)];
const packet = (header: number, body: Buffer): Buffer =>
  Buffer.concat([Buffer.from([header, ...varint(body.length)]), body]);

async function open(port: number, id: string, clean: boolean): Promise<Socket> {
  const socket = connect({ port, host: '127.0.0.1', noDelay: true });
  await once(socket, 'connect');
  socket.write(packet(0x10, Buffer.concat([text('MQTT'), Buffer.from([4, clean ? 2 : 0, 0, 0]), text(id)])));
  const [answer] = (await once(socket, 'data')) as [Buffer];
  if (answer[3] !== 0) throw new Error('CONNECT was refused');
  return socket;
}

function cpuMicros(pid: number): number {
  const { readFileSync } = process.getBuiltinModule('node:fs');
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? [];
  return (Number(fields[11]) + Number(fields[12])) * 10_000;
}

async function main(plan: LoadPlan): Promise<LoadResult> {
  const qos = plan.qos;
  const body = Buffer.concat([text(TOPIC), Buffer.alloc(qos > 0 ? 2 : 0), Buffer.alloc(plan.payload, 'x')]);
  const frame = packet(0x30 | (qos << 1), body);
  const idAt = frame.length - plan.payload - 2;
  let delivered = 0;
  let published = 0;
  let running = true;
  const sockets: Socket[] = [];
  for (let n = 0; n < plan.subscribers; n += 1) {
    const socket = await open(plan.port, `bench-s${process.pid}-${n}`, !plan.session);
    socket.write(packet(0x82, Buffer.concat([Buffer.from([0, 1]), text(TOPIC), Buffer.from([qos])])));
    await once(socket, 'data');
    let rest: Buffer = Buffer.alloc(0);
    socket.on('data', (chunk: Buffer) => {
      const data = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
      const count = Math.floor(data.length / frame.length);
      delivered += count;
      rest = data.subarray(count * frame.length);
      if (qos === 0 || count === 0) return;
      const acks = Buffer.allocUnsafe(count * 4);
      for (let at = 0; at < count; at += 1) {
        acks[at * 4] = 0x40;
        acks[at * 4 + 1] = 2;
        data.copy(acks, at * 4 + 2, at * frame.length + idAt, at * frame.length + idAt + 2);
      }
      socket.write(acks);
    });
    sockets.push(socket);
  }
  const senders: ((count: number) => void)[] = [];
  for (let n = 0; n < plan.publishers; n += 1) {
    const socket = await open(plan.port, `bench-p${process.pid}-${n}`, true);
    let id = 0;
    let left = 0;
    const send = (count: number): void => {
      const bytes = Buffer.allocUnsafe(count * frame.length);
      for (let at = 0; at < count; at += 1) {
        frame.copy(bytes, at * frame.length);
        if (qos > 0) {
          id = (id % 65_535) + 1;
          bytes.writeUInt16BE(id, at * frame.length + idAt);
        }
      }
      published += count;
      socket.write(bytes);
    };
    if (qos > 0) {
      socket.on('data', (chunk: Buffer) => {
        left += chunk.length;
        const count = left >> 2;
        left &= 3;
        if (running) send(count);
      });
    }
    senders.push(send);
    sockets.push(socket);
  }
  const startCpu = cpuMicros(plan.pid);
  const start = performance.now();
  if (qos > 0) for (const send of senders) send(plan.inFlight);
  else pump(plan, senders, sockets, () => running);
  await new Promise((resolve) => setTimeout(resolve, plan.seconds * 1000));
  running = false;
  const seconds = (performance.now() - start) / 1000;
  const result = {
    published,
    delivered,
    seconds,
    cpuPerMessage: (cpuMicros(plan.pid) - startCpu) / published,
    backlog: published * plan.subscribers - delivered,
  };
  for (const socket of sockets) socket.destroy();
  return result;
}

/** QoS 0: a steady rate, or as much as the sockets take. */
function pump(
  plan: LoadPlan,
  senders: readonly ((count: number) => void)[],
  sockets: readonly Socket[],
  running: () => boolean,
): void {
  const start = performance.now();
  let sent = 0;
  const publishers = sockets.slice(-senders.length);
  const turn = (): void => {
    if (!running()) return;
    if (plan.rate > 0) {
      const due = Math.floor(((performance.now() - start) / 1000) * plan.rate) - sent;
      const each = Math.floor(due / senders.length);
      if (each > 0) for (const send of senders) send(each);
      sent += each * senders.length;
      setTimeout(turn, 2);
      return;
    }
    for (const [index, send] of senders.entries()) {
      if ((publishers[index] as Socket).writableLength < 128 * 1024) send(64);
    }
    setImmediate(turn);
  };
  turn();
}

process.stdout.write(`${JSON.stringify(await main(JSON.parse(process.argv[2] ?? '{}')))}\n`);
process.exit(0);
