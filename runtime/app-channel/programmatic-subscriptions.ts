/**
 * The app's answer to `/dapr/subscribe` (HTTP reference, section 8.1) as subscriptions. An item that cannot be used is
 * left out with a log line and costs the others nothing.
 */

import type { Logger } from '../contracts/logger.ts';
import type { BulkSubscribe, ProgrammaticSubscription, RouteRule } from '../contracts/resource.ts';

type Json = Readonly<Record<string, unknown>>;

export const DEFAULT_BULK: BulkSubscribe = Object.freeze({
  enabled: false,
  maxMessagesCount: 0,
  maxAwaitDurationMs: 0,
});

/** Subscriptions of the parsed answer; a value that is no list gives none. */
export function parseSubscriptions(answer: unknown, log: Logger): ProgrammaticSubscription[] {
  if (answer === null || answer === undefined) return [];
  if (!Array.isArray(answer)) {
    log.error('app answered /dapr/subscribe with something else than a JSON array');
    return [];
  }
  const subscriptions: ProgrammaticSubscription[] = [];
  for (const [index, item] of answer.entries()) {
    try {
      subscriptions.push(parseItem(item));
    } catch (cause) {
      log.error(`skipping item ${index} of /dapr/subscribe: ${(cause as Error).message}`);
    }
  }
  return subscriptions;
}

function parseItem(item: unknown): ProgrammaticSubscription {
  if (!isObject(item)) throw new Error('expected an object');
  const rules = parseRules(item);
  if (rules.length === 0) {
    throw new Error(`topic '${text(item, 'topic')}' in pubsub '${text(item, 'pubsubname')}' has no route`);
  }
  return {
    pubsubName: text(item, 'pubsubname'),
    topic: text(item, 'topic'),
    metadata: stringMap(member(item, 'metadata')),
    rules,
    deadLetterTopic: text(item, 'deadLetterTopic'),
    bulk: parseBulk(member(item, 'bulkSubscribe')),
  };
}

/** `routes.rules`, then `routes.default`; `route` only where there is no default. */
function parseRules(item: Json): RouteRule[] {
  const rules: RouteRule[] = [];
  const routes = member(item, 'routes');
  if (routes !== undefined && routes !== null && !isObject(routes))
    throw new Error("'routes' must be an object");
  const listed = isObject(routes) ? member(routes, 'rules') : undefined;
  if (Array.isArray(listed)) {
    for (const rule of listed) {
      if (!isObject(rule)) throw new Error("'routes.rules' must hold objects");
      rules.push({ match: text(rule, 'match').trim(), path: text(rule, 'path') });
    }
  }
  const fallback = (isObject(routes) ? text(routes, 'default') : '') || text(item, 'route');
  if (fallback !== '') rules.push({ match: '', path: fallback });
  return rules;
}

function parseBulk(value: unknown): BulkSubscribe {
  if (!isObject(value)) return DEFAULT_BULK;
  return {
    enabled: member(value, 'enabled') === true,
    maxMessagesCount: count(value, 'maxMessagesCount'),
    maxAwaitDurationMs: count(value, 'maxAwaitDurationMs'),
  };
}

function isObject(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Member by name; like Go's decoder another letter case is taken when the exact one is missing. */
function member(object: Json, name: string): unknown {
  if (Object.hasOwn(object, name)) return object[name];
  const lower = name.toLowerCase();
  const key = Object.keys(object).find((candidate) => candidate.toLowerCase() === lower);
  return key === undefined ? undefined : object[key];
}

function text(object: Json, name: string): string {
  const value = member(object, name);
  if (value === undefined || value === null) return '';
  if (typeof value !== 'string') throw new Error(`'${name}' must be a string`);
  return value;
}

function count(object: Json, name: string): number {
  const value = member(object, name);
  if (value === undefined || value === null) return 0;
  if (typeof value !== 'number' || !Number.isFinite(value)) throw new Error(`'${name}' must be a number`);
  return Math.max(0, Math.trunc(value));
}

function stringMap(value: unknown): Readonly<Record<string, string>> {
  if (value === undefined || value === null) return {};
  if (!isObject(value)) throw new Error("'metadata' must be an object");
  const map: Record<string, string> = {};
  for (const [key, entry] of Object.entries(value)) {
    if (typeof entry !== 'string') throw new Error(`'metadata.${key}' must be a string`);
    map[key] = entry;
  }
  return map;
}
