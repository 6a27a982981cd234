/** All durable sessions: made, ended, resumed, their subscriptions and what their clients acknowledged, on disk. */

import type { Timer } from '../../runtime/contracts/clock.ts';
import type { Database, SqlStep } from '../../runtime/contracts/database.ts';
import { errorText } from '../../runtime/contracts/error.ts';
import type { Logger } from '../../runtime/contracts/logger.ts';
import { filterMatches, sharedFilter } from '../drivers/mqtt/topic.ts';
import type { DamagedMessages } from './damaged-messages.ts';
import type { ElapsedTime } from './elapsed-time.ts';
import type { Message } from './message.ts';
import { MessageCache } from './message-cache.ts';
import type { BrokerLimits } from './options.ts';
import type { Outgoing } from './queues.ts';
import type { Router, Subscription } from './router.ts';
import { encodeOptions, step } from './schema.ts';
import { type Outlet, Session, type SessionHost } from './session.ts';
import { loadSessions } from './session-loader.ts';
import type { RequestedSubscription } from './wire/packets.ts';

export interface SessionStoreDeps {
  readonly database: Database;
  readonly router: Router;
  readonly limits: BrokerLimits;
  readonly time: ElapsedTime;
  readonly log: Logger;
  readonly damaged: DamagedMessages;
  /** Counts a dropped message. */
  readonly count: (reason: string) => void;
}

const NEVER = 0xffffffff;
/** Acknowledgements wait this long for a write they can go with, and this many. */
const LINGER_MS = 2000;
const MAX_FORGOTTEN = 4096;

export class SessionStore implements SessionHost {
  readonly maxInflight: number;
  readonly maxQueuedMessages: number;
  readonly maxQueuedBytes: number;
  readonly whenFull: BrokerLimits['whenFull'];
  readonly messages: MessageCache;
  /** Finds another member of its share group for a message; set by the acceptance. */
  passOn: (outgoing: Outgoing) => void = () => {};
  readonly #deps: SessionStoreDeps;
  readonly #sessions = new Map<string, Session>();
  readonly #expiring = new Map<Session, Timer>();
  #lastSession = 0;
  #lastMessage: number;
  #forgotten: number[][] = [];
  #released: number[][] = [];
  #noting: Promise<void> | undefined;
  #lingering: Timer | undefined;

  /** Reads what an earlier run left behind. */
  constructor(deps: SessionStoreDeps) {
    this.#deps = deps;
    const { limits, database } = deps;
    this.maxInflight = limits.maxInflightPerClient;
    this.maxQueuedMessages = limits.maxQueuedMessages;
    this.maxQueuedBytes = limits.maxQueuedBytes;
    this.whenFull = limits.whenFull;
    this.messages = new MessageCache(database, deps.damaged);
    const loaded = loadSessions(database, this);
    this.#lastMessage = loaded.lastMessage;
    for (const { session, endedAt } of loaded.sessions) {
      this.#sessions.set(session.clientId, session);
      this.#lastSession = Math.max(this.#lastSession, session.key);
      for (const subscription of session.subscriptions.values()) deps.router.add(subscription);
      // Whoever was connected when the process ended is alone from now on.
      this.#expireLater(session, endedAt ?? deps.time.now());
    }
  }

  get sessionCount(): number {
    return this.#sessions.size;
  }

  get full(): (session: Session) => void {
    return (session) => this.#warnFull(session);
  }

