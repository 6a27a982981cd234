import { createServer as createHttpServer } from 'node:http';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import t from 'tap';
import { bytesBody, EMPTY_BODY, readBody } from '../../../runtime/contracts/body.ts';
import { createHttp1Transport } from '../../../runtime/http-client/http1-transport.ts';
import { fakeClock } from '../../support/fake-clock.ts';

const ANSWER = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok';
const { signal } = new AbortController();

interface Test {
  teardown(run: () => unknown): void;
}

/** A server of bare connections; `onRequest` gets each piece of data and the number of its connection. */
async function bareServer(
  t: Test,
  onRequest: (socket: Socket, connection: number) => void,
): Promise<{ host: string; port: number }> {
  let connections = 0;
  const open = new Set<Socket>();
  const server = createServer((socket) => {
    connections += 1;
    const number = connections;
    open.add(socket);
    socket.on('error', () => {});
    socket.on('data', () => onRequest(socket, number));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.teardown(() => {
    for (const socket of open) socket.destroy();
    server.close();
  });
  return { host: '127.0.0.1', port: (server.address() as AddressInfo).port };
}

const GET = { verb: 'GET', path: '/', headers: [], body: EMPTY_BODY };
const POST = { verb: 'POST', path: '/', headers: [], body: bytesBody(Buffer.from('x')) };

t.test('a connection closed right behind its answer is not used again', async (t) => {
  const transport = createHttp1Transport(await bareServer(t, (socket) => socket.end(ANSWER)));
  t.teardown(() => transport.close());
  // Each request follows in the same turn of the loop, before the end of the stream has been read.
  for (let n = 0; n < 50; n += 1) {
    const answer = await transport.send(POST, signal);
    t.equal(answer.status, 200);
    t.equal((await readBody(answer.body)).byteLength, 2);
  }
});

t.test('a connection that was idle for too long is not used again, even if its timer is late', async (t) => {
  const clock = fakeClock();
  const seen: number[] = [];
  const target = await bareServer(t, (socket, number) => {
    seen.push(number);
    socket.write(ANSWER);
  });
  const transport = createHttp1Transport({ ...target, clock });
  t.teardown(() => transport.close());
  const turns = async (): Promise<void> => {
    for (let n = 0; n < 5; n += 1) await new Promise((resolve) => setImmediate(resolve));
  };
  await transport.send(POST, signal);
  await turns();
  await clock.advance(3999);
  await transport.send(POST, signal);
  await turns();
  await clock.advance(4000);
  await transport.send(POST, signal);
  t.strictSame(seen, [1, 1, 2]);
});

t.test(
  'what may be repeated is sent again when a kept connection turns out to be closed; the rest fails',
  async (t) => {
    let asked = 0;
    const times = new Map<number, number>();
    const target = await bareServer(t, (socket, number) => {
      asked += 1;
      times.set(number, (times.get(number) ?? 0) + 1);
      if (times.get(number) === 2) socket.destroy();
      else socket.write(ANSWER);
    });
    const turns = async (): Promise<void> => {
      for (let n = 0; n < 5; n += 1) await new Promise((resolve) => setImmediate(resolve));
    };
    const transport = createHttp1Transport(target);
    t.teardown(() => transport.close());
    let settled = 0;
    await transport.send(GET, signal);
    await turns();
    t.equal((await transport.send(GET, signal, () => (settled += 1))).status, 200);
    await turns();
    t.equal(settled, 1);
    t.equal(asked, 3);

    const other = createHttp1Transport(target);
    t.teardown(() => other.close());
    await other.send(POST, signal);
    await turns();
    await t.rejects(
      other.send(POST, signal, () => (settled += 1)),
      { code: 'ECONNRESET' },
    );
    await turns();
    t.equal(settled, 2);
    t.equal(asked, 5);
  },
);

t.test('connections are kept, and as many are open as there are requests', async (t) => {
  let connections = 0;
  const server = createHttpServer((_, response) => response.end('ok'));
  server.on('connection', () => {
    connections += 1;
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const transport = createHttp1Transport({
    host: '127.0.0.1',
    port: (server.address() as AddressInfo).port,
  });
  t.teardown(() => {
    transport.close();
    server.close();
  });
  for (let n = 0; n < 20; n += 1) {
    await transport.send(GET, signal);
    for (let turn = 0; turn < 3; turn += 1) await new Promise((resolve) => setImmediate(resolve));
  }
  t.equal(connections, 1);
});
