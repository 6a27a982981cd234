/** Passwords of broker users: scrypt hashes for the configuration file, and a check that reconnect storms can afford. */

import { createHmac, randomBytes, scrypt, timingSafeEqual } from 'node:crypto';
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

async function verify(password: Uint8Array, user: BrokerUser): Promise<boolean> {
  const [scheme, n, r, p, salt, key] = (user.passwordHash ?? '').split('$');
  if (scheme !== 'scrypt' || salt === undefined || key === undefined) {
    throw new Error(
      `MQTT broker: passwordHash of user ${user.name} is not of the form scrypt$N$r$p$salt$key`,
    );
  }
  const wanted = Buffer.from(key, 'base64');
  const given = await derive(password, Buffer.from(salt, 'base64'), {
    N: Number(n),
    r: Number(r),
    p: Number(p),
  });
  return wanted.length === given.length && timingSafeEqual(wanted, given);
}

function derive(password: Uint8Array | string, salt: Uint8Array, cost: typeof COST): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    scrypt(password, salt, KEY_BYTES, cost, (error, key) => (error === null ? resolve(key) : reject(error)));
  });
}
