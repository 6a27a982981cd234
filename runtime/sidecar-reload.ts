/**
 * Hot reload (CLI reference, section 10): reads the resource folders again when they change and brings what runs into
 * line. Components and subscriptions change in place; HTTPEndpoints, Resiliency, Sync and Configuration documents take a
 * restart of the sidecar inside the process. A file that is broken keeps what it gave before.
 */

import type { InputBindings } from './building-blocks/bindings/input.ts';
import { type ComponentHost, isSecretStore } from './components/host.ts';
import { normaliseVersion } from './components/registry.ts';
import type { Clock, Timer } from './contracts/clock.ts';
import type { LoadedComponent } from './contracts/component-source.ts';
import { errorText } from './contracts/error.ts';
import type { Logger } from './contracts/logger.ts';
import type { ComponentResource, SubscriptionResource } from './contracts/resource.ts';
import type { SidecarOptions } from './flags.ts';
import { difference, keepBrokenFiles } from './resources/difference.ts';
import { faultText } from './resources/documents.ts';
import { type LoadedResources, loadResources } from './resources/load.ts';
import { type FolderWatch, watchFolders } from './resources/watch.ts';

export interface ReloadParts {
  readonly options: Pick<SidecarOptions, 'appId' | 'resourcePaths' | 'reloadIntervalMs'>;
  /** `NAMESPACE`, when set. */
  readonly namespace: string | undefined;
  /** `HotReload` turns it off; it is on by default. */
  readonly features: Readonly<Record<string, boolean>>;
  /** What the sidecar was started with. */
  readonly loaded: LoadedResources;
  /** Where the subscriptions in force are put. */
  readonly live: { subscriptions: readonly SubscriptionResource[] };
  readonly host: Pick<ComponentHost, 'load' | 'unload' | 'settled'>;
  readonly subscriptions: { reload(): Promise<void> };
  readonly inputs: Pick<InputBindings, 'reload'>;
  readonly clock: Clock;
  readonly log: Logger;
  /** Asks for a restart of this sidecar; returns at once. */
  readonly restart: () => void;
  /** The sidecar cannot go on. */
  readonly fail: (error: unknown) => void;
  /** Reads the folders; default `loadResources`. */
  readonly read?: typeof loadResources;
}

export interface Reload {
  /** Watches from now on; throws when a folder cannot be watched. */
  start(): void;
  /** Resolves when nothing is being changed any more. */
  close(): Promise<void>;
}

const DEFAULT_INTERVAL_MS = 60_000;
/** Folders are read once more soon after the start: for what was written between their first reading and the watch. */
const SECOND_READING_MS = 1000;

