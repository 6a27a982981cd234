/** `crypto.dapr.localstorage` and the key forms it reads: which keys wrap what, and what is refused. */

import { createSecretKey, generateKeyPairSync } from 'node:crypto';
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { createLocalStorageCrypto } from '../../../edge-components/crypto/localstorage/local-storage-crypto.ts';
import { parseKey } from '../../../edge-components/drivers/keys/parse-key.ts';
import type { CryptoProvider } from '../../../runtime/contracts/crypto-provider.ts';

const never = new AbortController().signal;
const KEY = Buffer.from('AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=', 'base64');
const FILE_KEY = Buffer.alloc(32, 7);
const RSA = generateKeyPairSync('rsa', { modulusLength: 2048 });
const PRIVATE = RSA.privateKey.export({ type: 'pkcs8', format: 'pem' });

async function open(
  t: Test,
  files: Readonly<Record<string, string | Buffer>>,
): Promise<{ path: string; provider: CryptoProvider }> {
  const path = t.testdir(files as Record<string, string>);
  const provider = createLocalStorageCrypto(path);
  await provider.init(never);
  return { path, provider };
}

t.test('keys in every form wrap and unwrap the same', async (t) => {
  const jwk = JSON.stringify({ kty: 'oct', k: KEY.toString('base64url'), kid: 'k1' });
  const { provider } = await open(t, {
    'padded.b64': KEY.toString('base64'),
    'bare.b64': `${KEY.toString('base64').replace(/=+$/, '')}\n`,
    'url.b64': KEY.toString('base64url'),
    raw: KEY,
    'jwk.json': jwk,
    'jwk.JSON': jwk,
    jwk,
    'rsa.pem': PRIVATE as string,
    rsa: RSA.privateKey.export({ type: 'pkcs1', format: 'pem' }) as string,
    'rsa.json': JSON.stringify(RSA.privateKey.export({ format: 'jwk' })),
    'public.pem': RSA.publicKey.export({ type: 'spki', format: 'pem' }) as string,
  });
  const wrapped = await provider.wrapKey(FILE_KEY, 'A256KW', 'raw', never);
  t.equal(wrapped.length, 40);
  for (const name of ['padded.b64', 'bare.b64', 'url.b64', 'raw', 'jwk.json', 'jwk.JSON', 'jwk'])
    t.same(await provider.unwrapKey(wrapped, 'A256KW', name, never), FILE_KEY, name);
  const sealed = await provider.wrapKey(FILE_KEY, 'RSA-OAEP-256', 'public.pem', never);
  for (const name of ['rsa.pem', 'rsa', 'rsa.json'])
    t.same(await provider.unwrapKey(sealed, 'RSA-OAEP-256', name, never), FILE_KEY, name);
  await t.rejects(provider.unwrapKey(sealed, 'RSA-OAEP-256', 'public.pem', never), {
    message: /the key is public/,
  });
});

t.test('a key of another kind or size than the algorithm needs', async (t) => {
  const { provider } = await open(t, {
    aes128: KEY.subarray(0, 16),
    aes256: KEY,
    'rsa.pem': PRIVATE as string,
  });
  const refused = (algorithm: string, name: string, message: RegExp): Promise<unknown> =>
    t.rejects(provider.wrapKey(FILE_KEY, algorithm, name, never), { message });
  await refused('A256KW', 'aes128', /key size mismatch: A256KW needs a key of 32 bytes, this one has 16/);
  await refused('A256KW', 'rsa.pem', /key type mismatch/);
  await refused('RSA-OAEP-256', 'aes256', /key type mismatch/);
  await refused('A256CBC-NOPAD', 'aes256', /unsupported algorithm/);
  await t.rejects(
    provider.unwrapKey(Buffer.alloc(40), 'A256KW', 'aes256', never),
    'not what this key wrapped',
  );
});

t.test('names stay inside the folder, files are read at every use', async (t) => {
  const { provider, path } = await open(t, { keys: { a: KEY } as never });
  const refused = (name: string, message: RegExp): Promise<unknown> =>
    t.rejects(provider.wrapKey(FILE_KEY, 'A256KW', name, never), { message });
  const start = 'failed to retrieve the key encryption key: ';
  await refused('../x', new RegExp(`^${start}invalid key path: cannot contain '\\.\\.'$`));
  await refused('nope', new RegExp(`^${start}failed to load key 'nope': open .*: no such file or directory`));
  await refused('', new RegExp(`^${start}`));
  await refused('keys', new RegExp(`^${start}failed to load key 'keys'`));
  writeFileSync(join(path, 'late'), KEY);
  t.equal((await provider.wrapKey(FILE_KEY, 'A256KW', 'late', never)).length, 40);
  t.equal(
    (await provider.wrapKey(FILE_KEY, 'A256KW', 'keys/a', never)).length,
    40,
    'folders inside are fine',
  );
  writeFileSync(join(path, 'late'), '');
  await refused('late', /failed to parse key 'late': key is empty/);
  writeFileSync(join(path, 'broken.json'), '{');
  await refused('broken.json', /failed to parse key 'broken.json'/);
  writeFileSync(join(path, 'broken.pem'), '-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n');
  await refused('broken.pem', /failed to parse key 'broken.pem'/);
});

t.test('mounted secrets are links: they are followed', async (t) => {
  const { provider, path } = await open(t, {});
  mkdirSync(join(path, 'data'));
  writeFileSync(join(path, 'data/key'), KEY);
  symlinkSync('data/key', join(path, 'key'));
  t.equal((await provider.wrapKey(FILE_KEY, 'A256KW', 'key', never)).length, 40);
});

t.test('the folder must be there', async (t) => {
  const path = t.testdir({ file: 'x' });
  await t.rejects(createLocalStorageCrypto(join(path, 'nope')).init(never), {
    message: /^metadata item 'path': ENOENT/,
  });
  await t.rejects(createLocalStorageCrypto(join(path, 'file')).init(never), {
    message: /^metadata item 'path': expected a folder/,
  });
});

t.test('what only looks like base64 is a raw key', async (t) => {
  const bytes = (text: string): Buffer => parseKey(Buffer.from(text), 'k').export() as Buffer;
  t.same(bytes('abcde'), Buffer.from('abcde'), 'five characters are no base64');
  t.same(bytes('a+b_'), Buffer.from('a+b_'), 'two alphabets at once');
  t.same(
    bytes('{"not":"jwk"}xxx'),
    Buffer.from('{"not":"jwk"}xxx'),
    '16 bytes are a key, whatever they begin with',
  );
  t.ok(parseKey(Buffer.from('AAEC'), 'k').equals(createSecretKey(Buffer.of(0, 1, 2))));
});
