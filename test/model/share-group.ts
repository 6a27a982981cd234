/**
 * A shared subscription against a pool: every message of its topics is with exactly one of the members, which one is the
 * broker's choice and stays so once a member was sent it. What a session had when it ended may be gone with it ([MQTT-4.8.2-5]).
 */

import { ack, readPublish, subscribe } from '../edge-components/broker/raw-client.ts';
import type { Visit } from './visit.ts';

export const SHARE_TOPICS = ['s/1', 's/2'];
const FILTER = '$share/g/s/#';
const NEVER = Number.POSITIVE_INFINITY;
const FOR_EVER = 0xffffffff;

interface Item {
  readonly text: string;
  readonly qos: number;
  readonly expiresAt: number;
  /** The member that was sent it. */
  owner: Member | undefined;
  /** It may have been with a session that ended. */
  doubtful: boolean;
}

interface Member {
  readonly name: string;
  known: boolean;
  subscribed: boolean;
  endsAt: number;
}

export interface ShareGroupParts {
  readonly pick: (below: number) => number;
  readonly now: () => number;
  readonly check: (what: string, found: unknown, wanted: unknown) => void;
  readonly enter: (name: string, expiry: number, present?: boolean, clean?: boolean) => Promise<Visit>;
  /** Messages that a session keeps. */
  readonly limit: number;
  readonly lifetimes: readonly number[];
}

export class ShareGroupModel {
  readonly #parts: ShareGroupParts;
  readonly #members: readonly Member[] = ['s1', 's2', 's3'].map((name) => ({
    name,
    known: false,
    subscribed: false,
    endsAt: NEVER,
  }));
  #pool: Item[] = [];

  constructor(parts: ShareGroupParts) {
    this.#parts = parts;
  }

  /** Even if all went to one member, none would be dropped. */
  get hasRoom(): boolean {
    return this.#pool.length < this.#parts.limit;
  }

  published(text: string, qos: number, expiresAt: number): void {
    if (!this.#members.some(({ subscribed }) => subscribed)) return;
    this.#pool.push({ text, qos, expiresAt, owner: undefined, doubtful: false });
  }

  /** Sessions whose time is over end. */
  expire(): void {
    const now = this.#parts.now();
    for (const member of this.#members) if (member.endsAt <= now) this.#end(member);
    this.#pool = this.#pool.filter(({ expiresAt }) => expiresAt > now);
  }

  /** One member comes; while it is there `meanwhile` may publish. It acknowledges a part of what it gets. */
  async visit(meanwhile: () => Promise<void>): Promise<void> {
    const { pick, enter, lifetimes } = this.#parts;
    const member = this.#members[pick(this.#members.length)] as Member;
    const expiry = lifetimes[pick(lifetimes.length)] as number;
    const clean = pick(10) === 0;
    const visit = await enter(member.name, expiry, member.known, clean);
    if (clean) this.#end(member);
    member.known = true;
    member.endsAt = NEVER;
    if (!member.subscribed) {
      visit.send(subscribe(9, [[FILTER, 2]]));
      await visit.take(9);
      member.subscribed = true;
    }
    await meanwhile();
    const took = await this.#take(member, visit);
    const count = pick(took.length + 1);
    for (const { id, item } of took.slice(0, count)) {
      visit.send(ack(item.qos === 1 ? 0x40 : 0x50, id));
      this.#pool.splice(this.#pool.indexOf(item), 1);
    }
    for (let turn = 0; turn < 20; turn += 1) await visit.settled();
    await visit.leave(pick(2) === 0);
    if (expiry !== FOR_EVER) member.endsAt = this.#parts.now() + expiry * 1000;
    if (pick(3) === 0) await this.census();
  }

  /** All members come, one after the other, and acknowledge nothing: together they have all there is. */
  async census(): Promise<void> {
    this.expire();
    const found = new Set<Item>();
    for (const member of this.#members) {
      if (!member.known) continue;
      const lasts = member.endsAt === NEVER ? FOR_EVER : 30;
      const visit = await this.#parts.enter(member.name, lasts, true);
      for (const { item } of await this.#take(member, visit)) found.add(item);
      await visit.leave(true);
      if (lasts !== FOR_EVER) member.endsAt = this.#parts.now() + lasts * 1000;
    }
    const missing = this.#pool.filter((item) => !found.has(item) && !item.doubtful);
    this.#parts.check(
      'messages of the group that no member has',
      missing.map(({ text }) => text),
      [],
    );
    // What is nowhere went with a session that ended.
    this.#pool = this.#pool.filter((item) => found.has(item));
  }

  /** What a member is sent: each in the pool, no other's, once, in order. */
  async #take(member: Member, visit: Visit): Promise<{ readonly id: number; readonly item: Item }[]> {
    const { check } = this.#parts;
    const took: { id: number; item: Item }[] = [];
    let last = -1;
    for (const packet of await visit.drain()) {
      const { payload, qos, id } = readPublish(packet);
      if (qos === 0) continue;
      const at = this.#pool.findIndex(({ text }) => text === String(payload));
      const item = this.#pool[at];
      check(`${member.name} gets ${payload}, which is in the pool`, item !== undefined, true);
      if (item === undefined) continue;
      check(`${payload} has one owner`, (item.owner ?? member).name, member.name);
      check(`the quality of ${payload}`, qos, item.qos);
      check(`${payload} comes in its turn`, at > last, true);
      last = at;
      item.owner = member;
      item.doubtful = false;
      took.push({ id, item });
    }
    return took;
  }

  #end(member: Member): void {
    member.known = false;
    member.subscribed = false;
    member.endsAt = NEVER;
    this.#pool = this.#pool.filter(({ owner }) => owner !== member);
    for (const item of this.#pool) if (item.owner === undefined) item.doubtful = true;
  }
}
