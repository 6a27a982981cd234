/**
 * State of a far sidecar with copies of what was read or written last: while nobody answers, a key that is known is read
 * from its copy, with the ETag it had. Writes always go to the far side, so a copy never pretends to be a write: a stale
 * ETag is refused there once the link is back. A write whose answer was lost may or may not have happened, so it takes
 * the copies of its keys with it.
 */

import type { ComponentDeps } from '../../../runtime/contracts/component.ts';
import type { StateOperation, StateRecord, StateStore } from '../../../runtime/contracts/state-store.ts';
import { isOutage } from '../../drivers/dapr-api/far-sidecar.ts';
import { createKeptCopy, type KeptCopy } from '../../drivers/dapr-api/kept-copy.ts';

/** The table is trimmed after this many new copies. */
const TRIM_EVERY = 100;
/** Response metadata of a record that came from a copy: its age in seconds. */
export const AGE_ITEM = 'copyAgeSeconds';

export function createCachedState(remote: StateStore, maxEntries: number, deps: ComponentDeps): StateStore {
  const kept = createKeptCopy(deps);
  let since = 0;
  let troubled = false;

  const keep = async (key: string, record: StateRecord | undefined): Promise<void> => {
    if (record === undefined) return await kept.forget(key);
    // What expires over there must not live on here.
    if (record.metadata?.['ttlExpireTime'] !== undefined) return await kept.forget(key);
    const value = Buffer.from(record.value).toString('base64');
    await kept.keep(
      key,
      JSON.stringify({ value, ...(record.etag === undefined ? {} : { etag: record.etag }) }),
    );
    since += 1;
    if (since % TRIM_EVERY === 0) await kept.trim(maxEntries);
  };

  const write = async (operations: readonly StateOperation[], work: () => Promise<void>): Promise<void> => {
    try {
      await work();
    } finally {
      // Together: the writer commits what waits at the same time with one sync.
      await Promise.all(operations.map(({ key }) => kept.forget(key)));
    }
  };

  const { bulkGet, transact } = remote;
  return {
    ...remote,
    init: async (signal) => {
      await kept.open();
      await remote.init(signal);
    },
    close: async () => {
      await remote.close();
      await kept.close();
    },
    get: async (request, signal) => {
      try {
        const record = await remote.get(request, signal);
        troubled = false;
        await keep(request.key, record);
        return record;
      } catch (error) {
        const copy = isOutage(error) ? copyOf(kept, request.key) : undefined;
        if (copy === undefined) throw error;
        if (!troubled) deps.log.warn(`${deps.componentName}: reading copies: ${(error as Error).message}`);
        troubled = true;
        return copy;
      }
    },
    ...(bulkGet === undefined
      ? {}
      : {
          bulkGet: async (keys, metadata, signal) => {
            try {
              const found = await bulkGet(keys, metadata, signal);
              const known = found.filter(({ error }) => error === undefined);
              await Promise.all(known.map(({ key, record }) => keep(key, record)));
              return found;
            } catch (error) {
              if (!isOutage(error)) throw error;
              return keys.map((key) => {
                const record = copyOf(kept, key);
                return record === undefined ? { key, error: (error as Error).message } : { key, record };
              });
            }
          },
        }),
    set: (request, signal) => write([request], () => remote.set(request, signal)),
    delete: (request, signal) => write([request], () => remote.delete(request, signal)),
    ...(transact === undefined
      ? {}
      : {
          transact: (operations, metadata, signal) =>
            write(operations, () => transact(operations, metadata, signal)),
        }),
  };
}

function copyOf(kept: KeptCopy, key: string): StateRecord | undefined {
  const copy = kept.read(key);
  if (copy === undefined) return undefined;
  const { value, etag } = JSON.parse(copy.text) as { value: string; etag?: string };
  return {
    value: Buffer.from(value, 'base64'),
    ...(etag === undefined ? {} : { etag }),
    metadata: { [AGE_ITEM]: String(Math.round(copy.ageMs / 1000)) },
  };
}
