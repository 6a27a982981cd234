/** Loads resources from files that a test writes out. */

import type { Test } from 'tap';
import { faultText } from '../../../runtime/resources/documents.ts';
import { type LoadedResources, type LoadOptions, loadResources } from '../../../runtime/resources/load.ts';

/** A component document. */
export const component = (name: string, more = '', spec = 'type: state.in-memory, version: v1'): string =>
  `apiVersion: dapr.io/v1alpha1\nkind: Component\nmetadata: {name: ${name}}\nspec: {${spec}}\n${more}\n`;

/** What was loaded, with faults as texts that name the file without its folder. */
export async function load(
  t: Test,
  files: Readonly<Record<string, string>>,
  options: Partial<LoadOptions> = {},
): Promise<
  LoadedResources & {
    readonly dir: string;
    readonly texts: readonly string[];
    readonly fatal: number;
    readonly names: readonly string[];
  }
> {
  const dir = t.testdir(files as Record<string, string>);
  const loaded = await loadResources({ directories: [dir], appId: 'app', namespace: undefined, ...options });
  return {
    ...loaded,
    dir,
    texts: loaded.faults.map((fault) => faultText(fault).replace(`${dir}/`, '')),
    fatal: loaded.faults.filter((fault) => fault.fatal).length,
    names: loaded.components.map(({ name }) => name),
  };
}
