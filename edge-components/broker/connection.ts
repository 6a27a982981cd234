/**
 * One client's connection: reads its packets, keeps its limits (receive maximum, aliases, keep alive) and writes what
 * it is sent. CONNECT and DISCONNECT go through aedes (see `lifecycle.ts`), everything else is answered here.
 */

import type { Duplex } from 'node:stream';
import { errorText } from '../../runtime/contracts/error.ts';
import type { Publisher } from './acceptance.ts';
import { Connecting } from './connecting.ts';
import { type ConnectionHost, HOLD } from './connection-host.ts';
import { ControlStream } from './control-stream.ts';
import { Outbox } from './outbox.ts';
import { ReceivingSide } from './receiving-side.ts';
import { SendingSide } from './sending-side.ts';
import type { Session } from './session.ts';
import { subscribe, unsubscribe } from './subscribing.ts';
import { malformed, ProtocolFault, protocolError, REASON } from './wire/fault.ts';
import { FrameReader } from './wire/frames.ts';
import {
  checkFlags,
  disconnectPacket,
  PINGRESP,
  readAuth,
  readDisconnect,
  readSubscribe,
  readUnsubscribe,
  TYPE,
} from './wire/packets.ts';

/** Longest CONNECT: who is not known yet gets less memory. */
const MAX_CONNECT_BYTES = 256 * 1024;

export interface ConnectionSource {
  readonly stream: Duplex;
  /** A connection of the node itself: full rights. */
  readonly trusted: boolean;
  readonly peer: string;
  /** Common name of the verified certificate of the client. */
  readonly certificateUser: string | undefined;
}

export class Connection extends SendingSide implements Publisher {
  readonly source: ConnectionSource;
  readonly control: ControlStream<Connection>;
  readonly outbox: Outbox;
  readonly connecting: Connecting;
  clientId = '';
  user: string | undefined;
  session: Session | undefined;
  pending = 0;
  /** Monotonic time of the last packet, and how long none may come (0: for ever). */
  lastSeen: number;
  silenceMs = 0;
  closedAt = 0;
  pressuredAt = 0;
  readonly waiting = new Set<Connection>();
  readonly #frames: FrameReader;
  readonly #receiving: ReceivingSide;
  #holds = 0;
  #reported = false;

