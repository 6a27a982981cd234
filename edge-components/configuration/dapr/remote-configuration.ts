/**
 * Configuration items that another sidecar keeps (Dapr configuration API). While it cannot be reached, the last good
 * answer is served from the encrypted copy. Subscribers are told of changes by asking at a steady pace, since Dapr
 * pushes over HTTP only to an app of its own; an outage changes nothing for them.
 */

import type { Timer } from '../../../runtime/contracts/clock.ts';
import type { ComponentDeps } from '../../../runtime/contracts/component.ts';
import type {
  ConfigurationItem,
  ConfigurationItems,
  ConfigurationStore,
} from '../../../runtime/contracts/configuration-store.ts';
import { errorText } from '../../../runtime/contracts/error.ts';
import type { ConnectionItems } from '../../drivers/dapr-api/connection-items.ts';
import { createFarSidecar, farJson, isOutage, metadataQuery } from '../../drivers/dapr-api/far-sidecar.ts';
import { createKeptCopy } from '../../drivers/dapr-api/kept-copy.ts';

export interface RemoteConfigurationItems extends ConnectionItems {
  readonly keepCopy: boolean;
  /** Milliseconds. */
  readonly pollInterval: number;
}

type Metadata = Readonly<Record<string, string>>;

export function createRemoteConfiguration(
  items: RemoteConfigurationItems,
  deps: ComponentDeps,
): ConfigurationStore {
  const far = createFarSidecar(items, deps);
  const kept = items.keepCopy ? createKeptCopy(deps) : undefined;
  const closing = new AbortController();

  const ask = async (
    keys: readonly string[],
    metadata: Metadata,
    signal: AbortSignal,
  ): Promise<ConfigurationItems> => {
    const query = metadataQuery(metadata);
    for (const key of keys) query.append('key', key);
    const answer = await far.call({
      method: 'GET',
      path: ['v1.0', 'configuration', far.remoteName],
      query,
      signal,
    });
    const found = itemsOf(farJson(answer));
    await kept?.keep(entryOf(keys), JSON.stringify(found));
    return found;
  };

  return {
    init: async () => {
      await far.open();
      await kept?.open();
    },
    close: async () => {
      closing.abort(new Error(`component ${deps.componentName} is closing`));
      far.close();
      await kept?.close();
    },
    get: async (keys, metadata, signal) => {
      try {
        return await ask(keys, metadata, signal);
      } catch (error) {
        const copy = isOutage(error) ? kept?.read(entryOf(keys)) : undefined;
        if (copy === undefined) throw error;
        deps.log.warn(
          `${deps.componentName}: serving the copy kept ${Math.round(copy.ageMs / 1000)} s ago: ${errorText(error)}`,
        );
        return JSON.parse(copy.text) as ConfigurationItems;
      }
    },
    subscribe: async (keys, metadata, changed) => {
      const watch = createWatch({
        known: kept?.read(entryOf(keys))?.text,
        ask: () => ask(keys, metadata, closing.signal),
        changed,
        again: (look) => {
          if (!closing.signal.aborted) return deps.clock.startTimer(items.pollInterval, look, true);
          return undefined;
        },
        trouble: (error) =>
          deps.log.warn(`${deps.componentName}: watching the configuration: ${errorText(error)}`),
      });
      await watch.look();
      return { close: async () => watch.end() };
    },
  };
}

interface WatchOptions {
  /** JSON of what the subscriber knows from before. */
  readonly known: string | undefined;
  readonly ask: () => Promise<ConfigurationItems>;
  readonly changed: (items: ConfigurationItems) => void;
  readonly again: (look: () => void) => Timer | undefined;
  /** Told once per outage. */
  readonly trouble: (error: unknown) => void;
}

function createWatch(options: WatchOptions): { look(): Promise<void>; end(): void } {
  let known: ConfigurationItems | undefined =
    options.known === undefined ? undefined : (JSON.parse(options.known) as ConfigurationItems);
  let timer: Timer | undefined;
  let ended = false;
  let troubled = false;
  const look = async (): Promise<void> => {
    try {
      const found = await options.ask();
      const news = known === undefined ? {} : differences(known, found);
      known = found;
      troubled = false;
      if (!ended && Object.keys(news).length > 0) options.changed(news);
    } catch (error) {
      if (!troubled && !ended) options.trouble(error);
      troubled = true;
    }
    timer = ended ? undefined : options.again(() => void look());
  };
  return {
    look,
    end: () => {
      ended = true;
      timer?.cancel();
    },
  };
}

const entryOf = (keys: readonly string[]): string => JSON.stringify([...keys].sort());

/** What `found` has that `known` had not, or had otherwise; a key that is gone arrives with an empty value. */
function differences(
  known: ConfigurationItems,
  found: ConfigurationItems,
): Record<string, ConfigurationItem> {
  const news: Record<string, ConfigurationItem> = {};
  for (const [key, item] of Object.entries(found)) {
    if (JSON.stringify(known[key]) !== JSON.stringify(item)) news[key] = item;
  }
  for (const key of Object.keys(known)) {
    if (!Object.hasOwn(found, key)) news[key] = { value: '', version: '', metadata: {} };
  }
  return news;
}

function itemsOf(parsed: unknown): ConfigurationItems {
  if (typeof parsed !== 'object' || parsed === null) return {};
  return Object.fromEntries(
    Object.entries(parsed as Record<string, Partial<ConfigurationItem>>).map(([key, item]) => [
      key,
      { value: item.value ?? '', version: item.version ?? '', metadata: item.metadata ?? {} },
    ]),
  );
}
