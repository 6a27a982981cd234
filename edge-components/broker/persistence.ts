/**
 * What aedes calls its persistence, on the node's database. Sessions send their queues themselves (`session.ts`), so
 * most of the outgoing calls have nothing to do: aedes only gets back what was sent before a connection broke.
 */

import { Readable } from 'node:stream';
import { errorText } from '../../runtime/contracts/error.ts';
import type { Logger } from '../../runtime/contracts/logger.ts';
import {
  acceptanceOf,
  type BrokerClient,
  type BrokerPacket,
  RESENT,
  type StoredSubscription,
} from './packet.ts';
import type { ReceivedIds } from './received.ts';
import { step } from './schema.ts';
import { liveProperties, type Session } from './session.ts';
import type { SessionStore } from './session-store.ts';
import type { Will, Wills } from './wills.ts';

type ClientId = Pick<BrokerClient, 'id'>;

export interface PersistenceParts {
  readonly sessions: SessionStore;
  readonly received: ReceivedIds;
  readonly wills: Wills;
  readonly log: Logger;
}

const NO_SUBSCRIPTIONS: readonly StoredSubscription[] = [];

/** The object given to aedes as `persistence`; names and results are those of aedes-persistence 10. */
export function aedesPersistence({ sessions, received, wills, log }: PersistenceParts) {
  return {
    async setup(): Promise<void> {},

    async storeRetained(packet: BrokerPacket): Promise<void> {
      if (acceptanceOf(packet) !== undefined) return;
      if (packet.retain) await sessions.accept(packet, undefined);
      else {
        // aedes removes an expired retained message this way
        const removal = sessions.retained.removal(packet.topic);
        await sessions.write(removal.steps);
        removal.committed();
      }
    },
    createRetainedStreamCombi: (filters: readonly string[]): Readable =>
      Readable.from(guarded(sessions.retained.matching(filters), log)),
    createRetainedStream: (filter: string): Readable =>
      Readable.from(guarded(sessions.retained.matching([filter]), log)),

    addSubscriptions: async (
      client: BrokerClient,
      subscriptions: readonly StoredSubscription[],
    ): Promise<void> => {
      await sessions.subscribe(client, subscriptions);
    },
    removeSubscriptions: async (client: ClientId, filters: readonly string[]): Promise<void> => {
      await sessions.unsubscribe(client.id, filters);
    },
    subscriptionsByClient: async (client: ClientId): Promise<readonly StoredSubscription[]> => {
      const session = sessions.session(client.id);
      return session === undefined
        ? NO_SUBSCRIPTIONS
        : [...session.subscriptions.values()].map((one) => ({ ...one }));
    },
    /** A clean start: nothing of the old session survives ([MQTT-3.1.2-6]). */
    cleanSubscriptions: async (client: ClientId): Promise<void> => {
      await Promise.all([sessions.end(client.id), received.forget(client.id, true)]);
    },
    /** Recipients are found when a publish is accepted. */
    subscriptionsByTopic: async (): Promise<readonly StoredSubscription[]> => NO_SUBSCRIPTIONS,
    countOffline: async () => ({ subsCount: 0, clientsCount: sessions.sessionCount }),
    getClientList: (): Readable => Readable.from([]),

    outgoingEnqueue: async (): Promise<void> => {},
    outgoingEnqueueCombi: async (_subscriptions: unknown, packet: BrokerPacket): Promise<void> => {
      if (acceptanceOf(packet) === undefined) await sessions.accept(packet, undefined);
    },
    outgoingUpdate: async (client: ClientId, packet: BrokerPacket): Promise<void> => {
      if (packet.cmd !== 'pubrel' || packet.messageId === undefined) return;
      await sessions.session(client.id)?.release(packet.messageId);
    },
    outgoingClearMessageId: async (client: ClientId, packet: BrokerPacket): Promise<void> => {
      if (packet.messageId !== undefined) sessions.session(client.id)?.acknowledge(packet.messageId);
    },
    /** What was sent and not acknowledged, in its order and under its packet ids ([MQTT-4.4.0-1]). */
    outgoingStream: (client: BrokerClient): Readable => {
      const session = client.clean ? undefined : sessions.session(client.id);
      return Readable.from(session === undefined ? [] : unacknowledged(session, sessions));
    },

    incomingStorePacket: (client: BrokerClient, packet: BrokerPacket): Promise<void> => {
      const packetId = packet.messageId ?? 0;
      const sql = 'INSERT OR REPLACE INTO mqtt_received (client, packet_id) VALUES (?, ?)';
      const extra = client.clean ? [] : [step(sql, client.id, packetId)];
      return received.add(
        client.id,
        packetId,
        sessions.accept(packet, client.id, extra) ?? Promise.resolve(),
      );
    },
    incomingGetPacket: async (client: BrokerClient, packet: BrokerPacket): Promise<BrokerPacket> => {
      const accepted = received.get(client.id, packet.messageId ?? 0);
      if (accepted === undefined) throw new Error('no such packet');
      await accepted;
      return packet;
    },
    incomingDelPacket: (client: BrokerClient, packet: BrokerPacket): Promise<void> =>
      received.release(client.id, packet.messageId ?? 0, !client.clean),

    putWill: (client: ClientId, will: Will): Promise<void> => wills.put(client.id, will),
    getWill: async (client: ClientId): Promise<Will | undefined> => wills.get(client.id),
    // Before it stores the will of a new connection aedes asks with the client itself; that will replaces the old one.
    delWill: async (client: ClientId): Promise<Will | undefined> =>
      'conn' in client ? undefined : wills.delete(client.id),
    /** Wills of an earlier run are published at start; there is no other broker to speak for. */
    streamWill: (): Readable => Readable.from([]),

    async destroy(): Promise<void> {},
  };
}

function* unacknowledged(session: Session, sessions: SessionStore): Generator<Partial<BrokerPacket>> {
  // The old connection, if there still is one, sends nothing more from here on.
  session.client = undefined;
  for (const [packetId, outgoing] of [...session.inflight]) {
    if (outgoing.released) {
      yield { cmd: 'pubrel', messageId: packetId, brokerCounter: RESENT };
      continue;
    }
    const message =
      outgoing.message === 0 ? undefined : sessions.load([outgoing.message]).get(outgoing.message);
    const properties = message === undefined ? 'expired' : liveProperties(message, sessions.now());
    if (message === undefined || properties === 'expired') {
      session.acknowledge(packetId);
      continue;
    }
    yield {
      cmd: 'publish',
      topic: message.topic,
      payload: message.payload,
      qos: outgoing.qos,
      retain: outgoing.retain,
      messageId: packetId,
      dup: true,
      brokerCounter: RESENT,
      ...(properties === undefined ? {} : { properties }),
    };
  }
}

/** aedes does not listen for errors of these streams: a failed read ends the stream and is logged. */
async function* guarded<T>(source: AsyncIterable<T>, log: Logger): AsyncGenerator<T> {
  try {
    yield* source;
  } catch (error) {
    log.error('broker: retained messages cannot be read', { error: errorText(error) });
  }
}