  constructor(host: ConnectionHost, source: ConnectionSource) {
    super(host);
    this.source = source;
    this.lastSeen = host.clock.monotonicMs();
    this.#frames = new FrameReader(Math.min(host.limits.maxPacketBytes, MAX_CONNECT_BYTES));
    this.#receiving = new ReceivingSide(this);
    this.outbox = new Outbox(source.stream, host.flushes, () => this.#roomAgain());
    this.connecting = new Connecting(this);
    this.control = new ControlStream<Connection>(this);
    host.connections.add(this);
    host.statistics.connections += 1;
    source.stream.on('data', (chunk: Buffer) => this.#received(chunk));
    source.stream.on('error', (error) => this.#report(errorText(error)));
    source.stream.on('close', () => this.#streamClosed());
    source.stream.on('end', () => this.finish());
    host.adopt(this.control);
  }

  /** The client is in: its packets may have the full size. */
  opened(): void {
    this.state = 'open';
    this.#frames.maxBytes = this.host.limits.maxPacketBytes;
  }

  overrun(): void {
    this.fault(new ProtocolFault(REASON.quotaExceeded, 'the client does not keep up with its messages'));
  }

  pressed(): void {
    this.host.pressured = this;
  }

  /** Ends the connection for something the client did; MQTT 5 tells it why. */
  fault(error: unknown): void {
    if (this.state === 'closed') return;
    const reason = error instanceof ProtocolFault ? error.reasonCode : REASON.unspecified;
    const text = errorText(error);
    this.#report(text);
    if (this.state === 'open' && this.five) {
      this.send(disconnectPacket(reason, this.request?.requestProblem === true ? text : undefined));
    } else if (this.state !== 'open') this.connecting.refuse(reason);
    this.finish();
  }

  /** Stops reading for a reason of `HOLD`. */
  hold(reason: number): void {
    this.#holds |= reason;
    this.source.stream.pause();
  }

  release(reason: number): void {
    if ((this.#holds & reason) === 0) return;
    this.#holds &= ~reason;
    if (this.#holds !== 0 || this.state === 'closed') return;
    this.#process();
    if (this.#holds === 0) this.source.stream.resume();
  }

  /** Orderly end: what was written is still sent, then the socket closes. */
  finish(): void {
    if (this.state === 'closed') return;
    this.state = 'closed';
    this.closedAt = this.host.clock.monotonicMs();
    this.letGo();
    const { session } = this;
    if (session !== undefined) {
      this.connecting.willDelayed();
      this.host.store.leave(session, this).catch((error) => this.host.store.failed(error));
    }
    this.outbox.flush();
    this.control.destroy();
    const { stream } = this.source;
    stream.resume();
    if (!stream.destroyed) stream.end();
  }

  /** Whoever waited for this subscriber goes on. */
  letGo(): void {
    this.pressuredAt = 0;
    for (const publisher of this.waiting) publisher.release(HOLD.subscriber);
    this.waiting.clear();
  }

  fromAedes(header: number, body: Buffer): void {
    const type = header >> 4;
    if (type === TYPE.connack) this.connecting.answered(body);
    else if (type === TYPE.disconnect && this.state !== 'closed' && this.five) {
      // Taken over, or the broker is going down.
      this.#reported = true;
      this.send(disconnectPacket(body[0] ?? 0));
    }
  }

  controlClosed(): void {
    this.finish();
  }

  #streamClosed(): void {
    this.finish();
    this.host.connections.delete(this);
  }

  #received(chunk: Buffer): void {
    if (this.state === 'closed') return;
    this.host.statistics.bytesReceived += chunk.length;
    this.lastSeen = this.host.clock.monotonicMs();
    this.#frames.push(chunk);
    if (this.#holds === 0 || this.connecting.expectsAuth) this.#process();
  }

  #process(): void {
    const frames = this.#frames;
    try {
      // Other protocols are told apart by their first byte, not by waiting for the length it would announce.
      if (this.state === 'new' && frames.first !== 0x10) throw protocolError('this is not a CONNECT');
      while (this.state !== 'closed' && (this.#holds === 0 || this.connecting.expectsAuth) && frames.next()) {
        this.host.statistics.messagesReceived += 1;
        this.#packet(frames.header, frames.buffer, frames.start, frames.end);
      }
    } catch (error) {
      this.fault(error);
    }
    if (!this.outbox.hasRoom && this.state === 'open') this.hold(HOLD.output);
  }

  #packet(header: number, buffer: Buffer, start: number, end: number): void {
    const type = header >> 4;
    if (this.state !== 'open') {
      this.#beforeOpen(type, header, buffer, start, end);
      return;
    }
    if (type === TYPE.publish) {
      this.#receiving.publish(header, buffer, start, end);
      return;
    }
    checkFlags(header);
    if (type >= TYPE.puback && type <= TYPE.pubcomp) {
      this.#receiving.acknowledgement(type, buffer, start, end);
      return;
    }
    const session = this.session as Session;
    switch (type) {
      case TYPE.subscribe:
        subscribe(this, session, readSubscribe(buffer, start, end, this.five));
        break;
      case TYPE.unsubscribe:
        unsubscribe(this, session, readUnsubscribe(buffer, start, end, this.five));
        break;
      case TYPE.pingreq:
        if (end > start) throw malformed('PINGREQ has a body');
        this.send(PINGRESP);
        break;
      case TYPE.disconnect:
        this.#disconnect(buffer, start, end);
        break;
      case TYPE.auth:
        if (!this.five) throw malformed('packet type 15');
        this.connecting.authenticateAgain(readAuth(buffer, start, end));
        break;
      default:
        throw protocolError(`packet type ${type} is not for clients to send here`);
    }
  }

  #beforeOpen(type: number, header: number, buffer: Buffer, start: number, end: number): void {
    checkFlags(header);
    if (this.state === 'new' && type === TYPE.connect) {
      this.connecting.connect(buffer, start, end);
    } else if (this.connecting.expectsAuth && type === TYPE.auth) {
      this.connecting.continueAuth(readAuth(buffer, start, end));
    } else throw protocolError('the first packet must be CONNECT'); // [MQTT-3.1.0-1]
  }

  #disconnect(buffer: Buffer, start: number, end: number): void {
    const { sessionExpiry } = readDisconnect(buffer, start, end, this.five);
    if (sessionExpiry !== undefined) {
      // (MQTT 5, section 3.14.2.2.2)
      if (sessionExpiry > 0 && this.request?.sessionExpiry === 0) {
        throw protocolError('DISCONNECT makes a session last that CONNECT did not');
      }
      const session = this.session as Session;
      session.expirySeconds = sessionExpiry === 0xffffffff ? undefined : sessionExpiry;
    }
    this.#reported = true;
    this.connecting.disconnect(buffer, start, end);
  }

  /** The publisher of what a subscriber has no room for is not read until it has, or for a quarter of a second. */
  waitFor(subscriber: Connection): void {
    if (subscriber === this || this.source.trusted) return;
    if (subscriber.waiting.size === 0) subscriber.pressuredAt = this.host.clock.monotonicMs();
    subscriber.waiting.add(this);
    this.hold(HOLD.subscriber);
  }

  #roomAgain(): void {
    this.frozen = false;
    this.letGo();
    this.release(HOLD.output);
    this.session?.pump();
  }

  /** One line per connection: what follows a fault are echoes of it. */
  #report(error: string): void {
    if (this.#reported || this.state === 'closed') return;
    this.#reported = true;
    const { log, statistics } = this.host;
    const fields = { peer: this.source.peer, client: this.clientId || undefined, error };
    if (this.state === 'open') log.info('MQTT broker: connection closed', fields);
    else {
      statistics.refused += 1;
      log.warn('MQTT broker: connection refused', fields);
    }
  }
}
