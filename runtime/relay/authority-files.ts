/**
 * The relay's authority: files of its user, or a root of its own in the data folder, made at the first start. The certificate of
 * the listener is made anew with every start and before it expires.
 */

import { generateKeyPairSync } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import type { Clock } from '../contracts/clock.ts';
import { errorText } from '../contracts/error.ts';
import type { Random } from '../contracts/random.ts';
import { type Authority, createRoot, openAuthority } from '../security/authority.ts';
import { writeWhole } from './enrolment.ts';
import type { ServerCredentials } from './listener.ts';

export interface AuthorityFiles {
  readonly dataDir: string;
  /** The user's own authority in PEM files. */
  readonly caCert?: string | undefined;
  readonly caKey?: string | undefined;
  readonly clock: Clock;
  readonly random: Random;
}

const YEAR_MS = 365 * 86_400_000;
const ROOT_LIFETIME_MS = 20 * YEAR_MS;
const SKEW_MS = 86_400_000;
export const LISTENER_LIFETIME_MS = 90 * 86_400_000;

/** Throws with the file that is wrong. */
export async function loadAuthority(files: AuthorityFiles): Promise<Authority> {
  const { caCert, caKey, random } = files;
  if ((caCert === undefined) !== (caKey === undefined))
    throw new Error('--ca-cert and --ca-key belong together: one of them is missing');
  const [certFile, keyFile] =
    caCert === undefined || caKey === undefined ? await ownRoot(files) : [caCert, caKey];
  try {
    return openAuthority(await readFile(certFile, 'utf8'), await readFile(keyFile, 'utf8'), random);
  } catch (cause) {
    throw new Error(`the authority of ${certFile} and ${keyFile} cannot be used: ${errorText(cause)}`, {
      cause,
    });
  }
}

async function ownRoot({ dataDir, clock, random }: AuthorityFiles): Promise<readonly [string, string]> {
  const files = [join(dataDir, 'relay-ca.pem'), join(dataDir, 'relay-ca-key.pem')] as const;
  const known = await Promise.all(files.map((file) => readFile(file, 'utf8').catch(() => undefined)));
  if (known[0] !== undefined && known[1] !== undefined) return files;
  if (known[0] !== undefined)
    throw new Error(
      `${files[1]} is missing: without it no node can be enrolled, and the nodes trust no other`,
    );
  const now = clock.now();
  const root = createRoot(
    `Skerry relay ${hostname()}`,
    { fromMs: now - SKEW_MS, toMs: now + ROOT_LIFETIME_MS },
    random,
  );
  // The certificate last: only with it the pair counts as made.
  await writeWhole(files[1], root.key);
  await writeWhole(files[0], root.certificate);
  return files;
}

/** Certificate and key of the listener for these hosts. */
export function issueListener(
  authority: Authority,
  hosts: readonly string[],
  now: number,
): ServerCredentials {
  const { privateKey, publicKey } = generateKeyPairSync('ed25519');
  const names = [...new Set([...hosts, 'localhost', '127.0.0.1', '::1', hostname()])];
  const cert = authority.issue(
    publicKey,
    { commonName: names[0] ?? 'relay', hosts: names, usage: 'server' },
    { fromMs: now - SKEW_MS, toMs: now + LISTENER_LIFETIME_MS },
  );
  // The authority goes along, so that a node about to enrol can compare its fingerprint.
  return { cert: cert + authority.certificates, key: privateKey };
}
