/**
 * What nodes may ask of the sidecar beside the relay, as the operator says it: an operation (`state`), one for a single component
 * (`state:readings`), or only for names there that begin so (`state:readings/{app}-`; keys, topics, resources of locks), where
 * `{node}` and `{app}` stand for who asks.
 */

import { type Asked, OPERATIONS, type Operation } from './sidecar-operations.ts';

/** Without a word of the operator: neither secrets nor calls in the name of the cloud's sidecar. */
export const DEFAULT_ALLOWED: readonly string[] = [
  'state',
  'publish',
  'subscribe',
  'bindings',
  'configuration',
  'lock',
];

export interface Rule {
  readonly operation: Operation;
  /** Absent: all. */
  readonly component?: string;
  /** Absent: all. */
  readonly prefix?: string;
}
export type AllowList = readonly Rule[];

/** Operations whose requests name what stands in a component. */
const WITH_NAMES: ReadonlySet<Operation> = new Set([
  'state',
  'publish',
  'subscribe',
  'configuration',
  'lock',
  'secrets',
]);
const ENTRY = /^([a-z]+)(?::([^/]+)(?:\/(.+))?)?$/;

/** The rules of a flag's entries; or what is wrong with one. */
export function parseAllowList(entries: readonly string[]): AllowList | string {
  const rules: Rule[] = [];
  for (const entry of entries) {
    const [, word, component, prefix] = ENTRY.exec(entry) ?? [];
    const operation = OPERATIONS.find((known) => known === word);
    if (operation === undefined)
      return `${JSON.stringify(entry)}: expected ${OPERATIONS.join(', ')}, or one of them with a component such as state:statestore`;
    if (prefix !== undefined && !WITH_NAMES.has(operation))
      return `${JSON.stringify(entry)}: ${operation} has no names within a component that could begin so`;
    const unknown = /\{(?!node\}|app\})[^}]*\}?/.exec(prefix ?? '');
    if (unknown !== null) return `${JSON.stringify(entry)}: expected {node} or {app}, got ${unknown[0]}`;
    rules.push({
      operation,
      ...(component === undefined ? {} : { component }),
      ...(prefix === undefined ? {} : { prefix }),
    });
  }
  return rules;
}

/** Whether all of it is allowed, nothing, or only what begins with one of these. */
export function allowedPart(
  list: AllowList,
  { operation, name }: Pick<Asked, 'operation' | 'name'>,
  who: { readonly node: string; readonly app: string },
): 'all' | readonly string[] {
  if (operation === 'health') return 'all';
  const prefixes: string[] = [];
  for (const rule of list) {
    if (rule.operation !== operation || (rule.component ?? name) !== name) continue;
    if (rule.prefix === undefined) return 'all';
    prefixes.push(rule.prefix.replaceAll('{node}', who.node).replaceAll('{app}', who.app));
  }
  return prefixes;
}
