/**
 * Live delivery: who listens to which filter at this moment. It takes the place of aedes' message emitter because
 * ours numbers packets when they are emitted (aedes numbers them before the disk answered, so its duplicate check
 * would drop a message that was overtaken), never lets a frozen subscriber hold up a publisher, and knows share groups.
 */

import type { Clock, Timer } from '../../runtime/contracts/clock.ts';
import { sharedFilter } from '../drivers/mqtt/topic.ts';
import { type Acceptance, acceptanceOf, type BrokerPacket } from './packet.ts';
import { TopicTree } from './topic-tree.ts';

type Listener = (packet: BrokerPacket, done: () => void) => void;

interface ShareGroup {
  readonly key: string;
  readonly members: { readonly listener: Listener; readonly clean: boolean }[];
  next: number;
}

interface Waiting {
  readonly since: number;
  release(): void;
}

/** A publisher waits this long at most for its subscribers' sockets. */
const PATIENCE_MS = 250;

/** Members that aedes expects of its emitter, plus what our delivery hooks ask. */
export class FanOut {
  readonly concurrency = 0;
  readonly #clock: Clock;
  readonly #listeners = new TopicTree<Listener>();
  readonly #groups = new Map<string, ShareGroup>();
  readonly #groupTree = new TopicTree<ShareGroup>();
  readonly #waiting = new Set<Waiting>();
  #timer: Timer | undefined;
  #emitted = 0;
  #current: Acceptance | undefined;
  #subscriberIsClean = true;
  #closed = false;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** The acceptance of the packet that is being emitted right now. */
  get current(): Acceptance | undefined {
    return this.#current;
  }

  /** Emissions that still wait for a subscriber's socket. */
  get waitingCount(): number {
    return this.#waiting.size;
  }

  /** Share groups with a member that takes messages live and has no durable queue. */
  hasLiveMember(groupKey: string): boolean {
    return this.#groups.get(groupKey)?.members.some((member) => member.clean) === true;
  }

  /** Tells whether the listener added next belongs to a session that ends with its connection. */
  subscribing(clean: boolean): void {
    this.#subscriberIsClean = clean;
  }

  on(filter: string, listener: Listener, done?: () => void): this {
    const shared = sharedFilter(filter);
    if (shared === undefined) this.#listeners.add(filter, listener);
    else this.#join(`${shared.group}/${shared.filter}`, shared.filter, listener);
    if (done !== undefined) setImmediate(done);
    return this;
  }

  removeListener(filter: string, listener: Listener, done?: () => void): this {
    const shared = sharedFilter(filter);
    if (shared === undefined) this.#listeners.remove(filter, listener);
    else this.#leave(`${shared.group}/${shared.filter}`, shared.filter, listener);
    if (done !== undefined) setImmediate(done);
    return this;
  }

  emit(packet: BrokerPacket, done: (error?: Error) => void = () => {}): this {
    if (this.#closed) {
      done(new Error('the broker is closed'));
      return this;
    }
    const acceptance = acceptanceOf(packet);
    packet.nl = undefined;
    this.#emitted += 1;
    packet.brokerCounter = this.#emitted;

    let open = 1;
    let waiting: Waiting | undefined;
    let released = false;
    const release = (): void => {
      if (waiting !== undefined) this.#waiting.delete(waiting);
      if (!released) {
        released = true;
        done();
      }
    };
    const finished = (): void => {
      open -= 1;
      if (open === 0) release();
    };
    this.#current = acceptance;
    this.#listeners.match(packet.topic, (listener) => {
      open += 1;
      listener(packet, finished);
    });
    if (this.#groups.size > 0) {
      this.#groupTree.match(packet.topic, (group) => {
        const listener = pick(group, packet, acceptance);
        if (listener === undefined) return;
        open += 1;
        listener(packet, finished);
      });
    }
    this.#current = undefined;
    finished();
    if (!released) {
      waiting = { since: this.#clock.monotonicMs(), release };
      this.#waiting.add(waiting);
      this.#arm();
    }
    return this;
  }

  close(done: () => void): this {
    this.#closed = true;
    this.#timer?.cancel();
    for (const waiting of this.#waiting) waiting.release();
    setImmediate(done);
    return this;
  }

  #arm(): void {
    this.#timer ??= this.#clock.startTimer(
      PATIENCE_MS,
      () => {
        this.#timer = undefined;
        const due = this.#clock.monotonicMs() - PATIENCE_MS;
        for (const waiting of this.#waiting) {
          if (waiting.since > due) break;
          waiting.release();
        }
        if (this.#waiting.size > 0) this.#arm();
      },
      true,
    );
  }

  #join(key: string, filter: string, listener: Listener): void {
    let group = this.#groups.get(key);
    if (group === undefined) {
      group = { key, members: [], next: 0 };
      this.#groups.set(key, group);
      this.#groupTree.add(filter, group);
    }
    group.members.push({ listener, clean: this.#subscriberIsClean });
  }

  #leave(key: string, filter: string, listener: Listener): void {
    const group = this.#groups.get(key);
    if (group === undefined) return;
    const position = group.members.findIndex((member) => member.listener === listener);
    if (position >= 0) group.members.splice(position, 1);
    if (group.members.length > 0) return;
    this.#groups.delete(key);
    this.#groupTree.remove(filter, group);
  }
}

/** The member whose turn it is; nobody when a durable queue of the group already has the message. */
function pick(
  group: ShareGroup,
  packet: BrokerPacket,
  acceptance: Acceptance | undefined,
): Listener | undefined {
  if (acceptance?.groups.has(group.key) === true) return undefined;
  const clean = packet.qos > 0 ? group.members.filter((member) => member.clean) : group.members;
  const members = clean.length > 0 ? clean : group.members;
  group.next += 1;
  return members[group.next % members.length]?.listener;
}
