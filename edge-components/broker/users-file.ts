/**
 * The file of broker users: `name:password` per line, the password as text, as made by `hashPassword` or as
 * made by mosquitto_passwd.
 */

import { readFile } from 'node:fs/promises';
import { errorText } from '../../runtime/contracts/error.ts';
import type { BrokerUser } from './options.ts';
import { isPasswordHash } from './passwords.ts';

/** Reads `path`; empty lines and lines that start with # are skipped. */
export async function readUsersFile(path: string): Promise<BrokerUser[]> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    throw new Error(`--mqtt-users-file: cannot read '${path}': ${errorText(error)}`, { cause: error });
  }
  const users: BrokerUser[] = [];
  for (const [index, line] of text.split(/\r?\n/).entries()) {
    if (line.trim() === '' || line.startsWith('#')) continue;
    const colon = line.indexOf(':');
    const name = line.slice(0, colon).trim();
    const secret = line.slice(colon + 1);
    if (colon < 1 || name === '' || secret === '') {
      throw new Error(`--mqtt-users-file: line ${index + 1} of '${path}' must be name:password`);
    }
    if (users.some((user) => user.name === name)) {
      throw new Error(`--mqtt-users-file: line ${index + 1} of '${path}' repeats user '${name}'`);
    }
    users.push({ name, ...(isPasswordHash(secret) ? { passwordHash: secret } : { password: secret }) });
  }
  if (users.length === 0)
    throw new Error(`--mqtt-users-file: '${path}' has no user (name:password per line)`);
  return users;
}
