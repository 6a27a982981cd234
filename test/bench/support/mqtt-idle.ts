/** Opens idle MQTT 5 clients: `node mqtt-idle.ts <port> <count>` says `open` when all are in, and stays. */

import { connect, type Socket } from 'node:net';

const port = Number(process.argv[2]);
const count = Number(process.argv[3]);
const sockets: Socket[] = [];

function open(index: number): Promise<void> {
  // The machine has about 28,000 ports per address.
  const localAddress = `127.0.0.${2 + (index % 8)}`;
  const socket = connect({ port, host: '127.0.0.1', localAddress });
  sockets.push(socket);
  const id = Buffer.from(`idle-${index}`);
  const body = Buffer.concat([Buffer.from([0, 4, 77, 81, 84, 84, 5, 2, 0, 0, 0, 0, id.length]), id]);
  socket.write(Buffer.concat([Buffer.from([0x10, body.length]), body]));
  return new Promise((resolve, reject) => {
    socket.once('data', (answer: Buffer) => {
      if (answer[3] === 0) resolve();
      else reject(new Error(`client ${index} was refused with ${answer[3]}`));
    });
    socket.once('error', reject);
  });
}

for (let from = 0; from < count; from += 100) {
  await Promise.all(Array.from({ length: Math.min(100, count - from) }, (_, n) => open(from + n)));
}
process.stdout.write('open\n');
setInterval(() => {}, 60_000);
