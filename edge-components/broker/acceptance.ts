/**
 * The way of a published message through the broker. What somebody must keep is written together with everything else
 * that was accepted in the same turn of the event loop, in one write; it is acknowledged and handed on when that is on
 * disk. A message that nobody must keep goes straight to whoever listens, unless one of the same publisher is on its
 * way to disk: then it follows that one.
 */

import type { Database, SqlStep } from '../../runtime/contracts/database.ts';
import { messageCrc } from './damaged-messages.ts';
import type { ElapsedTime } from './elapsed-time.ts';
import type { Message } from './message.ts';
import type { Outgoing } from './queues.ts';
import type { RetainedChange, RetainedMessages } from './retained.ts';
import { type Match, memberOf, type Router, type Subscription, type Target } from './router.ts';
import { step } from './schema.ts';
import type { Session } from './session.ts';
import { FORGET, type SessionStore } from './session-store.ts';

/** Where messages come from. */
export interface Publisher {
  readonly clientId: string;
  /** Its messages on their way to disk. */
  pending: number;
}

/** Called when a message is kept and handed on, or could not be stored. `matched`: somebody subscribes to it. */
export type Done = (error: Error | undefined, matched: boolean) => void;

export interface AcceptanceParts {
  readonly database: Database;
  readonly store: SessionStore;
  readonly router: Router;
  readonly retained: RetainedMessages;
  readonly time: ElapsedTime;
  readonly mayRead: (session: Session, topic: string) => boolean;
  /** Time that a message may wait for others to share its commit. */
  readonly lingerMs: number;
}

/** One session's share of a message: a row. */
interface Share {
  readonly session: Session;
  qos: number;
  retain: boolean;
  packetId: number;
}

interface Entry {
  readonly message: Message;
  readonly members: readonly Subscription[];
  readonly shares: readonly Share[];
  readonly retained: RetainedChange | undefined;
  readonly publisher: Publisher | undefined;
  readonly matched: boolean;
  /** Goes to one session only: a retained message for a new subscription. */
  readonly alone: boolean;
  readonly done: Done;
}

interface Batch {
  readonly entries: Entry[];
  readonly dropped: [Session, Outgoing][];
  readonly received: [client: string, packetId: number][];
  bytes: number;
}

const MAX_BATCH_BYTES = 1024 * 1024;
const MAX_BATCH_ENTRIES = 2048;
const NO_MEMBERS: readonly Subscription[] = [];
const NO_SHARES: readonly Share[] = [];

const INSERT_MESSAGES = `INSERT INTO mqtt_message (id, topic, payload, properties, expires_at, refs, crc)
  SELECT value ->> 0, value ->> 1, coalesce(substr(bytes, value ->> 2, value ->> 3), x''),
    CASE value ->> 4 WHEN 0 THEN NULL ELSE substr(bytes, (value ->> 2) + (value ->> 3), value ->> 4) END,
    value ->> 5, value ->> 6, value ->> 7
  FROM (SELECT ? AS bytes), json_each(?)`;
const INSERT_DELIVERIES = `INSERT INTO mqtt_delivery (session, message, qos, retain, size, packet_id)
  SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5 FROM json_each(?)`;
const INSERT_RECEIVED = `INSERT OR REPLACE INTO mqtt_received (client, packet_id)
  SELECT value ->> 0, value ->> 1 FROM json_each(?)`;

export class Acceptance {
  readonly #parts: AcceptanceParts;
  #open: Batch | undefined;
  /** Everything on its way to disk; holds no results, which would pile up. */
  #writing: Promise<void> = Promise.resolve();
  #retainedUnderWay = 0;
  /** What `#granted` found. */
  #qos = 0;
  #retain = false;
  #ids: readonly number[] | undefined;

  constructor(parts: AcceptanceParts) {
    this.#parts = parts;
    parts.store.passOn = (outgoing) => this.#passOn(outgoing);
  }

