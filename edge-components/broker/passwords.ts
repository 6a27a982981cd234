/** Passwords of broker users: scrypt hashes for the configuration file, and a check that reconnect storms can afford. */

import { createHash, createHmac, pbkdf2, randomBytes, scrypt, timingSafeEqual } from 'node:crypto';
import type { BrokerUser } from './options.ts';

const COST = { N: 16_384, r: 8, p: 1 };
const KEY_BYTES = 32;

/** `scrypt$N$r$p$<salt>$<key>`, both base64. */
export async function hashPassword(password: string, salt: Uint8Array = randomBytes(16)): Promise<string> {
  const key = await derive(password, salt, COST);
  return [
    'scrypt',
    COST.N,
    COST.r,
    COST.p,
    Buffer.from(salt).toString('base64'),
    key.toString('base64'),
  ].join('$');
}

/** Checks a name and a password against the configured users. */
export interface PasswordCheck {
  matches(name: string, password: Uint8Array | undefined): Promise<boolean>;
}

/** A successful check is remembered as a keyed digest: scrypt is paid once per user, not once per connection. */
export function passwordCheck(users: readonly BrokerUser[]): PasswordCheck {
  const byName = new Map(users.map((user) => [user.name, user]));
  const secret = randomBytes(32);
  const digest = (text: Uint8Array | string): Buffer => createHmac('sha256', secret).update(text).digest();
  const known = new Map<string, Buffer>();
  for (const user of users) if (user.password !== undefined) known.set(user.name, digest(user.password));
  return {
    matches: async (name, password) => {
      const user = byName.get(name);
      if (user === undefined || password === undefined) return false;
      const given = digest(password);
      const remembered = known.get(name);
      if (remembered !== undefined && timingSafeEqual(remembered, given)) return true;
      if (user.passwordHash === undefined || !(await verify(password, user))) return false;
      known.set(name, given);
      return true;
    },
  };
}

/** Forms of a hash: ours (scrypt), and those of mosquitto_passwd: $7$ (PBKDF2) and $6$ (one SHA-512). */
async function verify(password: Uint8Array, user: BrokerUser): Promise<boolean> {
  const hash = user.passwordHash ?? '';
  const parts = hash.split('$');
  const [salt = '', key = ''] = parts.slice(-2);
  const wanted = Buffer.from(key, 'base64');
  const salted = Buffer.from(salt, 'base64');
  let given: Buffer;
  if (parts[0] === 'scrypt' && parts.length === 6) {
    const [, n, r, p] = parts;
    given = await derive(password, salted, { N: Number(n), r: Number(r), p: Number(p) });
  } else if (hash.startsWith('$7$') && parts.length === 5) {
    given = await pbkdf(password, salted, Number(parts[2]), wanted.length);
  } else if (hash.startsWith('$6$') && parts.length === 4) {
    given = createHash('sha512').update(password).update(salted).digest();
  } else {
    throw new Error(
      `MQTT broker: passwordHash of user ${user.name} is not of the form scrypt$N$r$p$salt$key, $7$ or $6$`,
    );
  }
  return wanted.length === given.length && timingSafeEqual(wanted, given);
}

/** Whether a text of the users file is a hash and not a password. */
export function isPasswordHash(text: string): boolean {
  return /^(scrypt\$\d+\$\d+\$\d+|\$7\$\d+|\$6)\$[A-Za-z0-9+/=]+\$[A-Za-z0-9+/=]+$/.test(text);
}

function pbkdf(password: Uint8Array, salt: Uint8Array, rounds: number, length: number): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    pbkdf2(password, salt, rounds, length, 'sha512', (error, key) =>
      error === null ? resolve(key) : reject(error),
    );
  });
}

function derive(password: Uint8Array | string, salt: Uint8Array, cost: typeof COST): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    scrypt(password, salt, KEY_BYTES, cost, (error, key) => (error === null ? resolve(key) : reject(error)));
  });
}
