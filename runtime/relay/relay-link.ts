/**
 * One link at the relay: the HTTP/2 client on a connection that a node dialled. Calls to the node are streams of it; streams
 * that wait for calls of the node are kept open, more of them while more are in use.
 */

import { type ClientHttp2Session, type ClientHttp2Stream, connect } from 'node:http2';
import type { TLSSocket } from 'node:tls';
import type { Clock } from '../contracts/clock.ts';
import { errorText } from '../contracts/error.ts';
import { GrpcCode } from '../contracts/grpc-code.ts';
import { GrpcStatusError } from '../contracts/grpc-wire/status.ts';
import { type GrpcCallOptions, type GrpcStream, startCall } from '../grpc-client/call.ts';
import { type Control, openControl } from './control.ts';
import { NODE_BEATS_EVERY } from './edge-session.ts';
import { type Liveness, watchLiveness } from './liveness.ts';
import { createNodeCall, type NodeCall } from './node-call.ts';
import {
  ACCEPT_PATH,
  CONTROL_PATH,
  type NodeMessage,
  nodeMessage,
  type RelayMessage,
  SIDECAR_HTTP_PATH,
  SIDECAR_SUBSCRIBE_PATH,
} from './protocol.ts';

export interface RelayLinkOptions {
  readonly socket: TLSSocket;
  readonly clock: Clock;
  readonly maxMessageBytes: number;
  received(message: NodeMessage, link: RelayLink): void;
  /** A call of the node. */
  called(call: NodeCall, link: RelayLink): void;
  closed(reason: string, link: RelayLink): void;
}

export interface RelayLink {
  /** Wall clock. */
  readonly since: number;
  readonly lastContact: number;
  /** Calls in progress, both ways. */
  readonly calls: number;
  readonly closed: boolean;
  send(message: RelayMessage): void;
  /** From now on the link is watched: the node said how often it wants to hear of us. */
  watch(probeMs: number): void;
  /** Opens a call to an app of the node. */
  open(path: string, options: GrpcCallOptions): GrpcStream;
  close(reason: string): void;
}

/** Waiting streams of a link that is not in use, and the most of them. */
const MIN_WAITING = 1;
const MAX_WAITING = 32;
/** Calls of one node in progress. */
const MAX_CALLS = 1024;
/** Bytes of requests to the sidecar that are coming in from one node. */
const MAX_COMING_BYTES = 32 * 1024 * 1024;
/** HTTP/2's word for it. */
const ENHANCE_YOUR_CALM = 11;
/** Control messages of a node per second, over ten seconds. */
const MAX_MESSAGES = 200;
const MESSAGES_PER_MS = 10_000;
/** A beat of a node whose machine is busy may be so late, however fast it wants to know. */
const LATE_BEAT_MS = 5000;
const HELLO_LIMIT_MS = 30_000;
export const LAST_WORD_MS = 100;
const WINDOW_BYTES = 1024 * 1024;
const SESSION_WINDOW_BYTES = 4 * 1024 * 1024;
const STREAM_FIELDS = { ':method': 'POST', te: 'trailers', 'content-type': 'application/grpc' };

