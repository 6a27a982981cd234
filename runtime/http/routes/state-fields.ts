/** Members that saves and transactions share: values, options, metadata (Dapr HTTP reference, section 6.2). */

import type { StringMap } from '../../contracts/blocks.ts';
import { goJson } from '../../contracts/go-json.ts';
import type { StateOptions, StateValue } from '../../contracts/state-store.ts';
import { asText, pickMembers } from '../json-fields.ts';

const NO_OPTIONS: StateOptions = { concurrency: '', consistency: '' };

/** A value as the stores keep it: compact JSON text; a missing one is `null`. */
export function stateValue(value: unknown): StateValue {
  return { bytes: Buffer.from(goJson(value), 'utf8'), json: true };
}

/** Metadata of an item with the query's put over it. */
export function mergedMetadata(own: StringMap, query: StringMap): StringMap {
  return Object.keys(query).length === 0 ? own : { ...own, ...query };
}

/** `concurrency` and `consistency`; their words are checked by the store. */
export function decodeOptions(value: unknown): StateOptions {
  if (value === undefined || value === null) return NO_OPTIONS;
  const { concurrency, consistency } = pickMembers(value, 'options', ['concurrency', 'consistency']);
  return {
    concurrency: asText(concurrency, 'options.concurrency') ?? '',
    consistency: asText(consistency, 'options.consistency') ?? '',
  };
}
