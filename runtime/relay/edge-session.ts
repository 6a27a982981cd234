/**
 * One connection of a node to its relay, from the TLS handshake to its end: the streams of calls to the node's apps, the waiting
 * streams for calls of the node, the control stream, and the watch over all of it.
 */

import { type IncomingHttpHeaders, performServerHandshake, type ServerHttp2Stream } from 'node:http2';
import { connect, type TLSSocket } from 'node:tls';
import type { Clock } from '../contracts/clock.ts';
import { errorText } from '../contracts/error.ts';
import { GrpcCode } from '../contracts/grpc-code.ts';
import { GrpcStatusError, trailersOfStatus } from '../contracts/grpc-wire/status.ts';
import type { Logger } from '../contracts/logger.ts';
import { parseSpiffeId, type SpiffeId } from '../contracts/spiffe.ts';
import { type Control, openControl } from './control.ts';
import type { NodeEnrolment } from './enrolment.ts';
import type { LinkedApp } from './linked-app.ts';
import { type Liveness, watchLiveness } from './liveness.ts';
import {
  ACCEPT_PATH,
  CALLEE_FIELD,
  CALLER_FIELD,
  CONTROL_PATH,
  LINK_ALPN,
  LINK_PREFIX,
  type NodeMessage,
  type RelayMessage,
  relayMessage,
} from './protocol.ts';
import { createWaitingStreams } from './waiting-streams.ts';

export interface EdgeSessionOptions {
  readonly enrolment: NodeEnrolment;
  readonly clock: Clock;
  readonly log: Logger;
  readonly probeMs: number;
  readonly probeTimeoutMs: number;
  /** The app that a call is for. */
  app(appId: string): LinkedApp | undefined;
  /** The control stream is there; the node says hello. */
  opened(session: EdgeSession): void;
  received(message: RelayMessage): void;
  /** Called once; `refused` when the relay was reached and hung up before a word. */
  closed(reason: string, refused: boolean): void;
  /** A call went out and nothing came back yet; called again while it is so. */
  doubted?(): void;
  /** Something did come back. */
  trusted?(): void;
}

export interface EdgeSession {
  readonly lastContact: number;
  send(message: NodeMessage): void;
  /** A stream that carries one call to the relay; `lasting`: a subscription, on which nothing need come. */
  take(signal: AbortSignal | undefined, lasting?: boolean): Promise<ServerHttp2Stream>;
  close(reason: string): void;
}

const DIAL_LIMIT_MS = 30_000;
const MAX_STREAMS = 1024;
const WINDOW_BYTES = 1024 * 1024;
const SESSION_WINDOW_BYTES = 4 * 1024 * 1024;
/** A node beats once while its relay beats this often: only the node can dial anew, so it is the node that must know soon. */
export const NODE_BEATS_EVERY = 3;
const ALONE = { endStream: true, sendDate: false };

/** Starts to dial. */
export function openEdgeSession(options: EdgeSessionOptions): EdgeSession {
  const { enrolment, clock } = options;
  const url = new URL(enrolment.relay);
  const host = url.hostname.replace(/^\[|\]$/g, '');
  const socket = connect({
    host,
    port: Number(url.port === '' ? 443 : url.port),
    ...(/^[\d.:a-f]+$/i.test(host) ? {} : { servername: host }),
    ca: enrolment.authority,
    allowPartialTrustChain: true,
    cert: enrolment.certificate,
    key: enrolment.key,
    ALPNProtocols: [LINK_ALPN],
    minVersion: 'TLSv1.3',
    // Said here, because an environment variable can turn the default off.
    rejectUnauthorized: true,
  });
  const waiting = createWaitingStreams(clock);
  let control: Control<NodeMessage> | undefined;
  let liveness: Liveness | undefined;
  let secured = false;
  let underWay = 0;
  let over = false;
  const close = (reason: string): void => {
    if (over) return;
    over = true;
    dialLimit.cancel();
    liveness?.stop();
    waiting.clear(new GrpcStatusError(GrpcCode.Unavailable, `the link to the relay is down: ${reason}`));
    socket.destroy();
    options.closed(reason, secured && control === undefined);
  };
  const dialLimit = clock.startTimer(DIAL_LIMIT_MS, () => close('the relay did not answer in time'), true);
  const session: EdgeSession = {
    get lastContact() {
      return liveness?.lastContact ?? 0;
    },
    send: (message) => control?.send(message),
    take: async (signal, lasting = false) => {
      liveness?.verify();
      const stream = await waiting.take(signal);
      if (!lasting) {
        underWay += 1;
        stream.once('close', () => {
          underWay -= 1;
        });
      }
      return stream;
    },
    close,
  };

  const openControlOn = (stream: ServerHttp2Stream): void => {
    dialLimit.cancel();
    stream.respond({ ':status': 200, 'content-type': 'application/grpc' });
    control = openControl<NodeMessage, RelayMessage>(stream, {
      schema: relayMessage,
      heard: () => liveness?.heard(),
      received: (message) => {
        if (message.type === 'bye') close(message.reason);
        else options.received(message);
      },
      ended: (fault) => close(fault ?? 'the relay closed the link'),
    });
    options.opened(session);
  };

  const onStream = (
    stream: ServerHttp2Stream,
    fields: IncomingHttpHeaders,
    _flags: number,
    raw: readonly string[],
  ): void => {
    const path = fields[':path'];
    if (path === ACCEPT_PATH) waiting.add(stream);
    else if (path === CONTROL_PATH && control === undefined) openControlOn(stream);
    else serve(stream, fields, raw, options);
  };

  socket.setNoDelay(true);
  socket.once('secureConnect', () => {
    secured = true;
    if (socket.alpnProtocol !== LINK_ALPN) return close('there is no relay at this address');
    liveness = startSession(socket, onStream, close, options, {
      beat: () => control?.beat(),
      expecting: () => underWay > 0,
    });
  });
  socket.on('error', (error) => close(errorText(error)));
  socket.once('close', () => close('the connection was closed'));
  return session;
}