export function openRelayLink(options: RelayLinkOptions): RelayLink {
  const { socket, clock } = options;
  const since = clock.now();
  let waiting = 0;
  let fromNode = 0;
  let toNode = 0;
  /** Of the node's calls those that last: subscriptions, which need no more streams to wait beside them. */
  let lasting = 0;
  let coming = 0;
  let messages = 0;
  let messagesSince = clock.monotonicMs();
  let over = false;
  let broken: string | undefined;
  let liveness: Liveness | undefined;

  const close = (reason: string): void => {
    if (over) return;
    over = true;
    broken = reason;
    helloLimit.cancel();
    liveness?.stop();
    control?.send({ type: 'bye', reason });
    control?.close();
    // The node shall hear why: what was written gets a moment to leave.
    clock.startTimer(LAST_WORD_MS, () => session.destroy(), true);
    options.closed(reason, link);
  };
  const session = startSession(socket, close);
  const helloLimit = clock.startTimer(HELLO_LIMIT_MS, () => close('the node did not say hello'), true);

  const flooded = (): boolean => {
    messages += 1;
    if (clock.monotonicMs() - messagesSince > MESSAGES_PER_MS) {
      messages = 1;
      messagesSince = clock.monotonicMs();
    }
    return messages > MAX_MESSAGES * 10;
  };

  const refill = (): void => {
    const brief = fromNode - lasting;
    const wanted = Math.min(Math.max(MIN_WAITING, Math.min(MAX_WAITING, brief)), MAX_CALLS - fromNode);
    while (!over && waiting < wanted) openWaiting();
  };
  const openWaiting = (): void => {
    const stream = session.request({ ...STREAM_FIELDS, ':path': ACCEPT_PATH }, { endStream: false });
    let used = false;
    waiting += 1;
    stream.on('error', () => {});
    stream.once('response', (_fields, _flags, raw) => {
      used = true;
      waiting -= 1;
      fromNode += 1;
      refill();
      begin(stream, raw);
    });
    stream.once('close', () => {
      if (used) fromNode -= 1;
      else waiting -= 1;
      if (!over && !session.destroyed) refill();
    });
  };
  /** Requests are held whole before they are looked at. */
  const boundComing = (stream: ClientHttp2Stream): void => {
    let own = 0;
    stream.on('data', (chunk: Uint8Array) => {
      own += chunk.byteLength;
      coming += chunk.byteLength;
      if (coming > MAX_COMING_BYTES) stream.close(ENHANCE_YOUR_CALM);
    });
    stream.once('close', () => {
      coming -= own;
    });
  };
  const begin = (stream: ClientHttp2Stream, raw: readonly string[]): void => {
    if (over) return;
    try {
      const call = createNodeCall(stream, raw, options);
      if (call.path === SIDECAR_HTTP_PATH) boundComing(stream);
      else if (call.path === SIDECAR_SUBSCRIBE_PATH) {
        lasting += 1;
        stream.once('close', () => {
          lasting -= 1;
        });
      }
      options.called(call, link);
    } catch (cause) {
      close(`malformed call: ${errorText(cause)}`);
    }
  };

  const control: Control<RelayMessage> = openControl<RelayMessage, NodeMessage>(
    session.request({ ...STREAM_FIELDS, ':path': CONTROL_PATH }, { endStream: false }),
    {
      schema: nodeMessage,
      heard: () => liveness?.heard(),
      received: (message) => {
        // What was on its way when the link ended: a hello among it would make a link that nobody is at.
        if (over) return;
        if (flooded()) close('the node floods the control stream');
        else options.received(message, link);
      },
      ended: (fault) => close(fault ?? 'the node closed the link'),
    },
  );

  const link: RelayLink = {
    since,
    get lastContact() {
      return liveness?.lastContact ?? since;
    },
    get calls() {
      return fromNode + toNode;
    },
    get closed() {
      return over;
    },
    send: (message) => {
      if (!over) control.send(message);
    },
    watch: (probeMs) => {
      helloLimit.cancel();
      if (liveness !== undefined || over) return;
      liveness = watchLiveness({
        session,
        socket,
        clock,
        beatMs: probeMs,
        silenceMs: probeMs * NODE_BEATS_EVERY + Math.max(probeMs / 2, LATE_BEAT_MS),
        beat: () => control.beat(),
        lost: close,
      });
      refill();
    },
    open: (path, call) => {
      if (over || session.destroyed)
        throw new GrpcStatusError(GrpcCode.Unavailable, `the link of the node is down: ${broken ?? ''}`);
      liveness?.verify();
      toNode += 1;
      return startCall(session, path, {
        ...call,
        clock,
        maxMessageBytes: options.maxMessageBytes,
        closed: () => {
          toNode -= 1;
        },
        alive: () => {},
        broken: () => (over ? `the link of the node is down: ${broken ?? ''}` : undefined),
      });
    },
    close,
  };
  return link;
}

function startSession(socket: TLSSocket, close: (reason: string) => void): ClientHttp2Session {
  // Metadata may repeat any name. The typings know this option for servers only.
  const http2 = {
    createConnection: () => socket,
    settings: { enablePush: false, initialWindowSize: WINDOW_BYTES },
    strictSingleValueFields: false,
  };
  const session = connect('https://node', http2);
  session.once('connect', () => session.setLocalWindowSize(SESSION_WINDOW_BYTES));
  session.on('error', (error) => close(errorText(error)));
  session.once('close', () => close('the connection was closed'));
  // A node makes no streams of its own; the protocol has none for it.
  session.on('stream', (stream) => stream.close(7));
  return session;
}