export function createReload(parts: ReloadParts): Reload {
  const { options, host, log, live } = parts;
  const directories = options.resourcePaths;
  const closing = new AbortController();
  let current = parts.loaded;
  let told = new Set(parts.loaded.faults.map(faultText));
  let watching: FolderWatch | undefined;
  let secondReading: Timer | undefined;
  let running: Promise<void> | undefined;
  let again = false;
  /** The next reading also tries components again whose failure was ignored. */
  let retry = false;

  const stop = (): void => {
    watching?.close();
    secondReading?.cancel();
    closing.abort(new Error('hot reload has ended'));
  };
  const fail = (error: unknown): void => {
    stop();
    parts.fail(error);
  };

  /** What is in the folders now; `undefined` when nothing is to be done about it. */
  const read = async (): Promise<LoadedResources | undefined> => {
    const { appId } = options;
    const now = await (parts.read ?? loadResources)({ directories, appId, namespace: parts.namespace });
    if (closing.signal.aborted) return undefined;
    const texts = new Set(now.faults.map(faultText));
    for (const text of texts) if (!told.has(text)) log.warn(`A resource is not as it should be: ${text}`);
    told = texts;
    const clashes = now.faults.filter((fault) => fault.reason === 'duplicate' && fault.fatal);
    if (clashes.length > 0) {
      const messages = clashes.map((fault) => fault.message).join('\n');
      fail(new Error(`failed to load resources from disk: ${messages}`));
      return undefined;
    }
    if (now.faults.some((fault) => fault.reason === 'folder')) return undefined;
    return keepBrokenFiles(current, now);
  };

  /** Whether resources changed that a running sidecar cannot take; says which. */
  const needsRestart = (wanted: LoadedResources): boolean => {
    let found = false;
    for (const kind of ['configurations', 'httpEndpoints', 'resiliencies', 'syncs'] as const) {
      const { removed, changed, added } = difference<(typeof wanted)[typeof kind][number]>(
        current[kind],
        wanted[kind],
      );
      const events = { DELETED: removed, UPDATED: changed, CREATED: added };
      for (const [event, resources] of Object.entries(events)) {
        for (const { kind: name, name: resource } of resources) {
          log.info(`Received ${name} ${event} event: ${resource} - triggering SIGHUP reload`);
          found = true;
        }
      }
    }
    return found;
  };

  /** Ends what uses a component that was taken out of the store. */
  const drain = async ({ category }: LoadedComponent): Promise<void> => {
    if (category === 'pubsub') await parts.subscriptions.reload();
    if (category === 'bindings') await parts.inputs.reload();
  };
  const close = async (resource: ComponentResource): Promise<void> => {
    log.info(`Closing existing Component to reload: ${title(resource)}`);
    await host.unload(resource.name, drain);
  };
  const load = async (resource: ComponentResource): Promise<void> => {
    if (closing.signal.aborted) return;
    log.info(`Adding Component for processing: ${title(resource)}`);
    try {
      await host.load(resource, closing.signal);
    } catch (error) {
      if (closing.signal.aborted) return;
      log.error(`Error processing component, daprd will exit gracefully: ${errorText(error)}`);
      throw error;
    }
    await parts.inputs.reload();
    log.info(`Component updated: ${title(resource)}`);
  };
  const changeComponents = async (
    running: readonly ComponentResource[],
    wanted: readonly ComponentResource[],
  ): Promise<void> => {
    const { removed, changed, added } = difference(running, wanted);
    await Promise.all(removed.map((resource) => host.unload(resource.name, drain)));
    for (const resource of secretStoresFirst(changed)) {
      await close(resource);
      await load(resource);
    }
    for (const resource of secretStoresFirst(added)) await load(resource);
  };

  const changeSubscriptions = (wanted: readonly SubscriptionResource[]): void => {
    const { removed, changed, added } = difference(live.subscriptions, wanted);
    if (removed.length + changed.length + added.length === 0) return;
    const unchanged = wanted.filter((resource) => !changed.includes(resource) && !added.includes(resource));
    // In the order Dapr lists them: what changed moves to the end.
    live.subscriptions = [...unchanged, ...changed, ...added];
    for (const { name } of [...removed, ...changed])
      log.info(`Closing existing Subscription to reload: ${name}`);
    for (const { name } of [...changed, ...added]) log.info(`Adding Subscription for processing: ${name}`);
    // Not waited for: a delivery in flight must not hold up further changes.
    parts.subscriptions
      .reload()
      .catch((error) => log.error(`Failed to change subscriptions: ${errorText(error)}`));
  };

  const apply = async (): Promise<void> => {
    const tryAgain = retry;
    retry = false;
    const wanted = await read();
    if (wanted === undefined) return;
    const before = current;
    if (needsRestart(wanted)) {
      if (!wanted.faults.some((fault) => fault.fatal)) {
        stop();
        parts.restart();
        return;
      }
      log.error('No restart while a resource is broken: what runs now is kept');
      const { configurations, httpEndpoints, resiliencies, syncs } = before;
      current = { ...wanted, configurations, httpEndpoints, resiliencies, syncs };
    } else {
      current = wanted;
    }
    changeSubscriptions(wanted.subscriptions);
    await changeComponents(tryAgain ? host.settled() : before.components, wanted.components);
  };

  const run = async (): Promise<void> => {
    do {
      again = false;
      await apply();
    } while (again && !closing.signal.aborted);
  };
  const reload = (): void => {
    again = true;
    if (running !== undefined || closing.signal.aborted) return;
    running = run()
      .catch(fail)
      .finally(() => {
        running = undefined;
      });
  };

  return {
    start: () => {
      if (directories.length === 0) return;
      if (parts.features['HotReload'] === false) {
        log.debug('Hot reloading disabled');
        return;
      }
      log.info(`Watching directories: [${directories.join(', ')}]`);
      const intervalMs = options.reloadIntervalMs <= 0 ? DEFAULT_INTERVAL_MS : options.reloadIntervalMs;
      const changed = (): void => {
        retry = true;
        reload();
      };
      watching = watchFolders({ directories, clock: parts.clock, log, intervalMs, changed });
      secondReading = parts.clock.startTimer(SECOND_READING_MS, reload, true);
      log.info(
        "Hot reloading enabled. Daprd will reload 'Component', 'Subscription', 'Configuration', 'HTTPEndpoint' and 'Resiliency' resources when they are added, updated or deleted.",
      );
    },
    close: async () => {
      stop();
      await running;
    },
  };
}

function title({ name, type, version }: ComponentResource): string {
  return `${name} (${type}/${normaliseVersion(version)})`;
}

function secretStoresFirst(resources: readonly ComponentResource[]): readonly ComponentResource[] {
  return [...resources.filter(isSecretStore), ...resources.filter((resource) => !isSecretStore(resource))];
}
