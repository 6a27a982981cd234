/** The broker's sockets: TCP, TLS, WebSocket and secure WebSocket. Each hands its connections over as streams. */

import type { Server as HttpServer, RequestListener } from 'node:http';
import type { AddressInfo, Server as NetServer, Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import type { TlsOptions } from 'node:tls';
import { errorText } from '../../runtime/contracts/error.ts';
import {
  type BrokerLimits,
  type BrokerOptions,
  LISTENER_OPTION,
  type ListenerKind,
  type ListenOptions,
  type TlsListenOptions,
} from './options.ts';

export interface Listener {
  readonly kind: ListenerKind;
  readonly host: string;
  readonly port: number;
  /** As shown to people: `mqtt://127.0.0.1:1883`. */
  readonly url: string;
  close(): Promise<void>;
}

/** `socket` is the TCP or TLS socket below a WebSocket. */
export type Accept = (stream: Duplex, socket: Socket) => void;

/** Small packets that a client puts into one frame with a large one. */
const FRAME_EXTRA_BYTES = 64 * 1024;
const SCHEME: Readonly<Record<ListenerKind, string>> = { tcp: 'mqtt', tls: 'mqtts', ws: 'ws', wss: 'wss' };

/** Opens every configured listener; when one fails, those that are open are closed again. */
export async function openListeners(
  options: BrokerOptions,
  limits: Pick<BrokerLimits, 'maxConnections' | 'maxPacketBytes'>,
  accept: Accept,
): Promise<Listener[]> {
  const { maxConnections } = limits;
  const open: Listener[] = [];
  try {
    if (options.tcp !== undefined) open.push(await openTcp(options.tcp, maxConnections, accept));
    if (options.tls !== undefined) open.push(await openTls(options.tls, maxConnections, accept));
    if (options.ws !== undefined) open.push(await openWs('ws', options.ws, limits, accept));
    if (options.wss !== undefined) open.push(await openWs('wss', options.wss, limits, accept));
    return open;
  } catch (error) {
    await Promise.all(open.map((listener) => listener.close()));
    throw error;
  }
}

async function openTcp(options: ListenOptions, maxConnections: number, accept: Accept): Promise<Listener> {
  const { createServer } = await import('node:net');
  const server = createServer({ noDelay: true, keepAlive: true }, (socket) => accept(socket, socket));
  server.maxConnections = maxConnections;
  return listen('tcp', server, options, () => {});
}

async function openTls(
  options: NonNullable<BrokerOptions['tls']>,
  maxConnections: number,
  accept: Accept,
): Promise<Listener> {
  const { createServer } = await import('node:tls');
  const server = createServer({ ...tlsOptions(options), noDelay: true, keepAlive: true }, (socket) =>
    accept(socket, socket),
  );
  // A failed handshake concerns that one connection.
  server.on('tlsClientError', (_error, socket) => socket.destroy());
  server.maxConnections = maxConnections;
  return listen('tls', server, options, () => {});
}

function tlsOptions({ cert, key, ca }: TlsListenOptions): TlsOptions {
  return { cert, key, ...(ca === undefined ? {} : { ca, requestCert: true, rejectUnauthorized: true }) };
}

async function openWs(
  kind: 'ws' | 'wss',
  options: NonNullable<BrokerOptions['ws']> | NonNullable<BrokerOptions['wss']>,
  { maxConnections, maxPacketBytes }: Pick<BrokerLimits, 'maxConnections' | 'maxPacketBytes'>,
  accept: Accept,
): Promise<Listener> {
  const [http, https, { createWebSocketStream, WebSocketServer }] = await Promise.all([
    import('node:http'),
    import('node:https'),
    import('ws'),
  ]);
  const answer: RequestListener = (_request, response) => {
    response.writeHead(426, { 'content-type': 'text/plain' }).end('This port speaks MQTT over WebSocket.\n');
  };
  const server =
    'cert' in options ? https.createServer(tlsOptions(options), answer) : http.createServer(answer);
  server.on('tlsClientError', (_error, socket) => socket.destroy());
  server.maxConnections = maxConnections;
  const sockets = new WebSocketServer({
    server,
    // A packet that is too large is refused by its length; this bounds one frame, which is held until it is whole.
    maxPayload: maxPacketBytes + FRAME_EXTRA_BYTES,
    perMessageDeflate: false,
    ...(options.path === undefined ? {} : { path: options.path }),
    // [MQTT-6.0.0-3]: the client must offer the sub-protocol `mqtt` and is answered with it
    handleProtocols: (offered) =>
      offered.has('mqtt') ? 'mqtt' : offered.has('mqttv3.1') ? 'mqttv3.1' : false,
  });
  sockets.on('connection', (socket, request) => {
    const stream = createWebSocketStream(socket);
    // [MQTT-6.0.0-1]: packets come in binary frames, anything else ends the connection
    socket.prependListener('message', (_data, isBinary) => {
      if (!isBinary) stream.destroy();
    });
    accept(stream, request.socket);
  });
  sockets.on('error', () => {}); // the same error reaches the listen promise through `server`
  return listen(kind, server, options, () => {
    for (const socket of sockets.clients) socket.terminate();
    sockets.close();
  });
}

function listen(
  kind: ListenerKind,
  server: NetServer | HttpServer,
  options: ListenOptions,
  closing: () => void,
): Promise<Listener> {
  return new Promise((resolve, reject) => {
    server.once('error', (cause) => reject(listenError(kind, options, cause)));
    server.listen(options.port, options.host, () => {
      server.removeAllListeners('error');
      server.on('error', () => {});
      const { port } = server.address() as AddressInfo;
      const host = options.host.includes(':') ? `[${options.host}]` : options.host;
      resolve({
        kind,
        host: options.host,
        port,
        url: `${SCHEME[kind]}://${host}:${port}`,
        close: () =>
          new Promise((done) => {
            closing();
            server.close(() => done());
          }),
      });
    });
  });
}

function listenError(kind: ListenerKind, options: ListenOptions, cause: unknown): Error {
  const code = (cause as NodeJS.ErrnoException).code;
  const where = `${options.host}:${options.port}`;
  const option = LISTENER_OPTION[kind];
  if (code === 'EADDRINUSE') {
    return new Error(
      `MQTT broker: ${where} is in use by another program; choose another port with ${option}`,
      { cause },
    );
  }
  if (code === 'EACCES') {
    return new Error(`MQTT broker: no permission to listen at ${where}; choose another port with ${option}`, {
      cause,
    });
  }
  return new Error(`MQTT broker: cannot listen at ${where} (${option}): ${errorText(cause)}`, { cause });
}
