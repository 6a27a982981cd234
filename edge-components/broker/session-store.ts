/**
 * All persistent sessions and the acceptance of publishes: one write per publish puts the message, the reference of
 * each session that must get it and the retained copy on disk together. Whoever waits for that write may acknowledge.
 */

import type { Clock } from '../../runtime/contracts/clock.ts';
import type { Database, SqlStep } from '../../runtime/contracts/database.ts';
import { errorText } from '../../runtime/contracts/error.ts';
import type { Logger } from '../../runtime/contracts/logger.ts';
import type { Metrics } from '../../runtime/contracts/metrics.ts';
import type { FanOut } from './fan-out.ts';
import { MessageCache } from './message-cache.ts';
import type { BrokerLimits } from './options.ts';
import {
  type Acceptance,
  type BrokerClient,
  type BrokerPacket,
  FOR_NOBODY,
  noteExpiry,
  type StoredSubscription,
} from './packet.ts';
import { RecipientIndex } from './recipient-index.ts';
import { RetainedMessages } from './retained.ts';
import { decodeProperties, encodeProperties, step } from './schema.ts';
import { type Outgoing, Session, type SessionHost, type StoredMessage } from './session.ts';

export interface SessionStoreDeps {
  readonly database: Database;
  readonly fanOut: FanOut;
  readonly limits: BrokerLimits;
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: Metrics;
}

const NEVER_EXPIRES = 0xffffffff;

export class SessionStore implements SessionHost {
  readonly maxInflight: number;
  readonly retained: RetainedMessages;
  readonly #deps: SessionStoreDeps;
  readonly #sessions = new Map<string, Session>();
  readonly #index: RecipientIndex;
  readonly #messages: MessageCache;
  #lastMessage = 0;
  #lastSession = 0;
  #forgotten: [session: number, message: number][] = [];
  #forgetting: Promise<void> | undefined;

  /** Reads what an earlier run left behind. */
  constructor(deps: SessionStoreDeps) {
    this.#deps = deps;
    this.#messages = new MessageCache(deps.database);
    this.maxInflight = deps.limits.maxInflightPerClient;
    this.#index = new RecipientIndex((group) => deps.fanOut.hasLiveMember(group));
    this.retained = new RetainedMessages(deps.database, {
      maxMessages: deps.limits.maxRetainedMessages,
      maxBytes: deps.limits.maxRetainedBytes,
    });
    this.#load();
  }

  get sessionCount(): number {
    return this.#sessions.size;
  }

