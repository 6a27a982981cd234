/** One side of a state flow: a store component, reached under the keys its apps use, with values in comparable form. */

import { createHash } from 'node:crypto';
import type { LoadedComponent } from '../../contracts/component-source.ts';
import type { BulkStateRecord, StateOperation, StateRecord } from '../../contracts/state-store.ts';
import { stateCipher } from '../state/encryption.ts';
import { keyPrefixer } from '../state/key-prefix.ts';
import { isOutage } from './failures.ts';
import { canonicalJson, type Json } from './merge-json.ts';

export interface SideRecord {
  readonly bytes: Uint8Array;
  /** Canonical JSON text of the value. */
  readonly text: string;
  readonly etag: string | undefined;
  /** RFC 3339, where the store says so. */
  readonly expires: string | undefined;
}

export interface StateSide {
  readonly component: LoadedComponent<'state'>;
  toStored(key: string): string;
  fromStored(stored: string): string;
  /** Keys without a record are not in the answer. */
  read(keys: readonly string[], signal: AbortSignal): Promise<ReadonlyMap<string, SideRecord>>;
  /**
   * A write of `bytes`, or a deletion without. `etag`: only onto this version; `undefined`: only where there is none;
   * `any`: onto whatever is there.
   */
  operation(
    key: string,
    bytes: Uint8Array | undefined,
    etag: string | undefined | typeof ANY,
    metadata?: Readonly<Record<string, string>>,
  ): StateOperation;
}

export const ANY = Symbol('any version');

/** Keys of one bulk read. */
const CHUNK = 100;

export function openSide(component: LoadedComponent<'state'>, appId: string, namespace: string): StateSide {
  const keys = keyPrefixer(component, appId, namespace);
  const cipher = stateCipher(component);
  const { instance } = component;

  const record = (found: StateRecord): SideRecord => {
    const bytes = cipher === undefined ? found.value : cipher.decrypt(found.value);
    return {
      bytes,
      text: comparable(bytes),
      etag: found.etag,
      expires: found.metadata?.['ttlExpireTime'],
    };
  };
  /** One answer per stored key, without those that have none. */
  const fetch = async (
    stored: readonly string[],
    signal: AbortSignal,
  ): Promise<readonly BulkStateRecord[]> => {
    if (instance.bulkGet !== undefined) return instance.bulkGet(stored, {}, signal);
    const answers: BulkStateRecord[] = [];
    for (const key of stored) {
      const found = await instance.get({ key, consistency: 'strong', metadata: {} }, signal);
      if (found !== undefined) answers.push({ key, record: found });
    }
    return answers;
  };

  /** As `fetch`; an answer that is too large, perhaps, is asked for in halves. */
  const fetchAll = async (
    stored: readonly string[],
    signal: AbortSignal,
  ): Promise<readonly BulkStateRecord[]> => {
    try {
      return await fetch(stored, signal);
    } catch (error) {
      if (stored.length === 1 || isOutage(error) || signal.aborted) throw error;
      const half = Math.ceil(stored.length / 2);
      const first = await fetchAll(stored.slice(0, half), signal);
      return [...first, ...(await fetchAll(stored.slice(half), signal))];
    }
  };

  return {
    component,
    toStored: (key) => keys.toStored(key),
    fromStored: (stored) => keys.fromStored(stored),
    read: async (wanted, signal) => {
      const found = new Map<string, SideRecord>();
      for (let from = 0; from < wanted.length; from += CHUNK) {
        const stored = new Map(wanted.slice(from, from + CHUNK).map((key) => [keys.toStored(key), key]));
        for (const answer of await fetchAll([...stored.keys()], signal)) {
          if (answer.error !== undefined && answer.error !== '') throw new Error(answer.error);
          const key = stored.get(answer.key);
          if (key !== undefined && answer.record !== undefined) found.set(key, record(answer.record));
        }
      }
      return found;
    },
    operation: (key, bytes, etag, metadata = {}) => {
      const common = {
        key: keys.toStored(key),
        ...(etag === ANY || etag === undefined ? {} : { etag }),
        options: { concurrency: etag === ANY ? '' : 'first-write', consistency: '' },
        metadata,
      };
      if (bytes === undefined) return { kind: 'delete', ...common };
      const value =
        cipher === undefined ? { bytes, json: isJson(bytes) } : { bytes: cipher.encrypt(bytes), json: false };
      return { kind: 'upsert', ...common, value };
    },
  };
}

/** The same text for values that mean the same; bytes that are no JSON as a JSON text of their own. */
export function comparable(bytes: Uint8Array): string {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  try {
    return canonicalJson(JSON.parse(buffer.toString('utf8')) as Json);
  } catch {
    return JSON.stringify(`base64:${buffer.toString('base64')}`);
  }
}

const SHORT = 40;

/** A short stand-in for a text; equal for equal texts. */
export function tokenOf(text: string | undefined): string {
  if (text === undefined) return '';
  return text.length <= SHORT ? text : `#${createHash('sha256').update(text).digest('base64url')}`;
}

function isJson(bytes: Uint8Array): boolean {
  try {
    JSON.parse(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8'));
    return true;
  } catch {
    return false;
  }
}
