import { once } from 'node:events';
import { connect } from 'node:net';
import * as grpc from '@grpc/grpc-js';
import t from 'tap';
import { unaryMethod } from '../../../runtime/contracts/grpc-wire/service.ts';
import { reservePort } from '../../../runtime/grpc/reserved-port.ts';
import { BYTES, startServer, unaryCall } from '../../support/grpc-harness.ts';

const ECHO = { name: 'test.Echo', methods: { Unary: unaryMethod(BYTES, BYTES, async (message) => message) } };

t.test('a call that comes before the server waits and is answered', async (t) => {
  const reserved = await reservePort({ host: '127.0.0.1', port: 0 }, 16);
  const client = new grpc.Client(`127.0.0.1:${reserved.port}`, grpc.credentials.createInsecure());
  t.teardown(() => client.close());
  const early = unaryCall(client, '/test.Echo/Unary', Buffer.from('early'));
  const waiting = connect(reserved.port, '127.0.0.1');
  await once(waiting, 'connect');
  const gone = connect(reserved.port, '127.0.0.1');
  await once(gone, 'connect');
  gone.resetAndDestroy();
  const { port, client: later } = await startServer(t, [ECHO], { reserved });
  t.equal(port, reserved.port);
  t.equal(Buffer.from((await early).message ?? []).toString(), 'early');
  const second = await unaryCall(later, '/test.Echo/Unary', Buffer.from('later'));
  t.equal(Buffer.from(second.message ?? []).toString(), 'later');
  waiting.destroy();
});

t.test('closing gives the port back and ends who waits', async (t) => {
  const reserved = await reservePort({ host: '127.0.0.1', port: 0 }, 16);
  await t.rejects(reservePort({ host: '127.0.0.1', port: reserved.port }, 16), { code: 'EADDRINUSE' });
  const waiting = connect(reserved.port, '127.0.0.1');
  await once(waiting, 'connect');
  const ended = once(waiting, 'close');
  await reserved.close();
  await ended;
  const again = await reservePort({ host: '127.0.0.1', port: reserved.port }, 16);
  await again.close();
});

t.test('closing a server on a reserved port frees it', async (t) => {
  const reserved = await reservePort({ host: '127.0.0.1', port: 0 }, 16);
  const { server, client } = await startServer(t, [ECHO], { reserved });
  await unaryCall(client, '/test.Echo/Unary', Buffer.from('x'));
  await server.close(1000);
  await (await reservePort({ host: '127.0.0.1', port: reserved.port }, 16)).close();
});
