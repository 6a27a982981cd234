/** The receiving side of an open connection: PUBLISH in all three qualities, and what acknowledges ours. */

import { errorText } from '../../runtime/contracts/error.ts';
import type { Connection } from './connection.ts';
import { HOLD } from './connection-host.ts';
import { type AliasTable, type Message, readPublish } from './message.ts';
import type { Session } from './session.ts';
import { ProtocolFault, REASON } from './wire/fault.ts';
import { acknowledgement, readAcknowledgement, TYPE } from './wire/packets.ts';

/** Unanswered publishes of an MQTT 3 client before it is not read for a while. */
const MAX_UNANSWERED = 2048;
const RESERVED = '$SYS/';

export class ReceivingSide {
  readonly #connection: Connection;
  readonly #aliases: AliasTable;
  #unanswered = 0;
  #warned = false;

  constructor(connection: Connection) {
    this.#connection = connection;
    this.#aliases = { maximum: connection.host.limits.topicAliasMaximum, topics: new Map() };
  }

  publish(header: number, buffer: Buffer, start: number, end: number): void {
    const { host } = this.#connection;
    const read = readPublish(
      header,
      buffer,
      start,
      end,
      this.#connection.five,
      this.#aliases,
      host.time.now(),
    );
    const { message, packetId } = read;
    const { qos } = message;
    host.statistics.publishesReceived += 1;
    if (qos > 0) this.#countUnanswered();
    if (!this.#mayPublish(message.topic)) {
      this.#refusePublish(qos, packetId);
      return;
    }
    if (qos === 2) this.#publishExactlyOnce(message, packetId);
    else if (qos === 1) {
      host.acceptance.publish(message, this.#connection, (error, matched) => {
        if (error !== undefined) this.#notStored(error);
        else this.#answer(0x40, packetId, matched);
      });
    } else {
      host.acceptance.publish(message, this.#connection, (error) => {
        if (error !== undefined) this.#notStored(error);
      });
    }
    const { pressured } = host;
    if (pressured !== undefined) {
      host.pressured = undefined;
      this.#connection.waitFor(pressured);
    }
  }

  #publishExactlyOnce(message: Message, packetId: number): void {
    const session = this.#connection.session as Session;
    if (session.received.has(packetId)) {
      const stored = session.received.get(packetId) ?? Promise.resolve();
      stored.then(
        () => this.#answer(0x50, packetId, true),
        () => {}, // the first one ends the connection
      );
      return;
    }
    const kept = Promise.withResolvers<void>();
    kept.promise.catch(() => {});
    session.received.set(packetId, kept.promise);
    this.#connection.host.acceptance.publish(
      message,
      this.#connection,
      (error, matched) => {
        if (error === undefined) {
          session.received.set(packetId, undefined);
          kept.resolve();
          this.#answer(0x50, packetId, matched);
          return;
        }
        session.received.delete(packetId);
        kept.reject(error);
        this.#notStored(error);
      },
      { session, packetId },
    );
  }

  #countUnanswered(): void {
    this.#unanswered += 1;
    if (this.#connection.five && !this.#connection.source.trusted) {
      if (this.#unanswered > this.#connection.host.limits.receiveMaximum) {
        throw new ProtocolFault(REASON.receiveMaximumExceeded, 'more publishes than the receive maximum');
      }
    } else if (this.#unanswered > MAX_UNANSWERED) this.#connection.hold(HOLD.unanswered);
  }

  #settled(): void {
    if (this.#unanswered > 0) this.#unanswered -= 1;
    if (this.#unanswered === MAX_UNANSWERED / 2) this.#connection.release(HOLD.unanswered);
  }

  #answer(header: 0x40 | 0x50, packetId: number, matched: boolean): void {
    if (header === 0x40 || !this.#connection.five) this.#settled();
    if (this.#connection.state === 'closed') return;
    this.#connection.send(
      acknowledgement(
        header,
        packetId,
        this.#connection.five && !matched ? REASON.noMatchingSubscribers : REASON.success,
      ),
    );
  }

  #mayPublish(topic: string): boolean {
    if (topic.startsWith(RESERVED)) return false;
    return (
      this.#connection.source.trusted ||
      this.#connection.host.access.mayPublish(this.#connection.user, this.#connection.clientId, topic)
    );
  }

  /** MQTT 3 has no way to say no to a publish: it is acknowledged and dropped (MQTT 3.1.1, section 3.3.5). */
  #refusePublish(qos: number, packetId: number): void {
    this.#connection.host.statistics.drop('not-authorized');
    if (!this.#warned) {
      this.#warned = true;
      const fields = { client: this.#connection.clientId, user: this.#connection.user };
      this.#connection.host.log.warn(
        'MQTT broker: a publish was refused, the client is not authorized',
        fields,
      );
    }
    if (qos === 0) return;
    this.#settled();
    const reason = this.#connection.five ? REASON.notAuthorized : REASON.success;
    this.#connection.send(acknowledgement(qos === 1 ? 0x40 : 0x50, packetId, reason));
  }

  /** No acknowledgement of any kind: the publisher keeps the message and sends it again. */
  #notStored(error: Error): void {
    this.#connection.fault(
      new ProtocolFault(REASON.implementationSpecific, `a message could not be stored: ${errorText(error)}`),
    );
  }

  acknowledgement(type: number, buffer: Buffer, start: number, end: number): void {
    const { packetId, reason } = readAcknowledgement(buffer, start, end, this.#connection.five);
    const session = this.#connection.session as Session;
    // Of a connection that was taken over: the session has sent it all again on the next one.
    if (type !== TYPE.pubrel && session.outlet !== this.#connection) return;
    if (type === TYPE.puback || type === TYPE.pubcomp) session.acknowledge(packetId);
    else if (type === TYPE.pubrec) {
      // A refusal ends the exchange (MQTT 5, section 4.3.3).
      if (reason >= 0x80) session.acknowledge(packetId);
      else this.#pubrec(session, packetId);
    } else this.#pubrel(session, packetId);
  }

  #pubrec(session: Session, packetId: number): void {
    const noted = session.release(packetId);
    if (noted === undefined) {
      this.#connection.send(
        acknowledgement(0x62, packetId, this.#connection.five ? REASON.packetIdNotFound : REASON.success),
      );
      return;
    }
    noted.then(
      () => {
        if (this.#connection.state === 'open') this.#connection.pubrel(packetId);
      },
      (error) => this.#connection.fault(error),
    );
  }

  #pubrel(session: Session, packetId: number): void {
    const known = session.received.has(packetId);
    const stored = session.received.get(packetId);
    const complete = (): void => {
      if (this.#connection.five) this.#settled();
      if (this.#connection.state !== 'open') return;
      const reason = known || !this.#connection.five ? REASON.success : REASON.packetIdNotFound;
      this.#connection.send(acknowledgement(0x70, packetId, reason));
    };
    if (!known) {
      complete();
      return;
    }
    const free = (): void => {
      session.received.delete(packetId);
      const noted = this.#connection.host.store.received(session, packetId);
      if (noted === undefined) complete();
      else noted.then(complete, (error) => this.#connection.fault(error));
    };
    if (stored === undefined) free();
    else stored.then(free, () => {});
  }
}