  get queuedMessages(): number {
    let queued = 0;
    for (const session of this.#sessions.values()) queued += session.queue.length + session.inflight.size;
    return queued;
  }

  get(clientId: string): Session | undefined {
    return this.#sessions.get(clientId);
  }

  [Symbol.iterator](): IterableIterator<Session> {
    return this.#sessions.values();
  }

  /** A new durable session; `undefined` when there are as many as are allowed. */
  create(clientId: string, user: string | undefined, expirySeconds: number): Session | undefined {
    if (this.#sessions.size >= this.#deps.limits.maxSessions) return undefined;
    this.#lastSession += 1;
    const session = new Session(clientId, this.#lastSession, this);
    this.#sessions.set(clientId, session);
    session.user = user;
    session.expirySeconds = expirySeconds >= NEVER ? undefined : expirySeconds;
    const sql = 'INSERT INTO mqtt_session (id, client, expiry_seconds, user) VALUES (?, ?, ?, ?)';
    this.#write([step(sql, session.key, clientId, session.expirySeconds ?? null, user ?? null)]);
    return session;
  }

  /** A session that ends with its connection. */
  temporary(clientId: string, user: string | undefined): Session {
    const session = new Session(clientId, 0, this);
    session.user = user;
    session.expirySeconds = 0;
    return session;
  }

  /** A client is back in its session. */
  resume(session: Session, user: string | undefined, expirySeconds: number): void {
    this.#expiring.get(session)?.cancel();
    this.#expiring.delete(session);
    session.user = user;
    session.expirySeconds = expirySeconds >= NEVER ? undefined : expirySeconds;
    const sql =
      'UPDATE mqtt_session SET expiry_seconds = ?, user = ?, ended_at = NULL, sent_to = NULL WHERE id = ?';
    this.#write([step(sql, session.expirySeconds ?? null, user ?? null, session.key)]);
  }

  /** The connection of a session is gone: it waits for the next one, or ends. */
  async leave(session: Session, outlet: Outlet): Promise<void> {
    if (session.outlet !== outlet) return;
    session.detach(outlet);
    await this.unclaimed(session);
  }

  /** A session without a connection, also one whose client left before CONNACK. */
  async unclaimed(session: Session): Promise<void> {
    if (session.outlet !== undefined || session.ended) return;
    if (session.expirySeconds === 0) {
      await this.end(session);
      return;
    }
    const now = this.#deps.time.now();
    const sql = 'UPDATE mqtt_session SET expiry_seconds = ?, ended_at = ?, sent_to = ? WHERE id = ?';
    this.#write([step(sql, session.expirySeconds ?? null, now, session.sentTo, session.key)]);
    this.#expireLater(session, now);
  }

  /** Forgets a session and everything kept for it ([MQTT-3.1.2-6]). */
  async end(session: Session): Promise<void> {
    if (session.ended) return;
    session.ended = true;
    session.outlet = undefined;
    this.#expiring.get(session)?.cancel();
    this.#expiring.delete(session);
    for (const subscription of session.subscriptions.values()) this.#deps.router.remove(subscription);
    if (!session.durable) {
      // [MQTT-4.8.2-5]: another member of the group gets what this one had not taken
      for (const outgoing of session.leftovers()) this.passOn(outgoing);
      return;
    }
    this.#sessions.delete(session.clientId);
    await this.#deps.database.write([
      step('DELETE FROM mqtt_delivery WHERE session = ?', session.key),
      step('DELETE FROM mqtt_subscription WHERE session = ?', session.key),
      step('DELETE FROM mqtt_received WHERE client = ?', session.clientId),
      step('DELETE FROM mqtt_session WHERE id = ?', session.key),
    ]);
  }

  /** Adds or replaces one subscription; true when there was none under this filter. */
  subscribe(
    session: Session,
    request: RequestedSubscription,
    qos: number,
    identifier: number | undefined,
    guarded: boolean,
    steps: SqlStep[],
  ): boolean {
    const earlier = session.subscriptions.get(request.filter);
    if (earlier !== undefined) this.#deps.router.remove(earlier);
    const subscription: Subscription = { ...request, session, qos, identifier, guarded };
    session.subscriptions.set(request.filter, subscription);
    if (identifier !== undefined) session.hasIdentifiers = true;
    this.#deps.router.add(subscription);
    if (session.durable && !sameSubscription(earlier, subscription)) steps.push(storeStep(subscription));
    return earlier === undefined;
  }

  /** Removes one subscription; false when there was none. */
  unsubscribe(session: Session, filter: string, steps: SqlStep[]): boolean {
    const subscription = session.subscriptions.get(filter);
    if (subscription === undefined) return false;
    session.subscriptions.delete(filter);
    this.#deps.router.remove(subscription);
    const sql = 'DELETE FROM mqtt_subscription WHERE session = ? AND filter = ?';
    if (session.durable) steps.push(step(sql, session.key, filter));
    return true;
  }

  /** The row of the next message; they grow in the order of acceptance. */
  nextMessageId(): number {
    this.#lastMessage += 1;
    return this.#lastMessage;
  }

  load(ids: readonly number[]): Map<number, Message> {
    return this.messages.load(ids);
  }

  identifiers(session: Session, topic: string): readonly number[] | undefined {
    let ids: number[] | undefined;
    for (const { filter, identifier } of session.subscriptions.values()) {
      if (identifier === undefined) continue;
      if (!filterMatches(sharedFilter(filter)?.filter ?? filter, topic)) continue;
      ids ??= [];
      ids.push(identifier);
    }
    return ids;
  }

  /**
   * What clients acknowledged is deleted with the next publishes, or by itself a moment later: a delivery that comes
   * once more after a crash is what QoS 1 allows, a sync of its own for it would halve the rate.
   */
  forget(session: number, message: number): void {
    this.#forgotten.push([session, message]);
    if (this.#forgotten.length >= MAX_FORGOTTEN) this.#noting ??= this.#noteAll();
    else {
      this.#lingering ??= this.#deps.time.after(LINGER_MS, () => {
        this.#lingering = undefined;
        if (this.#forgotten.length > 0) this.#noting ??= this.#noteAll();
      });
    }
  }

  /** What was acknowledged and not deleted yet, for a write that is made anyway. */
  takeForgotten(): readonly number[][] {
    const forgotten = this.#forgotten;
    this.#forgotten = [];
    return forgotten;
  }

  /** That write failed. */
  giveBackForgotten(forgotten: readonly number[][]): void {
    for (const one of forgotten) this.#forgotten.push([...one]);
  }

  release(session: number, message: number): Promise<unknown> {
    this.#released.push([session, message]);
    this.#noting ??= this.#noteAll();
    return this.#noting;
  }

  /** A QoS 2 packet id of a client is free again; off the disk before PUBCOMP, or a later message would pass for a repetition. */
  received(session: Session, packetId: number): Promise<unknown> | undefined {
    if (!session.durable) return undefined;
    const sql = 'DELETE FROM mqtt_received WHERE client = ? AND packet_id = ?';
    return this.#deps.database.write([step(sql, session.clientId, packetId)]);
  }

  count(reason: string): void {
    this.#deps.count(reason);
  }

  failed(error: unknown): void {
    this.#deps.log.error('broker: the database refused a write', { error: errorText(error) });
  }

  /** Resolves when nothing waits to be noted. */
  async flush(): Promise<void> {
    this.#lingering?.cancel();
    if (this.#forgotten.length > 0) this.#noting ??= this.#noteAll();
    while (this.#noting !== undefined) await this.#noting;
  }

  /** One write at a time, with all that came meanwhile in the next. */
  async #noteAll(): Promise<void> {
    // What is acknowledged in this turn of the event loop belongs to the first batch.
    await new Promise<void>((resolve) => setImmediate(resolve));
    while (this.#forgotten.length > 0 || this.#released.length > 0) {
      const steps: SqlStep[] = [];
      const time = this.#deps.time.note();
      if (time !== undefined) steps.push(time);
      if (this.#released.length > 0) steps.push(step(RELEASE, JSON.stringify(this.#released)));
      if (this.#forgotten.length > 0) steps.push(step(FORGET, JSON.stringify(this.#forgotten)));
      this.#released = [];
      this.#forgotten = [];
      try {
        await this.#deps.database.write(steps);
      } catch (error) {
        // The rows stay: after a restart these messages are sent once more, which QoS 1 allows.
        this.failed(error);
      }
    }
    this.#noting = undefined;
  }

  #write(steps: readonly SqlStep[]): void {
    this.#deps.database.write(steps).catch((error) => this.failed(error));
  }

  #expireLater(session: Session, since: number): void {
    const seconds = session.expirySeconds;
    if (seconds === undefined) return;
    const timer = this.#deps.time.after(since + seconds * 1000 - this.#deps.time.now(), () => {
      if (session.outlet === undefined) this.end(session).catch((error) => this.failed(error));
    });
    this.#expiring.set(session, timer);
  }

