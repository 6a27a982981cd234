/** The resource folders of an app, with the faults that only show when all resources are seen together. */

import { syncFaults } from './building-blocks/sync/check.ts';
import { type LoadedResources, type LoadOptions, loadResources } from './resources/load.ts';

/** As `loadResources`. */
export async function readResources(options: LoadOptions): Promise<LoadedResources> {
  const loaded = await loadResources(options);
  if (loaded.syncs.length === 0) return loaded;
  return { ...loaded, faults: [...loaded.faults, ...syncFaults(loaded)] };
}
