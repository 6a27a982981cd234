/**
 * The life of components: secret stores first, then the rest in file order; look up, resolve references, decode
 * metadata, create, init under its timeout, enter the store. Every fault names file, component, phase and item;
 * `ignoreErrors` is honoured here and nowhere else.
 */

import type { Clock } from '../contracts/clock.ts';
import type {
  AnyComponentDefinition,
  Category,
  ComponentDeps,
  ComponentInstance,
} from '../contracts/component.ts';
import type { LoadedComponent } from '../contracts/component-source.ts';
import { formatGoDuration } from '../contracts/duration.ts';
import { errorText } from '../contracts/error.ts';
import type { Logger } from '../contracts/logger.ts';
import { decodeMetadata } from '../contracts/metadata.ts';
import type { Metrics } from '../contracts/metrics.ts';
import type { ComponentResource } from '../contracts/resource.ts';
import { type ItemSources, resolveItems } from './metadata-items.ts';
import { IncorrectTypeError, normaliseVersion, type Registry } from './registry.ts';
import type { ComponentStore } from './store.ts';

export interface ComponentHostOptions {
  readonly registry: Registry;
  readonly store: ComponentStore;
  readonly log: Logger;
  readonly metrics: Metrics;
  readonly sources: Omit<ItemSources, 'secret' | 'log'>;
  /** Types (`type` or `type/version`, lower case) the Configuration denies. */
  readonly denied: readonly string[];
  readonly deps: (componentName: string) => ComponentDeps;
}

/** A component that could not start; `message` is Dapr's wording. */
export class ComponentFailure extends Error {
  override readonly name = 'ComponentFailure';
  readonly resource: ComponentResource;
  /** `reason` label of the failure metric. */
  readonly phase: 'creation' | 'init';
  constructor(
    resource: ComponentResource,
    phase: 'INCORRECT_TYPE' | 'INIT_COMPONENT_FAILURE' | 'CREATE_COMPONENT_FAILURE' | 'INIT_FAILURE',
    reason: string,
  ) {
    const version = normaliseVersion(resource.version);
    const what = phase === 'CREATE_COMPONENT_FAILURE' ? 'creation' : 'initialization';
    const detail =
      phase === 'INCORRECT_TYPE'
        ? reason
        : `[${phase}]: ${what} error occurred for ${resource.name} (${resource.type}/${version}): ${reason}`;
    super(`process component ${resource.name} error: ${detail} [${resource.origin.file}]`);
    this.resource = resource;
    this.phase = phase === 'CREATE_COMPONENT_FAILURE' || phase === 'INCORRECT_TYPE' ? 'creation' : 'init';
  }
}

export interface ComponentHost {
  /** Starts all; rejects with the first failure that is not ignored, after closing what was started. */
  loadAll(resources: readonly ComponentResource[], signal: AbortSignal): Promise<void>;
  load(resource: ComponentResource, signal: AbortSignal): Promise<void>;
  /** Removes one component and closes it after `drain`, which ends what others do with it. */
  unload(name: string, drain?: (component: LoadedComponent) => Promise<void>): Promise<void>;
  /** Resources that need nothing: loaded, denied or waiting for their secret store. A failed one is not among them. */
  settled(): readonly ComponentResource[];
  closeAll(): Promise<void>;
}

/** Secret stores start before everything that may refer to them. */
export function isSecretStore(resource: ComponentResource): boolean {
  return resource.type.toLowerCase().startsWith('secretstores.');
}

