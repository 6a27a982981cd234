/** The decisions aedes asks us for: who may connect, publish and subscribe, and what is forwarded to whom. */

import type { Duplex } from 'node:stream';
import type { Aedes, AedesOptions, AuthenticateError } from 'aedes';
import { errorText } from '../../runtime/contracts/error.ts';
import type { Logger } from '../../runtime/contracts/logger.ts';
import { filterMatches, topicFilterFault } from '../drivers/mqtt/topic.ts';
import type { FanOut } from './fan-out.ts';
import { anonymousAllowed, type BrokerLimits, type BrokerOptions } from './options.ts';
import { type BrokerClient, type BrokerPacket, RESENT } from './packet.ts';
import { passwordCheck } from './passwords.ts';
import type { ReceivedIds } from './received.ts';
import type { SessionStore } from './session-store.ts';

export interface HookParts {
  readonly sessions: SessionStore;
  readonly received: ReceivedIds;
  readonly fanOut: FanOut;
  readonly limits: BrokerLimits;
  readonly log: Logger;
  readonly options: BrokerOptions;
  /** Connections of the node itself: full rights. */
  readonly trusted: WeakSet<Duplex>;
  /** Address of each connection, noted while its socket still knows it. */
  readonly peers: WeakMap<Duplex, string>;
}

interface Hooks {
  readonly options: Pick<
    AedesOptions,
    'authenticate' | 'authorizePublish' | 'authorizeSubscribe' | 'authorizeForward'
  >;
  /** Follows connections and logs what goes wrong with them. */
  listen(aedes: Aedes): void;
}

const RESERVED = '$SYS/';

/** The hooks of one broker. */
export function brokerHooks(parts: HookParts): Hooks {
  const { log } = parts;
  return {
    options: {
      authenticate: authentication(parts),
      authorizePublish: publishAcceptance(parts),
      authorizeSubscribe: (client, subscription, answer) => {
        const fault = topicFilterFault(subscription.topic);
        if (fault !== undefined) {
          log.warn(`MQTT broker: subscription refused: ${fault}`, { client: client.id });
          return answer(null, null);
        }
        parts.fanOut.subscribing((client as unknown as BrokerClient).clean);
        answer(null, subscription);
        parts.fanOut.subscribing(false);
      },
      authorizeForward: forwarding(parts) as unknown as NonNullable<AedesOptions['authorizeForward']>,
    },
    listen: (aedes) => {
      const reported = new WeakSet<object>();
      const report = (client: unknown, error: Error): void => {
        const who = client as BrokerClient;
        // One line per connection: what follows a broken connection are echoes of the same fault.
        if (reported.has(who)) return;
        reported.add(who);
        const fields = {
          peer: peerOf(who, parts.peers),
          client: who.id ?? undefined,
          error: errorText(error),
        };
        if (who.id === null || who.id === undefined) log.warn('MQTT broker: connection refused', fields);
        else log.info('MQTT broker: connection closed', fields);
      };
      aedes.on('clientError', report);
      aedes.on('connectionError', report);
      (aedes as unknown as NodeJS.EventEmitter).on('error', (error: unknown) => {
        log.error('MQTT broker: internal fault', { error: errorText(error) });
      });
      aedes.on('clientReady', (client) => {
        const ready = client as unknown as BrokerClient;
        if (!ready.clean) parts.sessions.session(ready.id)?.attach(ready);
      });
      aedes.on('clientDisconnect', (client) => {
        const gone = client as unknown as BrokerClient;
        parts.sessions.session(gone.id)?.detach(gone);
        if (gone.clean) void parts.received.forget(gone.id, false);
      });
    },
  };
}

function authentication({
  options,
  trusted,
  log,
  peers,
}: HookParts): NonNullable<AedesOptions['authenticate']> {
  const anonymous = anonymousAllowed(options);
  const users = passwordCheck(options.users ?? []);
  const withUsers = (options.users ?? []).length > 0;
  return (client, name, password, answer) => {
    const conn = client.conn as Duplex & { authorized?: boolean };
    const certified = options.tls?.ca !== undefined && conn.authorized === true;
    if (trusted.has(conn) || certified || (anonymous && (name === undefined || !withUsers))) {
      answer(null, true);
      return;
    }
    const refuse = (returnCode: 4 | 5, why: string): void => {
      log.warn(`MQTT broker: ${why}`, {
        peer: peerOf(client as unknown as BrokerClient, peers),
        client: client.id,
        user: name,
      });
      answer(Object.assign(new Error(why), { returnCode }) as AuthenticateError, false);
    };
    if (name === undefined) {
      refuse(5, 'a user name and password are required');
      return;
    }
    users.matches(name, password).then(
      (right) => (right ? answer(null, true) : refuse(4, 'bad user name or password')),
      (error: unknown) => refuse(5, errorText(error)),
    );
  };
}

