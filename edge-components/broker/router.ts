/**
 * Who gets a message: all subscriptions of all sessions, connected or away, in one tree; what was found for a topic is
 * remembered until a subscription changes.
 */

import { sharedFilter } from '../drivers/mqtt/topic.ts';
import type { Session } from './session.ts';
import { TopicTree } from './topic-tree.ts';

/** One subscription of one session. */
export interface Subscription {
  readonly session: Session;
  /** As the client wrote it, with `$share/...`. */
  readonly filter: string;
  readonly qos: number;
  readonly noLocal: boolean;
  readonly retainAsPublished: boolean;
  readonly retainHandling: number;
  readonly identifier: number | undefined;
  /** The access list does not allow all of it: each message is checked. */
  guarded: boolean;
}

/** Everything that matches for one session, shared subscriptions apart. */
export interface Target {
  readonly session: Session;
  readonly subscriptions: readonly Subscription[];
}

/** The members of one share group whose filter matches. */
export interface ShareGroup {
  readonly members: Subscription[];
  turn: number;
}

export interface Match {
  readonly targets: readonly Target[];
  readonly groups: readonly ShareGroup[];
}

/** Topics whose match is remembered. */
const MAX_REMEMBERED = 2048;

export class Router {
  readonly #tree = new TopicTree<Subscription | ShareGroup>();
  readonly #groups = new Map<string, ShareGroup>();
  #remembered = new Map<string, Match>();
  #count = 0;

  get subscriptionCount(): number {
    return this.#count;
  }

  add(subscription: Subscription): void {
    const shared = sharedFilter(subscription.filter);
    if (shared === undefined) this.#tree.add(subscription.filter, subscription);
    else {
      const key = `${shared.group}/${shared.filter}`;
      let group = this.#groups.get(key);
      if (group === undefined) {
        group = { members: [], turn: 0 };
        this.#groups.set(key, group);
        this.#tree.add(shared.filter, group);
      }
      group.members.push(subscription);
    }
    this.#count += 1;
    this.#changed();
  }

  remove(subscription: Subscription): void {
    const shared = sharedFilter(subscription.filter);
    if (shared === undefined) this.#tree.remove(subscription.filter, subscription);
    else {
      const key = `${shared.group}/${shared.filter}`;
      const group = this.#groups.get(key);
      const position = group?.members.indexOf(subscription) ?? -1;
      if (group === undefined || position < 0) return;
      group.members.splice(position, 1);
      if (group.members.length === 0) {
        this.#groups.delete(key);
        this.#tree.remove(shared.filter, group);
      }
    }
    this.#count -= 1;
    this.#changed();
  }

  /** The share group of a shared subscription, while it has members. */
  groupOf({ filter }: Subscription): ShareGroup | undefined {
    const shared = sharedFilter(filter);
    return shared === undefined ? undefined : this.#groups.get(`${shared.group}/${shared.filter}`);
  }

  match(topic: string): Match {
    const known = this.#remembered.get(topic);
    if (known !== undefined) return known;
    const match = this.#find(topic);
    if (this.#remembered.size >= MAX_REMEMBERED) this.#remembered = new Map();
    this.#remembered.set(topic, match);
    return match;
  }

  #find(topic: string): Match {
    const bySession = new Map<Session, Subscription[]>();
    const groups: ShareGroup[] = [];
    this.#tree.match(topic, (found) => {
      if ('members' in found) {
        groups.push(found);
        return;
      }
      const own = bySession.get(found.session);
      if (own === undefined) bySession.set(found.session, [found]);
      else own.push(found);
    });
    const targets = [...bySession].map(([session, subscriptions]) => ({ session, subscriptions }));
    return targets.length === 0 && groups.length === 0 ? NOBODY : { targets, groups };
  }

  #changed(): void {
    if (this.#remembered.size > 0) this.#remembered = new Map();
  }
}

const NOBODY: Match = { targets: [], groups: [] };

/**
 * The member of a group that gets a message: in turn among those that are connected; a message that may wait goes to
 * an absent member with a session only when nobody is there ([MQTT-4.8.2-3] to [MQTT-4.8.2-5]).
 */
export function memberOf(
  group: ShareGroup,
  qos: number,
  mayRead: (subscription: Subscription) => boolean,
): Subscription | undefined {
  const { members } = group;
  let absent: Subscription | undefined;
  for (let step = 0; step < members.length; step += 1) {
    const at = (group.turn + step) % members.length;
    const member = members[at] as Subscription;
    if (member.guarded && !mayRead(member)) continue;
    if (member.session.outlet !== undefined) {
      group.turn = at + 1;
      return member;
    }
    if (absent === undefined && qos > 0 && member.qos > 0 && member.session.durable) {
      absent = member;
    }
  }
  if (absent !== undefined) group.turn = members.indexOf(absent) + 1;
  return absent;
}
