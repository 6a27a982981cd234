/** A gRPC client under test, and a server whose answers a test makes by hand. */

import { once } from 'node:events';
import { createServer, type Http2Server, type ServerHttp2Session, type ServerHttp2Stream } from 'node:http2';
import type { AddressInfo } from 'node:net';
import {
  createGrpcClient,
  type GrpcClient,
  type GrpcClientOptions,
} from '../../runtime/grpc-client/client.ts';
import { systemClock } from '../../runtime/platform/system-clock.ts';

interface Test {
  teardown(run: () => unknown): void;
}

/** A client that is closed with the test. */
export function clientOf(t: Test, target: string, options: Partial<GrpcClientOptions> = {}): GrpcClient {
  const client = createGrpcClient({ target, clock: systemClock(), ...options });
  t.teardown(() => {
    client.reset();
    return client.close();
  });
  return client;
}

/** A hand-made HTTP/2 server. */
export async function handmade(
  t: Test,
  onStream: (stream: ServerHttp2Stream) => void,
): Promise<{ target: string; server: Http2Server; sessions: ServerHttp2Session[] }> {
  const server = createServer();
  const sessions: ServerHttp2Session[] = [];
  server.on('session', (session) => {
    sessions.push(session);
    session.on('error', () => {});
  });
  server.on('stream', (stream: ServerHttp2Stream) => {
    stream.on('error', () => {});
    onStream(stream);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(() => {
    for (const session of sessions) session.destroy();
    server.close();
  });
  return { target: `127.0.0.1:${(server.address() as AddressInfo).port}`, server, sessions };
}
