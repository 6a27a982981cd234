/** The sending side of a connection: packets to the client within its limits. */

import type { ConnectionHost } from './connection-host.ts';
import { encodePublish, type Message } from './message.ts';
import type { Outbox } from './outbox.ts';
import type { Outgoing } from './queues.ts';
import type { Outlet } from './session.ts';
import type { ConnectRequest } from './wire/connect.ts';
import { acknowledgement } from './wire/packets.ts';

export abstract class SendingSide implements Outlet {
  readonly host: ConnectionHost;
  abstract readonly outbox: Outbox;
  state: 'new' | 'connecting' | 'open' | 'closed' = 'new';
  five = false;
  /** Valid from CONNECT on. */
  request: ConnectRequest | undefined;
  receiveMaximum = 65_535;
  /** It does not read, and nobody waits for it any more. */
  frozen = false;
  #aliasesOut: Map<string, number> | undefined;

  constructor(host: ConnectionHost) {
    this.host = host;
  }

  get hasRoom(): boolean {
    return this.outbox.hasRoom;
  }

  send(packet: Buffer): void {
    this.host.statistics.messagesSent += 1;
    this.host.statistics.bytesSent += packet.length;
    this.outbox.write(packet);
  }

  publish(
    message: Message,
    outgoing: Outgoing,
    ids: readonly number[] | undefined,
  ): 'sent' | 'expired' | 'too-large' {
    const { qos, retain, duplicate, packetId } = outgoing;
    const expiry = this.#secondsLeft(message);
    if (expiry === 0) return 'expired';
    const [alias, aliasKnown] = this.#aliasFor(message.topic);
    const packet = encodePublish(message, {
      five: this.five,
      qos,
      retain,
      duplicate,
      packetId,
      subscriptionIds: ids,
      alias,
      aliasKnown,
      expiry,
    });
    if (!this.#fits(packet, alias, aliasKnown, message.topic)) return 'too-large';
    this.host.statistics.publishesSent += 1;
    this.send(packet);
    return 'sent';
  }

  publishLive(message: Message, retain: boolean, ids: readonly number[] | undefined): void {
    if (this.state === 'closed') return;
    const buffered = this.outbox.buffered;
    if (buffered > this.host.limits.maxBufferedPerClient) {
      this.host.statistics.drop('slow-client');
      if (this.host.limits.whenFull === 'disconnect') this.overrun();
      return;
    }
    if (!this.outbox.hasRoom && !this.frozen) this.pressed();
    const simple = ids === undefined && message.expiresAt === undefined && this.#aliasMaximum === 0;
    if (!simple) {
      const result = this.publish(message, { ...LIVE, retain }, ids);
      if (result !== 'sent') this.host.statistics.drop(result);
      return;
    }
    const packet = message.plain(this.five, retain);
    if (packet.length > (this.request?.maximumPacketSize ?? Number.POSITIVE_INFINITY)) {
      this.host.statistics.drop('too-large');
      return;
    }
    this.host.statistics.publishesSent += 1;
    this.send(packet);
  }

  pubrel(packetId: number): void {
    this.send(acknowledgement(0x62, packetId));
  }

  abstract overrun(): void;

  /** Somebody waits for this client to read. */
  abstract pressed(): void;

  get #aliasMaximum(): number {
    return this.five ? Math.min(this.request?.topicAliasMaximum ?? 0, this.host.limits.topicAliasMaximum) : 0;
  }

  /** The alias of a topic towards the client; the first topics get one ([MQTT-3.1.2-26]). */
  #aliasFor(topic: string): readonly [alias: number, known: boolean] {
    const maximum = this.#aliasMaximum;
    if (maximum === 0) return NO_ALIAS;
    this.#aliasesOut ??= new Map();
    const known = this.#aliasesOut.get(topic);
    if (known !== undefined) return [known, true];
    if (this.#aliasesOut.size >= maximum) return NO_ALIAS;
    return [this.#aliasesOut.size + 1, false];
  }

  #fits(packet: Buffer, alias: number, aliasKnown: boolean, topic: string): boolean {
    if (packet.length > (this.request?.maximumPacketSize ?? Number.POSITIVE_INFINITY)) return false;
    if (alias !== 0 && !aliasKnown) this.#aliasesOut?.set(topic, alias);
    return true;
  }

  /** What is left of the lifetime ([MQTT-3.3.2-6]): 0 when it is over, `undefined` without one. */
  #secondsLeft({ expiresAt }: Message): number | undefined {
    if (expiresAt === undefined) return undefined;
    const left = expiresAt - this.host.time.now();
    return left <= 0 ? 0 : Math.min(Math.ceil(left / 1000), LONGEST_EXPIRY);
  }
}

const NO_ALIAS = [0, false] as const;
/** Four bytes of seconds. */
const LONGEST_EXPIRY = 0xffffffff;
const LIVE: Outgoing = {
  id: 0,
  message: undefined,
  size: 0,
  qos: 0,
  retain: false,
  packetId: 0,
  duplicate: false,
  released: false,
  subscriptionIds: undefined,
};
