/** What changed between two readings of the resource folders, by specification. No I/O. */

import { isDeepStrictEqual } from 'node:util';
import type { ResourceOrigin } from '../contracts/resource.ts';
import type { LoadedResources } from './load.ts';

export interface Difference<T> {
  readonly removed: readonly T[];
  /** In their new form. */
  readonly changed: readonly T[];
  readonly added: readonly T[];
}

interface Named {
  readonly kind: string;
  readonly name: string;
  readonly origin: ResourceOrigin;
}

/** Members that decide where a resource comes from and whom it concerns, not what it says. */
const NOT_SPEC = { origin: undefined, namespace: undefined, scopes: undefined };

/** Compares resources of one kind; a resource that only moved to another file is the same. */
export function difference<T extends Named>(running: readonly T[], wanted: readonly T[]): Difference<T> {
  const before = new Map(running.map((resource) => [resource.name, resource]));
  const after = new Set(wanted.map((resource) => resource.name));
  const known = wanted.filter((resource) => before.has(resource.name));
  return {
    removed: running.filter((resource) => !after.has(resource.name)),
    changed: known.filter((resource) => !sameSpec(before.get(resource.name), resource)),
    added: wanted.filter((resource) => !before.has(resource.name)),
  };
}

function sameSpec(a: Named | undefined, b: Named): boolean {
  return isDeepStrictEqual({ ...a, ...NOT_SPEC }, { ...b, ...NOT_SPEC });
}

/**
 * `now`, except that a file with a broken document keeps what it gave `before`: somebody is in the middle of writing it,
 * and half of a file is not what they mean.
 */
export function keepBrokenFiles(before: LoadedResources, now: LoadedResources): LoadedResources {
  const broken = new Set(
    now.faults.flatMap((fault) => (fault.reason === 'broken' ? [fault.origin.file] : [])),
  );
  if (broken.size === 0) return now;
  const keep = <T extends Named>(earlier: readonly T[], current: readonly T[]): readonly T[] => {
    const sound = current.filter(({ origin }) => !broken.has(origin.file));
    const names = new Set(sound.map(({ name }) => name));
    return [...sound, ...earlier.filter(({ origin, name }) => broken.has(origin.file) && !names.has(name))];
  };
  return {
    components: keep(before.components, now.components),
    subscriptions: keep(before.subscriptions, now.subscriptions),
    httpEndpoints: keep(before.httpEndpoints, now.httpEndpoints),
    resiliencies: keep(before.resiliencies, now.resiliencies),
    syncs: keep(before.syncs, now.syncs),
    configurations: keep(before.configurations, now.configurations),
    faults: now.faults,
  };
}
