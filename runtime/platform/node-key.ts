/**
 * The key of a data folder: 32 random bytes in the file `node.key`, readable by its owner alone. What components keep
 * encrypted in the folder is encrypted under keys derived from it: a copy of the database alone tells nothing.
 */

import { link, open, readFile, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import type { Random } from '../contracts/random.ts';

const KEY_BYTES = 32;

/** Reads the key of `dataDir` or makes it; a file of another length is refused, never replaced. */
export async function readNodeKey(dataDir: string, random: Random): Promise<Uint8Array> {
  const path = join(dataDir, 'node.key');
  const known = await readKey(path);
  if (known !== undefined) return known;
  const draft = `${path}.new`;
  await unlink(draft).catch(() => {});
  const file = await open(draft, 'wx', 0o600);
  try {
    await file.writeFile(random.bytes(KEY_BYTES));
    await file.sync();
  } finally {
    await file.close();
  }
  // A link, not a rename: a key that another process made meanwhile stays.
  await link(draft, path).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'EEXIST') throw error;
  });
  await unlink(draft);
  const folder = await open(dataDir, 'r');
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
  const made = await readKey(path);
  if (made === undefined) throw new Error(`${path} vanished while it was made`);
  return made;
}

async function readKey(path: string): Promise<Uint8Array | undefined> {
  const bytes = await readFile(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined;
    throw error;
  });
  if (bytes !== undefined && bytes.length !== KEY_BYTES) {
    throw new Error(`${path}: expected ${KEY_BYTES} bytes, got ${bytes.length}`);
  }
  return bytes;
}