  #warnFull(session: Session): void {
    const now = this.#deps.time.now();
    if (now - session.warnedAt < 60_000) return;
    session.warnedAt = now;
    const { maxQueuedMessages, maxQueuedBytes, whenFull } = this.#deps.limits;
    const fields = { client: session.clientId, maxQueuedMessages, maxQueuedBytes, whenFull };
    this.#deps.log.warn('broker: the queue of a client is full, messages are dropped', fields);
  }
}

/** Deletes deliveries given as a list of [session, message]. */
export const FORGET = `DELETE FROM mqtt_delivery WHERE (session, message) IN
  (SELECT value ->> 0, value ->> 1 FROM json_each(?))`;
const RELEASE = `UPDATE mqtt_delivery SET state = 2 WHERE (session, message) IN
  (SELECT value ->> 0, value ->> 1 FROM json_each(?))`;

function storeStep(subscription: Subscription): SqlStep {
  const { session, filter, qos, retainHandling, retainAsPublished, noLocal, identifier } = subscription;
  const options = {
    ...(retainHandling === 0 ? {} : { rh: retainHandling }),
    ...(retainAsPublished ? { rap: true } : {}),
    ...(noLocal ? { nl: true } : {}),
    ...(identifier === undefined ? {} : { subscriptionIdentifier: identifier }),
  };
  const sql = 'INSERT OR REPLACE INTO mqtt_subscription (session, filter, qos, options) VALUES (?, ?, ?, ?)';
  return step(sql, session.key, filter, qos, encodeOptions(options));
}

function sameSubscription(a: Subscription | undefined, b: Subscription): boolean {
  return (
    a !== undefined &&
    a.qos === b.qos &&
    a.retainHandling === b.retainHandling &&
    a.retainAsPublished === b.retainAsPublished &&
    a.noLocal === b.noLocal &&
    a.identifier === b.identifier
  );
}
