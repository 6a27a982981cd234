/**
 * The access list in the format people know from other brokers: `user <name>` begins the rules of one user, `topic
 * [read|write|readwrite|deny] <filter>` allows or denies, `pattern ...` holds for everybody with %c and %u replaced by
 * client id and user name. `topic` lines before the first `user` are for clients without a name. Nothing is allowed
 * that no line allows.
 */

import { readFile } from 'node:fs/promises';
import { errorText } from '../../runtime/contracts/error.ts';
import { topicFilterFault } from '../drivers/mqtt/topic.ts';

export type AclAccess = 'read' | 'write' | 'readwrite' | 'deny';

export interface AclRule {
  readonly access: AclAccess;
  readonly filter: string;
}

export interface AccessList {
  /** Rules of clients without a name. */
  readonly anonymous: readonly AclRule[];
  readonly users: ReadonlyMap<string, readonly AclRule[]>;
  /** Rules with %c and %u, for everybody. */
  readonly patterns: readonly AclRule[];
}

const ACCESS: ReadonlySet<string> = new Set(['read', 'write', 'readwrite', 'deny']);

/** Reads `path`; every fault names its line. */
export async function readAclFile(path: string): Promise<AccessList> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    throw new Error(`--mqtt-acl-file: cannot read '${path}': ${errorText(error)}`, { cause: error });
  }
  return parseAcl(text, path);
}

export function parseAcl(text: string, path: string): AccessList {
  const users = new Map<string, AclRule[]>();
  const anonymous: AclRule[] = [];
  const patterns: AclRule[] = [];
  let current = anonymous;
  for (const [index, line] of text.split(/\r?\n/).entries()) {
    const [, word, rest = ''] = /^\s*([^#\s]\S*)\s*(.*?)\s*$/.exec(line) ?? [];
    if (word === undefined) continue;
    const fault = (what: string): Error =>
      new Error(`--mqtt-acl-file: line ${index + 1} of '${path}': ${what}`);
    switch (word) {
      case 'topic':
        current.push(rule(rest, fault));
        break;
      case 'pattern':
        patterns.push(rule(rest, fault));
        break;
      case 'user':
        if (rest === '') throw fault('user needs a name');
        current = users.get(rest) ?? [];
        users.set(rest, current);
        break;
      default:
        throw fault(`'${word}' is not one of user, topic, pattern`);
    }
  }
  return { anonymous, users, patterns };
}

function rule(text: string, fault: (what: string) => Error): AclRule {
  const space = text.search(/\s/);
  const first = space < 0 ? '' : text.slice(0, space);
  const named = ACCESS.has(first);
  const filter = named ? text.slice(space).trim() : text;
  const wrong = topicFilterFault(filter);
  if (wrong !== undefined) throw fault(wrong);
  return { access: named ? (first as AclAccess) : 'readwrite', filter };
}
