// A link at the relay: one that has ended takes nothing any more, since what its node had sent before would bring it back into
// the table with nobody there; and when a silent one is given up.

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

const HELLO: NodeMessage & { type: 'hello' } = {
  type: 'hello',
  apps: ['a'],
  namespace: 'default',
  probeMs: 1000,
  version: 't',
};
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

/** A link whose node has said hello; what the node says goes through its streams. */
async function linked(t: Test, hello: NodeMessage) {
  const [near, far] = await pair(t);
  const clock = fakeClock();
  const node = performServerHandshake(far);
  node.on('error', () => {});
  const wanted = new Map<string, (stream: ServerHttp2Stream) => void>();
  const opened = (path: string) =>
    new Promise<ServerHttp2Stream>((resolve) => {
      wanted.set(path, resolve);
    });
  node.on('stream', (stream, fields) => {
    stream.on('error', () => {});
    wanted.get(String(fields[':path']))?.(stream);
  });
  const received: string[] = [];
  let reason = '';
  const [controlled, waiting] = [opened(CONTROL_PATH), opened(ACCEPT_PATH)];
  const link: RelayLink = openRelayLink({
    // What tells TLS apart was looked at before.
    socket: near as TLSSocket,
    clock,
    maxMessageBytes: 1024,
    received: (message, link) => {
      received.push(message.type);
      if (message.type === 'hello') link.watch(message.probeMs);
    },
    called: () => received.push('call'),
    closed: (why) => {
      reason = why;
    },
  });
  const control = await controlled;
  control.respond({ ':status': 200 });
  control.write(saying(hello));
  // The relay keeps a stream waiting from the hello on.
  const accept = await waiting;
  return { link, clock, control, accept, received, closed: () => reason };
}

/** The answer to a ping comes behind everything that was sent before it. */
async function pinged({ session }: ServerHttp2Stream): Promise<void> {
  await new Promise((resolve) => session?.ping(resolve));
  await new Promise(setImmediate);
}

t.test('a hello and a call that come behind the end', async (t) => {
  const { link, control, accept, received, closed } = await linked(t, HELLO);
  link.close('it is over');
  control.write(saying({ type: 'apps', apps: ['a'] }));
  accept.respond({ ':status': 200, [PATH_FIELD]: '/a.B/C', [CALLER_FIELD]: 'a', [CALLEE_FIELD]: 'b' });
  await pinged(control);
  t.same(received, ['hello']);
  t.equal(closed(), 'it is over');
});

t.test('a node that wants to know fast and beats late is not given up at once', async (t) => {
  const { link, clock, control, closed } = await linked(t, { ...HELLO, probeMs: 500 });
  await clock.advance(1500 + 4500);
  t.notOk(link.closed, 'a beat of 1.5 s that is 4.5 s late');
  control.write(encodeFrame(new Uint8Array(0)));
  await pinged(control);
  await clock.advance(6000);
  t.notOk(link.closed, 'it came');
  await clock.advance(1500);
  t.match(closed(), /nothing was heard for/);
});