  get queuedMessages(): number {
    let queued = 0;
    for (const session of this.#sessions.values()) queued += session.waiting + session.inflight.size;
    return queued;
  }

  session(clientId: string): Session | undefined {
    return this.#sessions.get(clientId);
  }

  /** Whether a message of `topic` with QoS 1 or 2 would be kept for this client now. */
  keepsFor(clientId: string, topic: string): boolean {
    return this.#index.covers(clientId, topic);
  }

  /**
   * Decides who must be given `packet` and starts to write that, with `extra` steps, in one piece. `undefined` means
   * that there is nothing to keep. The packet carries the decision to its emission.
   */
  accept(
    packet: BrokerPacket,
    publisher: string | undefined,
    extra: readonly SqlStep[] = [],
  ): Promise<void> | undefined {
    noteExpiry(packet, this.now());
    const { sessions, groups } = packet.qos > 0 ? this.#index.recipients(packet, publisher) : NOBODY;
    const retained = packet.retain ? this.retained.change(packet) : undefined;
    if (packet.retain && retained === undefined) this.count('retained-full');
    if (sessions.size === 0 && retained === undefined && extra.length === 0) {
      packet.nl = FOR_NOBODY;
      return undefined;
    }
    const size = packet.topic.length + packet.payload.length;
    const steps: SqlStep[] = [...extra];
    const dropped: [Session, Outgoing][] = [];
    for (const session of sessions.keys()) {
      if (!this.#makeRoom(session, size, steps, dropped)) sessions.delete(session);
    }
    const message = sessions.size === 0 ? 0 : this.#insertSteps(packet, sessions, size, steps);
    if (retained !== undefined) steps.push(...retained.steps);
    const keptFor = new Set<string>();
    for (const session of sessions.keys()) {
      keptFor.add(session.clientId);
      session.committing.messages += 1;
      session.committing.bytes += size;
    }
    packet.nl = { sessions: keptFor, groups } satisfies Acceptance;
    if (steps.length === 0) return undefined;
    return this.write(steps).then(
      () => {
        retained?.committed();
        if (message !== 0 && anyReady(sessions)) this.#messages.remember(message, packet);
        for (const [session, grant] of sessions) {
          settle(session, size);
          if (this.#sessions.get(session.clientId) !== session) continue;
          session.push(message, size, grant.qos, grant.retain);
          session.pump();
        }
      },
      (error: unknown) => {
        for (const session of sessions.keys()) settle(session, size);
        for (const [session, outgoing] of dropped.reverse()) session.unshift([outgoing]);
        throw error;
      },
    );
  }

  /** Stores subscriptions of a persistent session, creating the session with the first. */
  subscribe(client: BrokerClient, subscriptions: readonly StoredSubscription[]): Promise<unknown> {
    const steps: SqlStep[] = [];
    const { maxSessions } = this.#deps.limits;
    const session = this.#sessions.get(client.id) ?? this.#create(client, steps);
    if (session === undefined) {
      return Promise.reject(new Error(`the broker keeps at most ${maxSessions} sessions (maxSessions)`));
    }
    for (const subscription of subscriptions) {
      const known = session.subscriptions.get(subscription.topic);
      if (known !== undefined && sameSubscription(known, subscription)) continue;
      const record = recordOf(subscription);
      const { topic, qos } = record;
      this.#index.remove(session, topic);
      session.subscriptions.set(topic, record);
      if (qos > 0) this.#index.add(session, record);
      const sql =
        'INSERT OR REPLACE INTO mqtt_subscription (session, filter, qos, options) VALUES (?, ?, ?, ?)';
      steps.push(step(sql, session.key, topic, qos, encodeProperties(optionsOf(record))));
    }
    // aedes asks once per subscription with the whole list: the later calls wait for the write of the first.
    if (steps.length > 0) session.stored = this.write(steps);
    return session.stored;
  }

  unsubscribe(clientId: string, filters: readonly string[]): Promise<unknown> {
    const session = this.#sessions.get(clientId);
    if (session === undefined) return Promise.resolve();
    const steps: SqlStep[] = [];
    for (const filter of filters) {
      if (!session.subscriptions.delete(filter)) continue;
      this.#index.remove(session, filter);
      steps.push(step('DELETE FROM mqtt_subscription WHERE session = ? AND filter = ?', session.key, filter));
    }
    return steps.length === 0 ? session.stored : this.write(steps);
  }

  /** Forgets a session and everything kept for it ([MQTT-3.1.2-6]). */
  async end(clientId: string): Promise<void> {
    const session = this.#sessions.get(clientId);
    if (session === undefined) return;
    this.#sessions.delete(clientId);
    for (const filter of session.subscriptions.keys()) this.#index.remove(session, filter);
    session.client = undefined;
    await this.write([
      step('DELETE FROM mqtt_delivery WHERE session = ?', session.key),
      step('DELETE FROM mqtt_subscription WHERE session = ?', session.key),
      step('DELETE FROM mqtt_session WHERE id = ?', session.key),
    ]);
  }

  load(ids: readonly number[]): Map<number, StoredMessage> {
    return this.#messages.load(ids);
  }

  write(steps: readonly SqlStep[]): Promise<unknown> {
    return this.#deps.database.write(steps);
  }

  /** Acknowledged deliveries are deleted in batches: one write at a time, with all that came meanwhile in the next. */
  forget(session: number, message: number): void {
    this.#forgotten.push([session, message]);
    this.#forgetting ??= this.#flushForgotten();
  }

  count(reason: string): void {
    this.#deps.metrics.count('broker_messages_dropped_total', { reason });
  }

  failed(error: unknown): void {
    this.#deps.log.error('broker: the database refused a write, messages stay queued', {
      error: errorText(error),
    });
  }

  now(): number {
    return this.#deps.clock.now();
  }

  /** Resolves when nothing waits to be deleted. */
  async flush(): Promise<void> {
    await this.#forgetting;
  }

  async #flushForgotten(): Promise<void> {
    while (this.#forgotten.length > 0) {
      const batch = this.#forgotten;
      this.#forgotten = [];
      const sql = `DELETE FROM mqtt_delivery WHERE (session, message) IN
        (SELECT value ->> 0, value ->> 1 FROM json_each(?))`;
      try {
        await this.write([step(sql, JSON.stringify(batch))]);
      } catch (error) {
        // The rows stay: after a restart these messages are sent once more, which QoS 1 allows.
        this.failed(error);
      }
    }
    this.#forgetting = undefined;
  }

