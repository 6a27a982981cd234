/** `--validate`: a start that never listens. Prints every fault of flags, Configuration and resources at once. */

import { catalog } from '../../edge-components/catalog.ts';
import { createRegistry } from '../components/registry.ts';
import { validateComponent } from '../components/validate.ts';
import type { Logger } from '../contracts/logger.ts';
import type { ComponentResource } from '../contracts/resource.ts';
import type { SidecarOptions } from '../flags.ts';
import { systemClock } from '../platform/system-clock.ts';
import { pluggableDefinitions } from '../pluggable/sockets.ts';
import { readResources } from '../read-resources.ts';
import { loadConfiguration } from '../resources/configuration.ts';
import { faultText } from '../resources/documents.ts';
import { securityFaults } from '../sidecar-security.ts';
import { print } from './output.ts';

const nothing = (): void => {};
/** What is wrong is printed by the caller. */
const SILENT: Logger = {
  debug: nothing,
  info: nothing,
  warn: nothing,
  error: nothing,
  fatal: nothing,
  child: () => SILENT,
};

/** True when nothing is wrong. `launched`: by one of our own commands, not as daprd. */
export async function validate(
  sidecars: readonly SidecarOptions[],
  env: Readonly<Record<string, string | undefined>>,
  launched: boolean,
): Promise<boolean> {
  const pluggable = pluggableDefinitions({
    env,
    clock: systemClock(),
    log: SILENT,
    maxMessageBytes: 4 * 1024 * 1024,
    patienceMs: 0,
  });
  const registry = createRegistry(catalog, pluggable);
  const found: string[] = [];
  for (const options of sidecars) {
    const configuration = await loadConfiguration(options.configFiles, env);
    if (configuration.ok)
      found.push(...(await securityFaults(options, configuration.configuration.mtls, env, launched)));
    else found.push(...configuration.faults.map(faultText));
    const resources = await readResources({
      directories: options.resourcePaths,
      appId: options.appId,
      namespace: env['NAMESPACE'],
    });
    found.push(...resources.faults.map(faultText));
    for (const component of resources.components) {
      const faults = [
        ...(await validateComponent(component, registry)),
        ...secretStoreFault(component, resources.components),
      ];
      found.push(
        ...faults.map(
          (fault) =>
            `${component.origin.file} (document ${component.origin.document}): Component ${component.name}: ${fault}`,
        ),
      );
    }
  }
  for (const fault of new Set(found)) print(fault);
  print(found.length === 0 ? 'configuration and resources are valid' : `${new Set(found).size} faults`);
  return found.length === 0;
}

/** A component whose secret store is not there waits for it without end; a start only warns, since it may come later. */
function secretStoreFault(
  component: ComponentResource,
  all: readonly ComponentResource[],
): readonly string[] {
  const { secretStore } = component;
  if (secretStore === '' || !component.metadata.some((item) => item.secretKeyRef !== undefined)) return [];
  const found = all.some(({ name, type }) => name === secretStore && type.startsWith('secretstores.'));
  return found ? [] : [`auth.secretStore: there is no secret store ${secretStore} for this app`];
}
