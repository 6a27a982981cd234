/** Who may connect, publish and subscribe: users, certificates and the access list, all replaceable while running. */

import { filterMatches, matcher, sharedFilter } from '../drivers/mqtt/topic.ts';
import type { AccessList, AclRule } from './acl-file.ts';
import type { BrokerUser } from './options.ts';
import { type PasswordCheck, passwordCheck } from './passwords.ts';

export interface Credentials {
  readonly trusted: boolean;
  /** From a verified certificate. */
  readonly certificateUser: string | undefined;
  /** From enhanced authentication. */
  readonly authenticatedUser: string | undefined;
  readonly name: string | undefined;
  readonly password: Uint8Array | undefined;
}

/** `refused` is the return code of MQTT 3.1.1, section 3.2.2.3. */
export type Admission =
  | { readonly user: string | undefined }
  | { readonly refused: 4 | 5; readonly why: string };

interface Rules {
  mayPublish(topic: string): boolean;
  mayRead(topic: string): boolean;
  covers(filter: string): 'all' | 'some' | 'none';
}

/** User of the node's own connections: everything is theirs. No client can have this name. */
const NODE = '\u0001node';

/** Identities whose rules are kept ready. */
const MAX_KNOWN = 4096;
const MAX_TOPICS = 512;

const EVERYTHING: Rules = { mayPublish: () => true, mayRead: () => true, covers: () => 'all' };

export class Access {
  #users: readonly BrokerUser[];
  #passwords: PasswordCheck;
  #list: AccessList | undefined;
  readonly #anonymous: boolean | undefined;
  #known = new Map<string, Rules>();

  /** `anonymous`: `undefined` lets nameless clients in as long as there are no users. */
  constructor(users: readonly BrokerUser[], anonymous: boolean | undefined, list: AccessList | undefined) {
    this.#users = users;
    this.#passwords = passwordCheck(users);
    this.#anonymous = anonymous;
    this.#list = list;
  }

  /** Takes new users and a new access list; connections that exist are judged by them from now on. */
  replace(users: readonly BrokerUser[], list: AccessList | undefined): void {
    this.#users = users;
    this.#passwords = passwordCheck(users);
    this.#list = list;
    this.#known = new Map();
  }

  async admit({
    trusted,
    certificateUser,
    authenticatedUser,
    name,
    password,
  }: Credentials): Promise<Admission> {
    if (trusted) return { user: NODE };
    const proven = authenticatedUser ?? certificateUser;
    if ((proven ?? name)?.startsWith('\u0001') === true) return { refused: 4, why: 'no such user' };
    if (proven !== undefined) return { user: proven };
    const withUsers = this.#users.length > 0;
    const anonymous = this.#anonymous ?? !withUsers;
    if (anonymous && (name === undefined || !withUsers)) return { user: undefined };
    if (name === undefined) return { refused: 5, why: 'a user name and password are required' };
    if (await this.#passwords.matches(name, password)) return { user: name };
    return { refused: 4, why: 'bad user name or password' };
  }

  mayPublish(user: string | undefined, clientId: string, topic: string): boolean {
    return this.#list === undefined || this.#rules(user, clientId).mayPublish(topic);
  }

  mayRead(user: string | undefined, clientId: string, topic: string): boolean {
    return this.#list === undefined || this.#rules(user, clientId).mayRead(topic);
  }

  /** How much of a filter a client may read: all, some (each message is checked) or nothing. */
  covers(user: string | undefined, clientId: string, filter: string): 'all' | 'some' | 'none' {
    if (this.#list === undefined) return 'all';
    return this.#rules(user, clientId).covers(sharedFilter(filter)?.filter ?? filter);
  }

  #rules(user: string | undefined, clientId: string): Rules {
    const list = this.#list;
    if (list === undefined || user === NODE) return EVERYTHING;
    const key = `${user ?? ''}\0${clientId}`;
    let rules = this.#known.get(key);
    if (rules === undefined) {
      rules = compile(list, user, clientId);
      if (this.#known.size >= MAX_KNOWN) this.#known = new Map();
      this.#known.set(key, rules);
    }
    return rules;
  }
}

function compile(list: AccessList, user: string | undefined, clientId: string): Rules {
  const own = user === undefined ? list.anonymous : (list.users.get(user) ?? []);
  const all = [...own, ...list.patterns.flatMap((pattern) => filled(pattern, user, clientId))];
  const read = allowed(all, ['read', 'readwrite']);
  const write = allowed(all, ['write', 'readwrite']);
  const readable = all.filter((rule) => rule.access === 'read' || rule.access === 'readwrite');
  const denied = all.filter((rule) => rule.access === 'deny');
  return {
    mayPublish: write,
    mayRead: read,
    covers: (filter) => {
      if (denied.some((rule) => includes(rule.filter, filter))) return 'none';
      if (!readable.some((rule) => overlap(rule.filter, filter))) return 'none';
      const whole = readable.some((rule) => includes(rule.filter, filter));
      return whole && !denied.some((rule) => overlap(rule.filter, filter)) ? 'all' : 'some';
    },
  };
}

/** A pattern with the names of one client; none when a name would act as a wildcard or as more levels. */
function filled({ access, filter }: AclRule, user: string | undefined, clientId: string): AclRule[] {
  if (filter.includes('%c') && /[+#/]|^$/.test(clientId)) return [];
  if (filter.includes('%u') && (user === undefined || /[+#/]|^$/.test(user))) return [];
  return [{ access, filter: filter.replaceAll('%c', () => clientId).replaceAll('%u', () => user ?? '') }];
}

/** Whether one rule allows a topic and none denies it; answers are remembered. */
function allowed(rules: readonly AclRule[], kinds: readonly string[]): (topic: string) => boolean {
  const allow = rules.filter((rule) => kinds.includes(rule.access)).map((rule) => matcher(rule.filter));
  const deny = rules.filter((rule) => rule.access === 'deny').map((rule) => matcher(rule.filter));
  let known = new Map<string, boolean>();
  return (topic) => {
    const earlier = known.get(topic);
    if (earlier !== undefined) return earlier;
    const answer = allow.some((matches) => matches(topic)) && !deny.some((matches) => matches(topic));
    if (known.size >= MAX_TOPICS) known = new Map();
    known.set(topic, answer);
    return answer;
  };
}

/** Whether every topic of `inner` is one of `outer`. */
export function includes(outer: string, inner: string): boolean {
  if (outer === inner) return true;
  const wide = outer.split('/');
  const narrow = inner.split('/');
  for (const [position, level] of wide.entries()) {
    if (level === '#') return position > 0 || !inner.startsWith('$');
    const other = narrow[position];
    if (other === undefined || other === '#') return false;
    if (level === '+' ? position === 0 && other.startsWith('$') : level !== other) return false;
  }
  return wide.length === narrow.length;
}

/** Whether some topic belongs to both filters. */
export function overlap(a: string, b: string): boolean {
  if (!/[+#]/.test(a)) return filterMatches(b, a);
  if (!/[+#]/.test(b)) return filterMatches(a, b);
  const one = a.split('/');
  const two = b.split('/');
  for (let position = 0; ; position += 1) {
    const left = one[position];
    const right = two[position];
    if (left === '#' || right === '#') return true;
    if (left === undefined || right === undefined) return left === right;
    if (left !== '+' && right !== '+' && left !== right) return false;
  }
}
