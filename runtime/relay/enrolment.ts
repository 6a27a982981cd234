/**
 * The identity of a node at its relay, in one file of its data folder: key, certificate and what it trusts. The file is replaced
 * whole, so that a power cut leaves the old one or the new one; only its owner may read it.
 */

import { mkdir, open, readFile, rename } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { z } from 'zod';
import { errorText } from '../contracts/error.ts';

const schema = z.object({
  /** `https://host:port` */
  relay: z.string(),
  node: z.string(),
  appIds: z.array(z.string()),
  trustDomain: z.string(),
  /** PEM, pkcs8. */
  key: z.string(),
  /** PEM, own certificate first. */
  certificate: z.string(),
  /** PEM: the relay's authority. */
  authority: z.string(),
});
export type NodeEnrolment = z.infer<typeof schema>;

export function enrolmentFile(dataDir: string): string {
  return join(dataDir, 'relay.json');
}

/** Throws when the file is there and cannot be read as one. */
export async function readEnrolment(file: string): Promise<NodeEnrolment | undefined> {
  const text = await readFile(file, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined;
    throw error;
  });
  if (text === undefined) return undefined;
  try {
    return schema.parse(JSON.parse(text));
  } catch (cause) {
    throw new Error(`${file} is no enrolment: ${errorText(cause)}; remove it and enrol the node again`, {
      cause,
    });
  }
}

export async function writeEnrolment(file: string, enrolment: NodeEnrolment): Promise<void> {
  await writeWhole(file, `${JSON.stringify(enrolment, null, 2)}\n`);
}

/** Replaces a file that holds a secret; when this resolves, the new one survives a power cut. */
export async function writeWhole(file: string, text: string): Promise<void> {
  await mkdir(dirname(file), { recursive: true });
  const draft = `${file}.new`;
  const handle = await open(draft, 'w', 0o600);
  try {
    await handle.writeFile(text);
    await handle.sync();
  } finally {
    await handle.close();
  }
  await rename(draft, file);
  const folder = await open(dirname(file), 'r');
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}
