/**
 * The last answer that was good, kept encrypted in the node's own database, so that a node which boots without a link
 * starts with what it knew (AES-256-GCM; the key is derived from the data folder's key for this purpose and component;
 * the name of the entry is authenticated with it).
 */

import { createCipheriv, createDecipheriv, hkdfSync } from 'node:crypto';
import type { ComponentDeps } from '../../../runtime/contracts/component.ts';
import type { Database, Migration } from '../../../runtime/contracts/database.ts';

export interface KeptCopy {
  /** Opens the table; must come first. */
  open(): Promise<void>;
  /** Keeps `text`; resolves when it is on disk. An unchanged text is not written again. */
  keep(entry: string, text: string): Promise<void>;
  forget(entry: string): Promise<void>;
  /** Forgets the oldest entries until `most` are left. */
  trim(most: number): Promise<void>;
  /** `ageMs` is by the wall clock. `undefined` when there is none, or it cannot be decrypted (another data folder's key). */
  read(entry: string): { readonly text: string; readonly ageMs: number } | undefined;
  close(): Promise<void>;
}

const MIGRATION: Migration = {
  metadataTable: 'skerry_schema',
  key: 'kept-copies',
  levels: [
    [
      'CREATE TABLE kept_copies (owner TEXT NOT NULL, entry TEXT NOT NULL, kept_at INTEGER NOT NULL, ' +
        'sealed BLOB NOT NULL, PRIMARY KEY (owner, entry)) WITHOUT ROWID',
    ],
  ],
};
const IV_BYTES = 12;
const TAG_BYTES = 16;

export function createKeptCopy(
  deps: Pick<ComponentDeps, 'databases' | 'nodeKey' | 'random' | 'clock' | 'appId' | 'componentName'>,
): KeptCopy {
  const owner = `${deps.appId}/${deps.componentName}`;
  let database: Database | undefined;
  let key: Uint8Array | undefined;
  const parts = (): { readonly database: Database; readonly key: Uint8Array } => {
    if (database === undefined || key === undefined) {
      throw new Error(`component ${deps.componentName} is closed`);
    }
    return { database, key };
  };

  const read: KeptCopy['read'] = (entry) => {
    const { database, key } = parts();
    const row = database.read('SELECT kept_at, sealed FROM kept_copies WHERE owner = ? AND entry = ?', [
      owner,
      entry,
    ])[0];
    const sealed = row?.['sealed'];
    if (!(sealed instanceof Uint8Array)) return undefined;
    const text = unseal(key, entry, sealed);
    return text === undefined ? undefined : { text, ageMs: deps.clock.now() - Number(row?.['kept_at']) };
  };

  return {
    open: async () => {
      key = new Uint8Array(hkdfSync('sha256', await deps.nodeKey(), '', `kept-copy:${owner}`, 32));
      database = await deps.databases.system([MIGRATION]);
    },
    read,
    keep: async (entry, text) => {
      if (read(entry)?.text === text) return;
      const { database, key } = parts();
      await database.write([
        {
          sql: 'INSERT OR REPLACE INTO kept_copies (owner, entry, kept_at, sealed) VALUES (?, ?, ?, ?)',
          params: [owner, entry, deps.clock.now(), seal(key, deps.random.bytes(IV_BYTES), entry, text)],
        },
      ]);
    },
    forget: async (entry) => {
      await parts().database.write([
        { sql: 'DELETE FROM kept_copies WHERE owner = ? AND entry = ?', params: [owner, entry] },
      ]);
    },
    trim: async (most) => {
      await parts().database.write([
        {
          sql:
            'DELETE FROM kept_copies WHERE owner = ? AND entry IN (SELECT entry FROM kept_copies WHERE owner = ? ' +
            'ORDER BY kept_at DESC, entry LIMIT -1 OFFSET ?)',
          params: [owner, owner, most],
        },
      ]);
    },
    close: async () => {
      const open = database;
      database = undefined;
      key = undefined;
      await open?.close();
    },
  };
}

/** Nonce, ciphertext, tag. */
function seal(key: Uint8Array, nonce: Uint8Array, entry: string, text: string): Uint8Array {
  const cipher = createCipheriv('aes-256-gcm', key, nonce);
  cipher.setAAD(Buffer.from(entry));
  return Buffer.concat([nonce, cipher.update(text, 'utf8'), cipher.final(), cipher.getAuthTag()]);
}

function unseal(key: Uint8Array, entry: string, sealed: Uint8Array): string | undefined {
  if (sealed.length < IV_BYTES + TAG_BYTES) return undefined;
  try {
    const opener = createDecipheriv('aes-256-gcm', key, sealed.subarray(0, IV_BYTES));
    opener.setAAD(Buffer.from(entry));
    opener.setAuthTag(sealed.subarray(-TAG_BYTES));
    const body = sealed.subarray(IV_BYTES, -TAG_BYTES);
    return Buffer.concat([opener.update(body), opener.final()]).toString('utf8');
  } catch {
    return undefined;
  }
}
