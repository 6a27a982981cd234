/**
 * Addresses of apps as multicast answers brought them: kept for 60 s after they were last heard, handed out in turn,
 * IPv4 before IPv6. Only apps that somebody asked for are kept, up to a bound.
 */

import type { Clock } from '../../../runtime/contracts/clock.ts';
import type { FoundAddress } from './records.ts';

const ADDRESS_TTL_MS = 60_000;
const MAX_APPS = 1024;
const MAX_ADDRESSES = 64;
/** An app nobody called for this long is no longer looked for. */
const UNUSED_MS = 600_000;

interface Entry {
  readonly v4: Map<string, number>;
  readonly v6: Map<string, number>;
  turn: number;
  usedAt: number;
}

export interface AddressCache {
  /** Begins to keep an app's addresses. */
  watch(appId: string): void;
  readonly watched: IterableIterator<string>;
  add(found: FoundAddress): void;
  remove(appId: string, address: string): void;
  /** Removes the addresses of an app with this port: a goodbye need not say on which host. */
  removePort(appId: string, port: number): void;
  /** The next address in turn. */
  next(appId: string): string | undefined;
  /** Drops apps that nobody has asked for in a while. */
  prune(): void;
}

/** An empty cache. */
export function createAddressCache(clock: Pick<Clock, 'monotonicMs'>): AddressCache {
  const entries = new Map<string, Entry>();

  const live = (addresses: Map<string, number>, now: number): string[] => {
    for (const [address, expiresAt] of addresses) if (expiresAt <= now) addresses.delete(address);
    return [...addresses.keys()];
  };

  return {
    watch(appId) {
      const known = entries.get(appId);
      if (known !== undefined) {
        known.usedAt = clock.monotonicMs();
        return;
      }
      const [oldest] = entries.keys();
      if (oldest !== undefined && entries.size >= MAX_APPS) entries.delete(oldest);
      entries.set(appId, { v4: new Map(), v6: new Map(), turn: 0, usedAt: clock.monotonicMs() });
    },
    get watched() {
      return entries.keys();
    },
    add({ appId, address, family }) {
      const entry = entries.get(appId);
      if (entry === undefined) return;
      const addresses = family === 4 ? entry.v4 : entry.v6;
      if (addresses.size >= MAX_ADDRESSES && !addresses.has(address)) return;
      addresses.set(address, clock.monotonicMs() + ADDRESS_TTL_MS);
    },
    remove(appId, address) {
      const entry = entries.get(appId);
      entry?.v4.delete(address);
      entry?.v6.delete(address);
    },
    removePort(appId, port) {
      const entry = entries.get(appId);
      if (entry === undefined) return;
      for (const addresses of [entry.v4, entry.v6]) {
        for (const address of addresses.keys()) if (address.endsWith(`:${port}`)) addresses.delete(address);
      }
    },
    next(appId) {
      const entry = entries.get(appId);
      if (entry === undefined) return undefined;
      const now = clock.monotonicMs();
      const v4 = live(entry.v4, now);
      const addresses = v4.length > 0 ? v4 : live(entry.v6, now);
      if (addresses.length === 0) return undefined;
      entry.usedAt = now;
      entry.turn = (entry.turn + 1) % 0x7fff_ffff;
      return addresses[entry.turn % addresses.length];
    },
    prune() {
      const now = clock.monotonicMs();
      for (const [appId, entry] of entries) if (now - entry.usedAt > UNUSED_MS) entries.delete(appId);
    },
  };
}
