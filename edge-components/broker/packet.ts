/**
 * What the broker's own code sees of the packets and clients of aedes. The aedes types leave out the members that its
 * persistence and delivery hooks rely on; this is the one place that names them.
 */

import type { Duplex } from 'node:stream';

/** A PUBLISH on its way through aedes. */
export interface BrokerPacket {
  cmd: string;
  topic: string;
  payload: Buffer;
  qos: number;
  retain: boolean;
  dup?: boolean;
  messageId?: number | undefined;
  brokerId?: string | null;
  brokerCounter?: number;
  /** MQTT 5 properties as decoded by the parser. */
  properties?: Readonly<Record<string, unknown>> | undefined;
  /** Wall clock after which an MQTT 5 message is not delivered any more. */
  messageExpiry?: number | undefined;
  /**
   * aedes copies this member when it wraps a packet and sets it (no local) on deliveries only. Between the acceptance
   * of a publish and its emission it carries the `Acceptance`, and so lives exactly as long as the packet.
   */
  nl?: unknown;
}

/** A connected client as delivery needs it. */
export interface BrokerClient {
  readonly id: string;
  /** True when the session ends with the connection. */
  readonly clean: boolean;
  readonly version: number;
  readonly conn: Duplex;
  readonly closed: boolean;
  readonly receiveMaximum?: number;
  readonly sessionExpiryInterval: number;
  /** Writes a PUBLISH of QoS 1 or 2; `done` runs once the socket took it. */
  deliverQoS(packet: BrokerPacket, done: () => void): void;
  emit(event: 'error', error: Error): boolean;
}

/** One subscription as stored for a session. */
export interface StoredSubscription {
  readonly topic: string;
  readonly qos: number;
  readonly rh?: number;
  readonly rap?: boolean | undefined;
  readonly nl?: boolean | undefined;
  readonly subscriptionIdentifier?: number | undefined;
}

/** Counter of packets that do not take part in the emission order: re-sent ones. */
export const RESENT = -1;

/** What was decided and stored when a publish was accepted. */
export interface Acceptance {
  /** Sessions that got the message into their durable queue. */
  readonly sessions: ReadonlySet<string>;
  /** Share groups (`group/filter`) whose message went to a durable queue instead of a live member. */
  readonly groups: ReadonlySet<string>;
}

/** Accepted, and no session needs to keep it. */
export const FOR_NOBODY: Acceptance = Object.freeze({
  sessions: new Set<string>(),
  groups: new Set<string>(),
});

/** The acceptance that travels with `packet`, if it was accepted already. */
export function acceptanceOf(packet: BrokerPacket): Acceptance | undefined {
  return typeof packet.nl === 'object' && packet.nl !== null ? (packet.nl as Acceptance) : undefined;
}

/** The moment after which an MQTT 5 message is not delivered ([MQTT-3.3.2-5]); aedes would note it later, after storing. */
export function noteExpiry(packet: BrokerPacket, now: number): void {
  const seconds = packet.properties?.['messageExpiryInterval'];
  if (typeof seconds === 'number' && seconds > 0) packet.messageExpiry ??= now + seconds * 1000;
}
