/** `crypto.dapr.jwks`: where the set comes from, how it is renewed, which keys may wrap. */

import { generateKeyPairSync } from 'node:crypto';
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { definition } from '../../../edge-components/crypto/jwks/component.ts';
import type { CryptoProvider } from '../../../runtime/contracts/crypto-provider.ts';
import { decodeMetadata } from '../../../runtime/contracts/metadata.ts';
import { componentDeps } from '../../support/component-deps.ts';
import { type FakeClock, fakeClock } from '../../support/fake-clock.ts';
import { httpTarget, type TargetAnswer } from '../../support/http-target.ts';
import { recordingLogger } from '../../support/recording-logger.ts';

const never = new AbortController().signal;
const FILE_KEY = Buffer.alloc(32, 7);
const RSA = generateKeyPairSync('rsa', { modulusLength: 2048 });
const oct = (kid: string, more = {}): object => ({
  kty: 'oct',
  k: Buffer.alloc(32, kid).toString('base64url'),
  kid,
  ...more,
});
const setOf = (...keys: readonly object[]): string => JSON.stringify({ keys });

async function open(
  t: Test,
  items: Readonly<Record<string, string>>,
): Promise<{ provider: CryptoProvider; clock: FakeClock; log: ReturnType<typeof recordingLogger> }> {
  const clock = fakeClock();
  const log = recordingLogger();
  const decoded = decodeMetadata(definition.metadata, items);
  if (!decoded.ok) throw new Error(decoded.faults.join('; '));
  const provider = definition.create(decoded.value, componentDeps({ clock, log }));
  await provider.init(never);
  t.teardown(() => provider.close());
  return { provider, clock, log };
}

const wraps = (provider: CryptoProvider, kid: string, algorithm = 'A256KW'): Promise<Uint8Array> =>
  provider.wrapKey(FILE_KEY, algorithm, kid, never);

t.test('a literal set, as JSON or base64; keys by kid', async (t) => {
  const jwk = { ...RSA.privateKey.export({ format: 'jwk' }), kid: 'rsa' };
  for (const jwks of [setOf(oct('a'), jwk), Buffer.from(setOf(oct('a'), jwk)).toString('base64')]) {
    const { provider } = await open(t, { jwks });
    t.same(await provider.unwrapKey(await wraps(provider, 'a'), 'A256KW', 'a', never), FILE_KEY);
    const sealed = await wraps(provider, 'rsa', 'RSA-OAEP-256');
    t.same(await provider.unwrapKey(sealed, 'RSA-OAEP-256', 'rsa', never), FILE_KEY);
    await t.rejects(wraps(provider, 'b'), {
      message: 'failed to retrieve the key encryption key: key not found',
    });
  }
});

t.test('keys for something else are refused', async (t) => {
  const jwks = setOf(
    oct('sig', { use: 'sig' }),
    oct('un', { key_ops: ['unwrapKey'] }),
    oct('gcm', { alg: 'A256GCM' }),
    oct('ok', { use: 'enc', alg: 'A256KW', key_ops: ['wrapKey'] }),
  );
  const { provider } = await open(t, { jwks });
  await t.rejects(wraps(provider, 'sig'), { message: "key cannot perform the 'wrapKey' operation" });
  await t.rejects(wraps(provider, 'un'), { message: "key cannot perform the 'wrapKey' operation" });
  await t.rejects(wraps(provider, 'gcm'), { message: "key cannot be used with algorithm 'A256KW'" });
  t.equal((await wraps(provider, 'ok')).length, 40);
});

t.test('a file is read again when it changed, and its keys stay when it cannot be read', async (t) => {
  const file = join(t.testdir({ 'keys.json': setOf(oct('a')) }), 'keys.json');
  const { provider, log } = await open(t, { jwks: file });
  await wraps(provider, 'a');
  writeFileSync(file, setOf(oct('b'), oct('c')));
  await wraps(provider, 'b');
  await t.rejects(wraps(provider, 'a'), { message: /key not found/ });
  writeFileSync(file, 'half a f');
  await wraps(provider, 'b');
  rmSync(file);
  await wraps(provider, 'c');
  t.equal(log.lines.filter(({ level }) => level === 'error').length, 2);
});

t.test('what is neither URL, file nor set stops the start', async (t) => {
  const start = (jwks: string): Promise<unknown> => open(t, { jwks });
  const file = join(t.testdir({ bad: '{"keys": 5}' }), 'bad');
  for (const jwks of [
    'nonsense',
    '{"keys":[5]}',
    '{',
    '/no/such/file',
    Buffer.from('{}').toString('base64'),
    file,
  ])
    await t.rejects(start(jwks), { message: /metadata item 'jwks'/ }, jwks);
  await t.rejects(start(''), { message: /'jwks': is required/ });
});

t.test('a set behind a URL is read at start and renewed within bounds', async (t) => {
  let keys = setOf(oct('a'));
  let away = false;
  const target = await httpTarget((): TargetAnswer => (away ? { status: 503 } : { body: keys }));
  t.teardown(() => target.close());
  const { provider, clock, log } = await open(t, { jwks: `${target.url}/keys`, minRefreshInterval: '1m' });
  t.match(log.lines[0]?.message, /without TLS/);
  await wraps(provider, 'a');
  keys = setOf(oct('b'));
  await t.rejects(wraps(provider, 'b'), { message: /key not found/ });
  t.equal(target.requests.length, 1, 'too early');
  await clock.advance(60_000);
  await wraps(provider, 'b');
  t.equal(target.requests.length, 2);
  away = true;
  await clock.advance(3_600_000);
  await wraps(provider, 'b');
  t.equal((await wraps(provider, 'b')).length, 40, 'the old set stays');
});

t.test('without a link at start there are no keys, until there are', async (t) => {
  let away = true;
  const target = await httpTarget((): TargetAnswer => (away ? 'cut' : { body: setOf(oct('a')) }));
  t.teardown(() => target.close());
  const { provider, clock } = await open(t, { jwks: target.url });
  await t.rejects(wraps(provider, 'a'), {
    message: /^failed to retrieve the key encryption key: failed to fetch JWKS: /,
  });
  away = false;
  await clock.advance(5000);
  t.equal((await wraps(provider, 'a')).length, 40);
});

t.test('a closed component wraps nothing', async (t) => {
  const { provider } = await open(t, { jwks: setOf(oct('a')) });
  await provider.close();
  await provider.close();
  await t.rejects(wraps(provider, 'a'), { message: /closed/ });
});
