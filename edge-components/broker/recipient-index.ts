/** Which persistent sessions must be given a message of QoS 1 or 2, share groups included. */

import { sharedFilter } from '../drivers/mqtt/topic.ts';
import type { BrokerPacket, StoredSubscription } from './packet.ts';
import type { Session } from './session.ts';
import { TopicTree } from './topic-tree.ts';

interface Entry {
  readonly session: Session;
  readonly subscription: StoredSubscription;
  /** `group/filter` of a shared subscription. */
  readonly group: string | undefined;
}

type Grants = Map<Session, { readonly qos: number; readonly retain: boolean }>;

export class RecipientIndex {
  readonly #tree = new TopicTree<Entry>();
  readonly #entries = new Map<Session, Map<string, Entry>>();
  readonly #turns = new Map<string, number>();
  readonly #hasLiveMember: (group: string) => boolean;

  /** `hasLiveMember` tells whether a share group also has members that take messages live. */
  constructor(hasLiveMember: (group: string) => boolean) {
    this.#hasLiveMember = hasLiveMember;
  }

  add(session: Session, subscription: StoredSubscription): void {
    const shared = sharedFilter(subscription.topic);
    const group = shared === undefined ? undefined : `${shared.group}/${shared.filter}`;
    const entry: Entry = { session, subscription, group };
    const own = this.#entries.get(session) ?? new Map<string, Entry>();
    this.#entries.set(session, own);
    own.set(subscription.topic, entry);
    this.#tree.add(shared?.filter ?? subscription.topic, entry);
  }

  remove(session: Session, filter: string): void {
    const own = this.#entries.get(session);
    const entry = own?.get(filter);
    if (own === undefined || entry === undefined) return;
    own.delete(filter);
    if (own.size === 0) this.#entries.delete(session);
    this.#tree.remove(sharedFilter(filter)?.filter ?? filter, entry);
  }

  covers(clientId: string, topic: string): boolean {
    let found = false;
    this.#tree.match(topic, (entry) => {
      if (entry.session.clientId === clientId) found = true;
    });
    return found;
  }

  /** Each session once, with the highest QoS granted by its matching subscriptions ([MQTT-3.3.5-1]). */
  recipients(
    packet: BrokerPacket,
    publisher: string | undefined,
  ): { sessions: Grants; groups: ReadonlySet<string> } {
    const sessions: Grants = new Map();
    let shared: Map<string, Entry[]> | undefined;
    this.#tree.match(packet.topic, (entry) => {
      if (entry.group !== undefined) {
        shared ??= new Map();
        const members = shared.get(entry.group);
        if (members === undefined) shared.set(entry.group, [entry]);
        else members.push(entry);
      } else if (entry.subscription.nl !== true || entry.session.clientId !== publisher)
        grant(sessions, entry, packet);
    });
    if (shared === undefined) return { sessions, groups: NO_GROUPS };
    const groups = new Set<string>();
    for (const [group, members] of shared) {
      const member = this.#turn(group, members);
      if (member === undefined) continue;
      groups.add(group);
      grant(sessions, member, packet);
    }
    return { sessions, groups };
  }

  /** Round robin over the members that are there; over the absent ones only when nobody is. */
  #turn(group: string, members: readonly Entry[]): Entry | undefined {
    const present = members.filter((member) => member.session.client !== undefined);
    const live = this.#hasLiveMember(group) ? 1 : 0;
    const choice = present.length + live === 0 ? members : present;
    const turn = (this.#turns.get(group) ?? -1) + 1;
    this.#turns.set(group, turn);
    return choice[turn % (choice.length + (choice === present ? live : 0))];
  }
}

const NO_GROUPS: ReadonlySet<string> = new Set();

function grant(sessions: Grants, entry: Entry, packet: BrokerPacket): void {
  const { qos, rap } = entry.subscription;
  const earlier = sessions.get(entry.session);
  sessions.set(entry.session, {
    qos: Math.max(earlier?.qos ?? 0, Math.min(qos, packet.qos)),
    retain: earlier?.retain === true || (packet.retain && rap === true),
  });
}
