/** Writes a file so that after any power cut either the whole new content or the whole old one is there. */

import { mkdir, open, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';

/** Flushes the entries of a folder. */
async function syncFolder(path: string): Promise<void> {
  const handle = await open(path, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** Creates missing parents of `path`; those above a new folder are flushed too. */
async function makeParents(path: string): Promise<void> {
  const folder = dirname(path);
  const first = await mkdir(folder, { recursive: true });
  if (first === undefined) return;
  const top = dirname(first);
  for (let at = folder; at !== top && at !== dirname(at); at = dirname(at)) await syncFolder(at);
  await syncFolder(top);
}

/** Writes `data` to `path` by way of `partial`, a file of its own on the same file system. */
export async function durableWrite(path: string, data: Uint8Array, partial: string): Promise<void> {
  await makeParents(path);
  await mkdir(dirname(partial), { recursive: true });
  try {
    const handle = await open(partial, 'wx', 0o666);
    try {
      await handle.writeFile(data);
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(partial, path);
  } catch (error) {
    await rm(partial, { force: true });
    throw error;
  }
  await syncFolder(dirname(path));
}

/** Removes what a power cut left half-written. */
export async function dropPartials(folder: string): Promise<void> {
  await rm(folder, { recursive: true, force: true });
}