export function createComponentHost(options: ComponentHostOptions): ComponentHost {
  const { store, log, metrics } = options;
  /** Resources whose secret store is not there (yet). */
  const waiting = new Map<string, ComponentResource>();
  const settled = new Map<string, ComponentResource>();

  const isDenied = (resource: ComponentResource): boolean => {
    const type = resource.type.toLowerCase();
    return options.denied.some(
      (entry) =>
        entry.toLowerCase() === type ||
        entry.toLowerCase() === `${type}/${normaliseVersion(resource.version)}`,
    );
  };

  const itemsOf = (resource: ComponentResource): Promise<Readonly<Record<string, string>>> => {
    const secrets = store.get('secretstores', resource.secretStore);
    return resolveItems(resource.metadata, `component ${resource.name}`, {
      ...options.sources,
      log,
      ...(secrets === undefined
        ? {}
        : {
            secret: (name: string) =>
              secrets.instance.get(name, {}, AbortSignal.timeout(resource.initTimeoutMs)),
          }),
    });
  };

  const start = async (resource: ComponentResource, signal: AbortSignal): Promise<LoadedComponent> => {
    let definition: AnyComponentDefinition;
    try {
      definition = await options.registry.find(resource.type, resource.version, signal);
    } catch (error) {
      const phase = error instanceof IncorrectTypeError ? 'INCORRECT_TYPE' : 'CREATE_COMPONENT_FAILURE';
      throw new ComponentFailure(resource, phase, errorText(error));
    }
    const items = await itemsOf(resource).catch((error) => {
      throw new ComponentFailure(resource, 'INIT_FAILURE', errorText(error));
    });
    const decoded = decodeMetadata(definition.metadata, items);
    if (!decoded.ok)
      throw new ComponentFailure(resource, 'INIT_COMPONENT_FAILURE', decoded.faults.join('; '));
    for (const item of decoded.unknown) {
      log.warn(
        `component ${resource.name} (${resource.type}): metadata item '${item}' is not known and has no effect (known: ${definition.metadata.names.join(', ')}) [${resource.origin.file}]`,
      );
    }
    const deps = options.deps(resource.name);
    let instance: LoadedComponent['instance'];
    try {
      instance = definition.create(decoded.value, deps) as LoadedComponent['instance'];
    } catch (error) {
      throw new ComponentFailure(resource, 'CREATE_COMPONENT_FAILURE', errorText(error));
    }
    try {
      await initWithin(instance, resource, signal, deps.clock);
    } catch (error) {
      await instance
        .close()
        .catch((cause: Error) => log.debug(`closing ${resource.name} after a failed init`, { error: cause }));
      throw new ComponentFailure(resource, 'INIT_COMPONENT_FAILURE', errorText(error));
    }
    return {
      name: resource.name,
      category: definition.category as Category,
      type: resource.type,
      version: resource.version,
      metadata: items,
      capabilities: capabilitiesOf(definition, instance),
      instance,
      namespaceScoped: resource.metadata.some((entry) => entry.value?.includes('{namespace}') === true),
      secretNames: Object.fromEntries(
        resource.metadata.flatMap((entry) =>
          entry.secretKeyRef === undefined ? [] : [[entry.name, entry.secretKeyRef.name]],
        ),
      ),
    };
  };

  const load = async (resource: ComponentResource, signal: AbortSignal): Promise<void> => {
    if (isDenied(resource)) {
      log.warn(
        `component ${resource.name} of type ${resource.type} is denied by the Configuration and was not loaded`,
      );
      settled.set(resource.name, resource);
      return;
    }
    const needsSecret = resource.metadata.some(
      (entry) => entry.secretKeyRef !== undefined && (entry.value ?? '') === '',
    );
    if (
      needsSecret &&
      resource.secretStore !== '' &&
      store.get('secretstores', resource.secretStore) === undefined
    ) {
      waiting.set(resource.name, resource);
      settled.set(resource.name, resource);
      log.warn(
        `component ${resource.name} waits for the secret store ${resource.secretStore}, which is not loaded [${resource.origin.file}]`,
      );
      return;
    }
    try {
      const component = await start(resource, signal);
      settled.set(resource.name, resource);
      store.add(component);
      metrics.count('runtime_component_loaded', {});
      metrics.count('runtime_component_init_total', { component: resource.type });
      log.info(`Component loaded: ${resource.name} (${resource.type}/${normaliseVersion(resource.version)})`);
    } catch (error) {
      const reason = error instanceof ComponentFailure ? error.phase : 'init';
      metrics.count('runtime_component_init_fail_total', {
        component: resource.type,
        componentName: resource.name,
        reason,
      });
      settled.delete(resource.name);
      if (!resource.ignoreErrors) throw error;
      log.error(`Ignoring error processing component: ${errorText(error)}`);
      return;
    }
    for (const dependent of [...waiting.values()].filter(
      (candidate) => candidate.secretStore === resource.name,
    )) {
      waiting.delete(dependent.name);
      await load(dependent, signal);
    }
  };

  const closeOne = async (component: LoadedComponent): Promise<void> => {
    await component.instance
      .close()
      .catch((error: Error) => log.error(`closing component ${component.name} failed`, { error }));
  };

  const closeAll = async (): Promise<void> => {
    waiting.clear();
    settled.clear();
    const components = store.all();
    for (const component of components) store.remove(component.name);
    await Promise.all(components.map(closeOne));
  };

  return {
    load,
    loadAll: async (resources, signal) => {
      const ordered = [
        ...resources.filter(isSecretStore),
        ...resources.filter((resource) => !isSecretStore(resource)),
      ];
      try {
        for (const resource of ordered) await load(resource, signal);
      } catch (error) {
        await closeAll();
        throw error;
      }
    },
    unload: async (name, drain) => {
      waiting.delete(name);
      settled.delete(name);
      const component = store.remove(name);
      if (component === undefined) return;
      await drain?.(component);
      await closeOne(component);
      log.info(`Component unloaded: ${name}`);
    },
    settled: () => [...settled.values()],
    closeAll,
  };
}

/** `init` under its timeout. One that does not listen to its signal is left behind: the start must go on. */
async function initWithin(
  instance: ComponentInstance,
  resource: ComponentResource,
  signal: AbortSignal,
  clock: Clock,
): Promise<void> {
  const limit = new AbortController();
  const timer = clock.startTimer(resource.initTimeoutMs, () =>
    limit.abort(
      new Error(
        `init timed out for component ${resource.name} exceeded after ${formatGoDuration(resource.initTimeoutMs)}`,
      ),
    ),
  );
  const either = AbortSignal.any([signal, limit.signal]);
  const { promise: aborted, reject } = Promise.withResolvers<never>();
  const abort = (): void => reject(either.reason);
  either.addEventListener('abort', abort, { once: true });
  if (either.aborted) abort();
  try {
    await Promise.race([instance.init(either), aborted]);
  } catch (error) {
    throw limit.signal.aborted ? limit.signal.reason : error;
  } finally {
    timer.cancel();
    either.removeEventListener('abort', abort);
  }
}

/** State stores show `ACTOR` when they have what actors need; bindings show their directions. */
function capabilitiesOf(
  definition: AnyComponentDefinition,
  instance: LoadedComponent['instance'],
): readonly string[] {
  if (definition.category === 'state' && 'features' in instance) {
    const features = [...instance.features];
    return features.includes('ETAG') && features.includes('TRANSACTIONAL')
      ? [...features, 'ACTOR']
      : features;
  }
  if (definition.category === 'bindings') {
    return [
      ...('read' in instance && instance.read !== undefined ? ['INPUT_BINDING'] : []),
      ...('invoke' in instance && instance.invoke !== undefined ? ['OUTPUT_BINDING'] : []),
    ];
  }
  if ('features' in instance) return instance.features;
  return definition.capabilities;
}