/** Stores what must be kept before aedes acknowledges. QoS 2 is stored together with its packet id, a step later. */
function publishAcceptance({ sessions }: HookParts): NonNullable<AedesOptions['authorizePublish']> {
  const pending = new WeakMap<object, Promise<void>>();
  /** A message without a queue does not overtake one of the same publisher that is on its way to disk. */
  const inOrder = (client: object | null, written: Promise<void> | undefined): Promise<void> | undefined => {
    if (client === null) return written;
    if (written === undefined) return pending.get(client);
    pending.set(client, written);
    const forget = (): void => {
      if (pending.get(client) === written) pending.delete(client);
    };
    written.then(forget, forget);
    return written;
  };
  return (client, published, answer) => {
    const packet = published as unknown as BrokerPacket;
    if (packet.topic.startsWith(RESERVED)) {
      answer(new Error(`topics under ${RESERVED} belong to the broker`));
      return;
    }
    const isWill = packet.cmd !== 'publish';
    if (isWill) asPublish(packet);
    const nothingToKeep = packet.qos === 0 && !packet.retain;
    const later = packet.qos === 2 && !isWill;
    const accepted =
      nothingToKeep || later ? undefined : inOrder(client, sessions.accept(packet, client?.id));
    if (accepted === undefined) {
      answer(null);
      return;
    }
    accepted.then(
      () => answer(null),
      (error: unknown) => {
        // No acknowledgement of any kind: the publisher keeps the message and sends it again.
        const fault = new Error(`a message could not be stored: ${errorText(error)}`, { cause: error });
        if (client === null || isWill) answer(fault);
        else (client as unknown as BrokerClient).emit('error', fault);
      },
    );
  };
}

/** aedes hands wills over as they came in CONNECT: without a command, the payload perhaps as text. */
function asPublish(packet: BrokerPacket): void {
  packet.cmd = 'publish';
  if (typeof packet.payload === 'string') packet.payload = Buffer.from(packet.payload);
  packet.payload ??= Buffer.alloc(0);
}

function forwarding({
  sessions,
  fanOut,
  limits,
}: HookParts): (client: BrokerClient, packet: BrokerPacket) => BrokerPacket | null {
  /** Its queue has the message or, for a subscription younger than the message, rightly has not. */
  const comesFromQueue = (client: BrokerClient, packet: BrokerPacket): boolean => {
    if (client.clean || packet.qos === 0) return false;
    return fanOut.current?.sessions.has(client.id) === true || sessions.keepsFor(client.id, packet.topic);
  };
  return (client, packet) => {
    if (packet.brokerCounter === RESENT) return packet;
    if (packet.brokerId === null) {
      if (packet.messageId === undefined) prepareRetained(client, packet, sessions);
      return packet;
    }
    if (comesFromQueue(client, packet)) return null;
    if (client.conn.writableLength <= limits.maxBufferedPerClient) return packet;
    sessions.count('slow-client');
    return null;
  };
}

/** A retained message handed over at subscribe: with the QoS granted ([MQTT-3.8.4-6]) and a packet id of the session. */
function prepareRetained(client: BrokerClient, packet: BrokerPacket, sessions: SessionStore): void {
  let granted = 0;
  const { subscriptions } = client as unknown as { subscriptions: Record<string, { qos: number }> };
  for (const [filter, { qos }] of Object.entries(subscriptions)) {
    if (qos > granted && filterMatches(filter, packet.topic)) granted = qos;
  }
  packet.qos = Math.min(packet.qos, granted);
  const session = client.clean || packet.qos === 0 ? undefined : sessions.session(client.id);
  if (session === undefined) return;
  const outgoing = {
    message: 0,
    size: packet.payload.length,
    qos: packet.qos,
    retain: true,
    released: false,
  };
  packet.messageId = session.reserve(outgoing);
}

function peerOf(client: BrokerClient, peers: WeakMap<Duplex, string>): string {
  return peers.get(client.conn) ?? 'in-process';
}
