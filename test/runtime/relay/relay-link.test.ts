// A link that has ended takes nothing any more: what its node had sent before would bring it back into the table, with nobody there.

import { performServerHandshake, type ServerHttp2Stream } from 'node:http2';
import { connect, createServer, type Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import t, { type Test } from 'tap';
import { encodeFrame } from '../../../runtime/contracts/grpc-wire/frame.ts';
import {
  ACCEPT_PATH,
  CALLEE_FIELD,
  CALLER_FIELD,
  CONTROL_PATH,
  type NodeMessage,
  PATH_FIELD,
} from '../../../runtime/relay/protocol.ts';
import { openRelayLink, type RelayLink } from '../../../runtime/relay/relay-link.ts';
import { fakeClock } from '../../support/fake-clock.ts';

const HELLO: NodeMessage = { type: 'hello', apps: ['a'], namespace: 'default', probeMs: 1000, version: 't' };
const saying = (message: NodeMessage): Uint8Array => encodeFrame(Buffer.from(JSON.stringify(message)));

async function pair(t: Test): Promise<readonly [Socket, Socket]> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as { port: number };
  const far = connect(port, '127.0.0.1');
  const near = await new Promise<Socket>((resolve) => server.once('connection', resolve));
  t.teardown(() => {
    far.destroy();
    near.destroy();
    server.close();
  });
  return [near, far];
}

t.test('a hello and a call that come behind the end', async (t) => {
  const [near, far] = await pair(t);
  const node = performServerHandshake(far);
  node.on('error', () => {});
  const streams = new Map<string, (stream: ServerHttp2Stream) => void>();
  const opened = (path: string) =>
    new Promise<ServerHttp2Stream>((resolve) => {
      streams.set(path, resolve);
    });
  node.on('stream', (stream, fields) => {
    stream.on('error', () => {});
    streams.get(String(fields[':path']))?.(stream);
  });
  const received: string[] = [];
  let heard: () => void = () => {};
  const [controlled, waiting] = [opened(CONTROL_PATH), opened(ACCEPT_PATH)];
  const link: RelayLink = openRelayLink({
    // What tells TLS apart was looked at before.
    socket: near as TLSSocket,
    clock: fakeClock(),
    maxMessageBytes: 1024,
    received: (message, link) => {
      received.push(message.type);
      link.watch(1000);
      heard();
    },
    called: () => received.push('call'),
    closed: (reason) => received.push(`closed: ${reason}`),
  });
  t.teardown(() => near.destroy());
  const control = await controlled;
  control.respond({ ':status': 200 });
  control.write(saying(HELLO));
  await new Promise<void>((resolve) => {
    heard = resolve;
  });
  const accept = await waiting;

  link.close('it is over');
  control.write(saying({ type: 'apps', apps: ['a'] }));
  accept.respond({ ':status': 200, [PATH_FIELD]: '/a.B/C', [CALLER_FIELD]: 'a', [CALLEE_FIELD]: 'b' });
  // The relay's answer to a ping comes behind everything before it.
  await new Promise((resolve) => node.ping(resolve));
  await new Promise(setImmediate);
  t.same(received, ['hello', 'closed: it is over']);
});
