/**
 * The names that a request touches within a component: keys, topics, resources. Go's decoder takes members in any letter case
 * and the last of several; so what was judged is written anew, and a member that only nearly has the name is refused.
 */

import { parseVerbatim } from '../contracts/exact-json.ts';
import type { SidecarRequest } from './sidecar-message.ts';
import type { Asked } from './sidecar-operations.ts';

export interface Touched {
  readonly names: readonly string[];
  /** In place of the one that came, where it was looked into. */
  readonly body?: Uint8Array;
}

type Members = Readonly<Record<string, unknown>>;

/** `undefined` where it does not show which. */
export function touchedBy(asked: Asked, { method, body }: SidecarRequest): Touched | undefined {
  const { operation, rest, path } = asked;
  const [first = ''] = rest;
  switch (operation) {
    case 'publish':
      return { names: [rest.join('/')] };
    case 'secrets':
      return first === 'bulk' ? undefined : { names: [first] };
    case 'configuration':
      return fromQuery(path);
    case 'lock':
      return fromBody(body, (value) => [textOf(value, 'resourceId')]);
    case 'state':
      if (method === 'GET' || method === 'DELETE') return { names: [first] };
      if (first === '') return fromBody(body, (value) => listOf(value).map((item) => textOf(item, 'key')));
      if (first === 'bulk') return fromBody(body, (value) => listOf(memberOf(value, 'keys')).map(text));
      if (first === 'transaction')
        return fromBody(body, (value) =>
          listOf(memberOf(value, 'operations')).map((item) => textOf(memberOf(item, 'request'), 'key')),
        );
      return undefined;
    default:
      return undefined;
  }
}

function fromQuery(path: string): Touched | undefined {
  const cut = path.indexOf('?');
  const keys = cut < 0 ? [] : new URLSearchParams(path.slice(cut)).getAll('key');
  // Without keys all of them are asked for.
  return keys.length === 0 ? undefined : { names: keys };
}

function fromBody(body: Uint8Array, names: (value: unknown) => readonly string[]): Touched | undefined {
  try {
    const value = parseVerbatim(Buffer.from(body.buffer, body.byteOffset, body.byteLength).toString());
    return { names: names(value), body: Buffer.from(JSON.stringify(value)) };
  } catch {
    return undefined;
  }
}

const folded = (name: string): string => name.toUpperCase().toLowerCase();

/** A member by its very name; throws where another one would be taken for it. */
function memberOf(value: unknown, name: string): unknown {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new Error('expected an object');
  const wanted = folded(name);
  for (const known of Object.keys(value))
    if (known !== name && folded(known) === wanted) throw new Error(`${known} is not ${name}`);
  return Object.hasOwn(value, name) ? (value as Members)[name] : undefined;
}

function textOf(value: unknown, name: string): string {
  return text(memberOf(value, name));
}

function text(value: unknown): string {
  if (typeof value !== 'string') throw new Error('expected a text');
  return value;
}

function listOf(value: unknown): readonly unknown[] {
  if (!Array.isArray(value)) throw new Error('expected a list');
  return value;
}