  #create(client: BrokerClient, steps: SqlStep[]): Session | undefined {
    if (this.#sessions.size >= this.#deps.limits.maxSessions) return undefined;
    this.#lastSession += 1;
    const session = new Session(this.#lastSession, client.id, this);
    this.#sessions.set(client.id, session);
    if (!client.closed) session.client = client;
    const expiry = client.sessionExpiryInterval >= NEVER_EXPIRES ? null : client.sessionExpiryInterval;
    const sql = 'INSERT INTO mqtt_session (id, client, expiry_seconds) VALUES (?, ?, ?)';
    steps.push(step(sql, session.key, client.id, expiry));
    return session;
  }

  #insertSteps(packet: BrokerPacket, sessions: Grants, size: number, steps: SqlStep[]): number {
    this.#lastMessage += 1;
    const message = this.#lastMessage;
    steps.push(
      step(
        'INSERT INTO mqtt_message (id, topic, payload, properties, expires_at, refs) VALUES (?, ?, ?, ?, ?, ?)',
        message,
        packet.topic,
        packet.payload,
        encodeProperties(packet.properties),
        packet.messageExpiry ?? null,
        sessions.size,
      ),
    );
    const rows = [...sessions].map(
      ([session, grant]) => [session.key, grant.qos, grant.retain ? 1 : 0] as const,
    );
    const [first] = rows;
    if (rows.length === 1 && first !== undefined) {
      const sql = 'INSERT INTO mqtt_delivery (session, message, qos, retain, size) VALUES (?, ?, ?, ?, ?)';
      steps.push(step(sql, first[0], message, first[1], first[2], size));
    } else {
      const sql = `INSERT INTO mqtt_delivery (session, message, qos, retain, size)
        SELECT value ->> 0, ?, value ->> 1, value ->> 2, ? FROM json_each(?)`;
      steps.push(step(sql, message, size, JSON.stringify(rows)));
    }
    return message;
  }