function startSession(
  socket: TLSSocket,
  onStream: (stream: ServerHttp2Stream, fields: IncomingHttpHeaders, flags: number, raw: string[]) => void,
  close: (reason: string) => void,
  options: EdgeSessionOptions,
  mine: { beat(): void; expecting(): boolean },
): Liveness {
  const { clock, probeMs, probeTimeoutMs } = options;
  // The typings do not know `strictSingleValueFields` here: metadata may repeat any name.
  const http2 = {
    settings: { enablePush: false, initialWindowSize: WINDOW_BYTES, maxConcurrentStreams: MAX_STREAMS },
    strictSingleValueFields: false,
    streamResetBurst: 10_000,
    streamResetRate: 1000,
  };
  const session = performServerHandshake(socket, http2);
  session.setLocalWindowSize(SESSION_WINDOW_BYTES);
  session.on('stream', onStream);
  session.on('error', (error) => close(errorText(error)));
  session.on('goaway', (code) => close(`the relay closed the link (code ${code})`));
  session.once('close', () => close('the relay closed the link'));
  return watchLiveness({
    session,
    socket,
    clock,
    beatMs: probeMs * NODE_BEATS_EVERY,
    silenceMs: probeMs + probeTimeoutMs,
    ...mine,
    lost: close,
    doubted: () => options.doubted?.(),
    trusted: () => options.trusted?.(),
  });
}

/** A call to an app of this node. */
function serve(
  stream: ServerHttp2Stream,
  fields: IncomingHttpHeaders,
  raw: readonly string[],
  options: EdgeSessionOptions,
): void {
  const appId = String(fields[CALLEE_FIELD] ?? '');
  const app = options.app(appId);
  if (app === undefined) {
    refuse(stream, `there is no app ${appId} on this node`);
    return;
  }
  let callerId: SpiffeId | undefined;
  try {
    callerId = callerOf(fields);
  } catch (cause) {
    refuse(stream, errorText(cause));
    return;
  }
  const kept: string[] = [];
  for (let at = 0; at + 1 < raw.length; at += 2) {
    const name = raw[at] as string;
    if (!name.startsWith(LINK_PREFIX)) kept.push(name, raw[at + 1] as string);
  }
  app.serve(stream, fields, kept, callerId);
}

/** Who calls; a relay that does not know says nothing. Throws on what is no SPIFFE id. */
function callerOf(fields: IncomingHttpHeaders): SpiffeId | undefined {
  const caller = fields[CALLER_FIELD];
  return typeof caller === 'string' && caller !== '' ? parseSpiffeId(caller) : undefined;
}

function refuse(stream: ServerHttp2Stream, message: string): void {
  stream.on('error', () => {});
  stream.respond(
    {
      ':status': 200,
      'content-type': 'application/grpc',
      ...trailersOfStatus({ code: GrpcCode.Unavailable, message }),
    },
    ALONE,
  );
  stream.resume();
  setImmediate(() => {
    if (!stream.destroyed) stream.close(0);
  });
}