  /**
   * Takes a message from `publisher`; `receiver` is its session when the packet id of a QoS 2 message has to be kept
   * together with it.
   */
  publish(
    message: Message,
    publisher: Publisher | undefined,
    done: Done,
    receiver?: { readonly session: Session; readonly packetId: number },
  ): void {
    const match = this.#parts.router.match(message.topic);
    const matched = match.targets.length > 0 || match.groups.length > 0;
    const retained = message.retain ? this.#parts.retained.change(message) : undefined;
    if (message.retain && retained === undefined) this.#parts.store.count('retained-full');
    const members = match.groups.length === 0 ? NO_MEMBERS : this.#members(match, message);
    const kept = receiver?.session.durable === true ? receiver : undefined;
    const shares = this.#shares(message, match, members, publisher);
    const follows = publisher !== undefined && publisher.pending > 0;
    if (shares.length === 0 && retained === undefined && kept === undefined && !follows) {
      this.#deliver(message, match, members, publisher);
      done(undefined, matched);
      return;
    }
    const batch = this.#open ?? this.#begin();
    if (kept !== undefined) batch.received.push([kept.session.clientId, kept.packetId]);
    this.#add(batch, { message, members, shares, retained, publisher, matched, alone: false, done });
  }

  /** Puts a message into the queue of one durable session. */
  queueFor(session: Session, message: Message, qos: number, retain: boolean): void {
    const shares: Share[] = [];
    this.#share(shares, session, qos, retain, message);
    if (shares.length === 0) return;
    this.#add(this.#open ?? this.#begin(), {
      message,
      members: NO_MEMBERS,
      shares,
      retained: undefined,
      publisher: undefined,
      matched: true,
      alone: true,
      done: () => {},
    });
  }

  /** Resolves once retained messages that were accepted by now can be read; `undefined` when they can. */
  retainedSettled(): Promise<void> | undefined {
    if (this.#retainedUnderWay === 0) return undefined;
    this.#flush();
    return this.#writing;
  }

  /** Resolves when nothing is on its way to disk. */
  async settled(): Promise<void> {
    this.#flush();
    await this.#writing;
  }

  #passOn({ message, qos, share }: Outgoing): void {
    const group = share === undefined ? undefined : this.#parts.router.groupOf(share);
    if (group === undefined || message === undefined) return;
    const member = memberOf(group, qos, (one) => this.#parts.mayRead(one.session, message.topic));
    if (member === undefined) return;
    const { session, identifier } = member;
    const granted = Math.min(qos, member.qos);
    const ids = identifier === undefined ? undefined : [identifier];
    if (granted === 0) session.outlet?.publishLive(message, false, ids);
    else if (session.durable) this.queueFor(session, message, granted, false);
    else session.deliver(message, granted, false, ids, member);
  }

  #begin(): Batch {
    const batch: Batch = { entries: [], dropped: [], received: [], bytes: 0 };
    this.#open = batch;
    setImmediate(() => {
      if (this.#open === batch) this.#flush();
    });
    return batch;
  }

  #add(batch: Batch, entry: Entry): void {
    batch.entries.push(entry);
    batch.bytes += entry.message.size;
    if (entry.publisher !== undefined) entry.publisher.pending += 1;
    if (entry.retained !== undefined) this.#retainedUnderWay += 1;
    if (batch.bytes >= MAX_BATCH_BYTES || batch.entries.length >= MAX_BATCH_ENTRIES) this.#flush();
  }

  #members(match: Match, message: Message): readonly Subscription[] {
    const members: Subscription[] = [];
    const mayRead = (one: Subscription): boolean => this.#parts.mayRead(one.session, message.topic);
    for (const group of match.groups) {
      const member = memberOf(group, message.qos, mayRead);
      if (member !== undefined) members.push(member);
    }
    return members;
  }

  /** What the subscriptions of one session together ask for; false when it gets nothing. */
  #granted(target: Target, message: Message, publisher: Publisher | undefined): boolean {
    let granted = false;
    this.#qos = 0;
    this.#retain = false;
    this.#ids = undefined;
    for (const one of target.subscriptions) {
      if (this.#excluded(one, message, publisher)) continue;
      granted = true;
      // [MQTT-3.3.4-2]: one copy with the highest QoS and all identifiers
      this.#qos = Math.max(this.#qos, Math.min(one.qos, message.qos));
      if (one.retainAsPublished && message.retain) this.#retain = true;
      if (one.identifier !== undefined) {
        this.#ids = this.#ids === undefined ? [one.identifier] : [...this.#ids, one.identifier];
      }
    }
    return granted;
  }

  #excluded(one: Subscription, message: Message, publisher: Publisher | undefined): boolean {
    if (one.noLocal && one.session.clientId === publisher?.clientId) return true;
    return one.guarded && !this.#parts.mayRead(one.session, message.topic);
  }

  #shares(
    message: Message,
    match: Match,
    members: readonly Subscription[],
    publisher: Publisher | undefined,
  ): readonly Share[] {
    if (message.qos === 0) return NO_SHARES;
    const shares: Share[] = [];
    for (const target of match.targets) {
      const { session } = target;
      if (!session.durable || !this.#granted(target, message, publisher) || this.#qos === 0) continue;
      this.#share(shares, session, this.#qos, this.#retain, message);
    }
    for (const { session, qos: wanted, retainAsPublished } of members) {
      const qos = Math.min(wanted, message.qos);
      if (!session.durable || qos === 0) continue;
      const known = shares.find((share) => share.session === session);
      if (known === undefined)
        this.#share(shares, session, qos, message.retain && retainAsPublished, message);
      else known.qos = Math.max(known.qos, qos);
    }
    return shares;
  }

  #share(shares: Share[], session: Session, qos: number, retain: boolean, message: Message): void {
    const { size } = message;
    const dropped = (outgoing: Outgoing): void => {
      this.#open ??= this.#begin();
      this.#open.dropped.push([session, outgoing]);
    };
    if (!session.makeRoom(size, dropped)) return;
    session.committing.messages += 1;
    session.committing.bytes += size;
    shares.push({ session, qos, retain, packetId: session.nextPacketId() });
  }

  /** To everybody whose copy is not on disk. */
  #deliver(
    message: Message,
    match: Match,
    members: readonly Subscription[],
    publisher: Publisher | undefined,
  ): void {
    for (const target of match.targets) {
      const { session } = target;
      if (!this.#granted(target, message, publisher)) continue;
      if (this.#qos === 0) session.outlet?.publishLive(message, this.#retain, this.#ids);
      else if (!session.durable) session.deliver(message, this.#qos, this.#retain, this.#ids);
    }
    for (const member of members) {
      const { session, qos: wanted, retainAsPublished, identifier } = member;
      const qos = Math.min(wanted, message.qos);
      const retain = message.retain && retainAsPublished;
      const ids = identifier === undefined ? undefined : [identifier];
      if (qos === 0) session.outlet?.publishLive(message, retain, ids);
      else if (!session.durable) session.deliver(message, qos, retain, ids, member);
    }
  }

  #flush(): void {
    const batch = this.#open;
    if (batch === undefined) return;
    this.#open = undefined;
    const forgotten = batch.entries.length > 0 ? this.#parts.store.takeForgotten() : [];
    const steps = this.#steps(batch, forgotten);
    if (steps.length === 0) {
      // Only messages that follow an earlier one: they wait for it as well.
      this.#writing = this.#writing.then(() => this.#committed(batch));
      return;
    }
    const written = this.#parts.database.write(steps, this.#parts.lingerMs).then(
      () => this.#committed(batch),
      (error: unknown) => {
        this.#parts.store.giveBackForgotten(forgotten);
        this.#failed(batch, error instanceof Error ? error : new Error(String(error)));
      },
    );
    this.#writing = Promise.all([this.#writing, written]).then(() => {});
  }

  #steps({ entries, dropped, received, bytes }: Batch, forgotten: readonly number[][]): SqlStep[] {
    const steps: SqlStep[] = [];
    const time = this.#parts.time.note();
    if (time !== undefined) steps.push(time);
    for (const { retained } of entries) if (retained !== undefined) steps.push(...retained.steps);
    this.#insert(entries, bytes, steps);
    if (received.length > 0) steps.push(step(INSERT_RECEIVED, JSON.stringify(received)));
    const gone = [...forgotten, ...dropped.map(([session, { id }]) => [session.key, id])];
    if (gone.length > 0) steps.push(step(FORGET, JSON.stringify(gone)));
    return steps;
  }

  /** Payloads cross to the writer as one blob and everything else as JSON, so a message costs it next to nothing. */
  #insert(entries: readonly Entry[], bytes: number, steps: SqlStep[]): void {
    const blob = Buffer.allocUnsafeSlow(bytes);
    let at = 0;
    const messages: string[] = [];
    const deliveries: string[] = [];
    for (const { message, shares } of entries) {
      if (shares.length === 0) continue;
      const id = this.#parts.store.nextMessageId();
      message.id = id;
      const { topic, topicBytes, payload, properties, expiresAt, size } = message;
      const from = at;
      at += payload.copy(blob, at);
      at += properties.copy(blob, at);
      const crc = messageCrc(topicBytes, payload, properties);
      messages.push(
        `[${id},${JSON.stringify(topic)},${from + 1},${payload.length},${properties.length},${expiresAt ?? null},${shares.length},${crc}]`,
      );
      for (const { session, qos, retain, packetId } of shares) {
        deliveries.push(`[${session.key},${id},${qos},${retain ? 1 : 0},${size},${packetId}]`);
      }
    }
    if (messages.length === 0) return;
    const body = at === blob.length ? blob : Buffer.from(blob.subarray(0, at));
    steps.push(step(INSERT_MESSAGES, body, `[${messages.join()}]`));
    steps.push(step(INSERT_DELIVERIES, `[${deliveries.join()}]`));
  }

  #committed(batch: Batch): void {
    const waiting = new Set<Session>();
    const { store, router } = this.#parts;
    for (const { message, shares, members, retained, publisher, alone } of batch.entries) {
      if (retained !== undefined) {
        retained.committed();
        this.#retainedUnderWay -= 1;
      }
      for (const share of shares) this.#enqueue(share, message, waiting);
      if (shares.length > 0 && anyReady(shares)) store.messages.remember(message.compact());
      if (publisher !== undefined) publisher.pending -= 1;
      if (!alone) this.#deliver(message, router.match(message.topic), members, publisher);
    }
    for (const session of waiting) session.pump();
    for (const { done, matched } of batch.entries) done(undefined, matched);
  }

  #enqueue({ session, qos, retain, packetId }: Share, message: Message, waiting: Set<Session>): void {
    session.committing.messages -= 1;
    session.committing.bytes -= message.size;
    if (session.ended) return;
    session.queue.push({
      id: message.id,
      message: undefined,
      size: message.size,
      qos,
      retain,
      packetId,
      duplicate: false,
      released: false,
      subscriptionIds: undefined,
    });
    waiting.add(session);
  }

  #failed(batch: Batch, error: Error): void {
    for (const { message, shares, retained, publisher } of batch.entries) {
      for (const { session } of shares) {
        session.committing.messages -= 1;
        session.committing.bytes -= message.size;
      }
      if (retained !== undefined) this.#retainedUnderWay -= 1;
      if (publisher !== undefined) publisher.pending -= 1;
    }
    for (const [session, outgoing] of batch.dropped.reverse()) session.queue.unshift([outgoing]);
    for (const { done } of batch.entries) done(error, false);
  }
}

/** Whether a session is about to send the message: its payload need not come back from disk. */
function anyReady(shares: readonly Share[]): boolean {
  for (const { session } of shares) {
    if (session.outlet !== undefined && session.queue.length < 2048) return true;
  }
  return false;
}
