/**
 * Dapr's query API (alpha): checks the form of the query, hands it to the store, takes the prefixes off the keys of the
 * answer. Filters are Dapr's (EQ, NEQ, GT, GTE, LT, LTE, IN, AND, OR); what they select is the store's business.
 */

import type { StateBlock } from '../../contracts/blocks.ts';
import { ComponentVerdictError, errorText, runtimeError } from '../../contracts/error.ts';
import type { StateQuery } from '../../contracts/state-store.ts';
import { callComponent } from '../component-call.ts';
import type { OpenStore, StateBlockDeps } from './state.ts';

const COMPARISONS = new Set(['EQ', 'NEQ', 'GT', 'GTE', 'LT', 'LTE', 'IN']);
/** Deeper filters are refused. */
const MAX_DEPTH = 100;

/** The block's `query`; `open` throws when there is no such store. */
export function createQuery(deps: StateBlockDeps, open: (store: string) => OpenStore): StateBlock['query'] {
  return async (store, body, metadata, call) => {
    const at = open(store);
    const { instance } = at.component;
    if (instance.query === undefined) throw runtimeError('stateQueryNotSupported', { store }, { info: null });
    const fail = (error: string, cause?: unknown): Error =>
      runtimeError('stateQuery', { store, error }, { cause, info: null });
    if (at.cipher !== undefined) throw fail('cannot query encrypted store');
    let query: StateQuery;
    try {
      query = parseQuery(Buffer.from(body).toString('utf8'));
    } catch (error) {
      throw fail(`failed to parse JSON query body: ${errorText(error)}`, error);
    }
    try {
      const result = await callComponent(
        deps,
        'Statestore',
        store,
        'query',
        call,
        async (signal) =>
          (await instance.query?.(query, metadata, signal)) ?? { items: [], token: '', metadata: {} },
      );
      return {
        ...result,
        items: result.items.map((item) => ({ ...item, key: at.keys.fromStored(item.key) })),
      };
    } catch (error) {
      throw error instanceof ComponentVerdictError ? error.asRuntimeError() : fail(errorText(error), error);
    }
  };
}

/** Reads a query text; throws with what is wrong about it. */
export function parseQuery(text: string): StateQuery {
  const body = asObject(JSON.parse(text), 'the query');
  const filter = body['filter'] == null ? {} : asObject(body['filter'], 'filter');
  if (Object.keys(filter).length > 0) checkFilter(filter, 0);
  const sort = body['sort'] ?? [];
  if (!Array.isArray(sort)) throw new Error('sort must be an array');
  const page = body['page'] == null ? {} : asObject(body['page'], 'page');
  const limit = page['limit'] ?? 0;
  if (typeof limit !== 'number' || !Number.isSafeInteger(limit))
    throw new Error('page.limit must be an integer');
  return {
    filter,
    sort: sort.map((entry: unknown, index) => {
      const { key, order } = asObject(entry, `sort[${index}]`);
      return { key: asText(key, `sort[${index}].key`), order: asText(order, `sort[${index}].order`) };
    }),
    page: { limit, token: asText(page['token'], 'page.token') },
  };
}

/** Dapr's texts, which name the unit at fault. */
function checkFilter(unit: unknown, depth: number): void {
  if (depth > MAX_DEPTH) throw new Error('the filter is nested too deeply');
  if (!isObject(unit)) throw new Error('filter unit must be a map');
  const entries = Object.entries(unit);
  const [only] = entries;
  if (only === undefined || entries.length !== 1) throw new Error('filter unit must have a single element');
  const [name, value] = only;
  if (name === 'AND' || name === 'OR') {
    if (!Array.isArray(value)) throw new Error(`${name} filter must be an array`);
    if (value.length < 2) throw new Error(`${name} filter must contain at least two entries`);
    for (const part of value) checkFilter(part, depth + 1);
  } else {
    checkComparison(name, value);
  }
}

function checkComparison(name: string, value: unknown): void {
  if (!COMPARISONS.has(name)) throw new Error(`unsupported filter ${JSON.stringify(name)}`);
  if (!isObject(value)) throw new Error(`${name} filter must be a map`);
  const operands = Object.values(value);
  if (operands.length !== 1) throw new Error(`${name} filter must contain a single key/value pair`);
  if (name === 'IN' && !Array.isArray(operands[0])) throw new Error('IN filter value must be an array');
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function asObject(value: unknown, what: string): Readonly<Record<string, unknown>> {
  if (!isObject(value)) throw new Error(`${what} must be an object`);
  return value;
}

function asText(value: unknown, what: string): string {
  if (value == null) return '';
  if (typeof value !== 'string') throw new Error(`${what} must be a text`);
  return value;
}