  /** Applies the queue bound of one session; false when the new message is the one that is dropped. */
  #makeRoom(session: Session, size: number, steps: SqlStep[], dropped: [Session, Outgoing][]): boolean {
    const { maxQueuedMessages, maxQueuedBytes, whenFull } = this.#deps.limits;
    const full = (): boolean =>
      session.waiting + session.committing.messages >= maxQueuedMessages ||
      session.bytes + session.committing.bytes + size > maxQueuedBytes;
    const mayDropOldest = whenFull === 'drop-oldest' && size <= maxQueuedBytes;
    while (full()) {
      const oldest = mayDropOldest ? session.shift() : undefined;
      // Everything ahead is still being written: let this one through, the next finds something to drop.
      if (oldest === undefined && mayDropOldest && session.committing.messages > 0) return true;
      this.count('queue-full');
      this.#warnFull(session);
      if (oldest === undefined) return false;
      dropped.push([session, oldest]);
      const sql = 'DELETE FROM mqtt_delivery WHERE session = ? AND message = ?';
      steps.push(step(sql, session.key, oldest.message));
    }
    return true;
  }

  #warnFull(session: Session): void {
    const now = this.#deps.clock.monotonicMs();
    if (now - session.warnedAt < 60_000) return;
    session.warnedAt = now;
    const { maxQueuedMessages, maxQueuedBytes, whenFull } = this.#deps.limits;
    const fields = { client: session.clientId, maxQueuedMessages, maxQueuedBytes, whenFull };
    this.#deps.log.warn('broker: the queue of a client is full, messages are dropped', fields);
  }

  #load(): void {
    const { database } = this.#deps;
    const byKey = new Map<number, Session>();
    for (const row of database.read('SELECT id, client, expiry_seconds FROM mqtt_session ORDER BY id')) {
      const session = new Session(Number(row['id']), String(row['client']), this);
      this.#sessions.set(session.clientId, session);
      byKey.set(session.key, session);
      this.#lastSession = session.key;
      if (row['expiry_seconds'] !== null) this.#expireLater(session, Number(row['expiry_seconds']));
    }
    for (const row of database.read('SELECT session, filter, qos, options FROM mqtt_subscription')) {
      const session = byKey.get(Number(row['session']));
      const options = decodeProperties(row['options']);
      const record: StoredSubscription = {
        ...options,
        topic: String(row['filter']),
        qos: Number(row['qos']),
      };
      session?.subscriptions.set(record.topic, record);
      if (session !== undefined && record.qos > 0) this.#index.add(session, record);
    }
    const deliveries =
      'SELECT session, message, qos, retain, size, state, packet_id FROM mqtt_delivery ORDER BY session, message';
    for (const row of database.read(deliveries)) {
      const [message, size, qos] = [Number(row['message']), Number(row['size']), Number(row['qos'])];
      const session = byKey.get(Number(row['session']));
      const retain = row['retain'] === 1;
      this.#lastMessage = Math.max(this.#lastMessage, message);
      if (row['packet_id'] === null) session?.push(message, size, qos, retain);
      else
        session?.inflight.set(Number(row['packet_id']), {
          message,
          size,
          qos,
          retain,
          released: row['state'] === 2,
        });
    }
  }

  /** MQTT 5: a session whose client does not come back after a restart ends after its expiry interval. */
  #expireLater(session: Session, seconds: number): void {
    this.#deps.clock.startTimer(
      seconds * 1000,
      () => {
        const current = this.#sessions.get(session.clientId);
        if (current === session && session.client === undefined)
          this.end(session.clientId).catch((e) => this.failed(e));
      },
      true,
    );
  }
}

/** What each session was granted for one message. */
export type Grants = Map<Session, { readonly qos: number; readonly retain: boolean }>;

const NOBODY: { readonly sessions: Grants; readonly groups: ReadonlySet<string> } = {
  sessions: new Map(),
  groups: new Set(),
};

/** Whether a session is about to send the message: its payload need not come back from disk. */
function anyReady(sessions: Grants): boolean {
  for (const session of sessions.keys())
    if (session.client !== undefined && session.waiting < 64) return true;
  return false;
}

function settle(session: Session, size: number): void {
  session.committing.messages -= 1;
  session.committing.bytes -= size;
}

function recordOf(subscription: StoredSubscription): StoredSubscription {
  const { topic, qos, rh, rap, nl, subscriptionIdentifier } = subscription;
  return { topic, qos, ...(rh === undefined ? {} : { rh }), rap, nl, subscriptionIdentifier };
}

function optionsOf(record: StoredSubscription): Record<string, unknown> {
  const { rh, rap, nl, subscriptionIdentifier } = record;
  return Object.fromEntries(
    Object.entries({ rh, rap, nl, subscriptionIdentifier }).filter(([, value]) => value !== undefined),
  );
}

function sameSubscription(a: StoredSubscription, b: StoredSubscription): boolean {
  return (
    a.qos === b.qos &&
    a.rh === b.rh &&
    a.rap === b.rap &&
    a.nl === b.nl &&
    a.subscriptionIdentifier === b.subscriptionIdentifier
  );
}
