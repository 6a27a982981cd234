// Certificates of the relay's authority as OpenSSL reads them, and requests for them.

import { createPrivateKey, generateKeyPairSync, X509Certificate } from 'node:crypto';
import { connect, createServer } from 'node:tls';
import t from 'tap';
import { systemClock } from '../../../runtime/platform/system-clock.ts';
import { createRoot, keyHash, openAuthority } from '../../../runtime/security/authority.ts';
import { certificateRequest, requestedKey } from '../../../runtime/security/csr.ts';
import { elementsOf, pemBytes, pemText } from '../../../runtime/security/der.ts';
import { createAuthority } from '../../support/certificate-authority.ts';
import { seededRandom } from '../../support/seeded-random.ts';

const random = seededRandom(1);
/** The first of January 2026. */
const NOW = 1_767_225_600_000;
const YEAR = 365 * 86_400_000;
const validity = { fromMs: NOW - YEAR, toMs: NOW + 30 * YEAR };

t.test('a root and what it issues', async (t) => {
  const root = createRoot('Relay of the test', validity, random);
  const own = new X509Certificate(root.certificate);
  t.same([own.subject, own.ca, own.verify(own.publicKey)], ['CN=Relay of the test', true, true]);
  t.equal(own.validToDate.getTime(), NOW + 30 * YEAR, 'beyond 2050');
  const authority = openAuthority(root.certificate, root.key, random);
  const { publicKey, privateKey } = generateKeyPairSync('ed25519');
  const names = {
    commonName: 'site-1',
    uris: ['spiffe://public/skerry/node/site-1'],
    usage: 'client',
  } as const;
  const leaf = new X509Certificate(authority.issue(publicKey, names, { fromMs: NOW, toMs: NOW + 1000 }));
  t.ok(leaf.checkIssued(own) && leaf.verify(own.publicKey) && leaf.checkPrivateKey(privateKey));
  t.same(
    [leaf.ca, leaf.subjectAltName, leaf.validFromDate.getTime(), leaf.validToDate.getTime()],
    [false, 'URI:spiffe://public/skerry/node/site-1', NOW, NOW + 1000],
  );
  const hosts = ['relay.example.com', '10.0.0.7', 'fe80::7:1', '::1'];
  const server = new X509Certificate(
    authority.issue(
      publicKey,
      { commonName: 'relay', hosts, usage: 'server' },
      { fromMs: NOW, toMs: NOW + 1000 },
    ),
  );
  t.ok(server.checkHost('relay.example.com') && server.checkIP('10.0.0.7'));
  t.ok(server.checkIP('fe80::7:1') && server.checkIP('::1'));
  t.notOk(server.checkHost('other.example.com'));
});

t.test("the user's own authority, EC and RSA", async (t) => {
  const pairs = {
    ec: generateKeyPairSync('ec', { namedCurve: 'P-256' }),
    rsa: generateKeyPairSync('rsa', { modulusLength: 2048 }),
  };
  for (const [kind, pair] of Object.entries(pairs)) {
    // Ed25519 roots sign for keys of another kind as well: an intermediate of that kind is what a user may have.
    const above = createAuthority('company root');
    const certificate = above.sign(pair.publicKey, { ca: true, commonName: `company ${kind}` });
    const key = String(pair.privateKey.export({ type: 'pkcs8', format: 'pem' }));
    const authority = openAuthority(certificate, key, random);
    const { publicKey } = generateKeyPairSync('ed25519');
    const leaf = new X509Certificate(
      authority.issue(publicKey, { commonName: 'n', usage: 'client' }, { fromMs: NOW, toMs: NOW + YEAR }),
    );
    t.ok(leaf.checkIssued(new X509Certificate(certificate)) && leaf.verify(pair.publicKey), kind);
  }
  const leaf = createAuthority().issue({ commonName: 'no authority' });
  t.throws(() => openAuthority(leaf.chain, leaf.key, random), /CA:TRUE is missing/);
  const one = createRoot('one', validity, random);
  t.throws(
    () => openAuthority(one.certificate, createRoot('two', validity, random).key, random),
    /key is not that/,
  );
});

t.test('a handshake with both certificates', async (t) => {
  const now = systemClock().now();
  const current = { fromMs: now - 1000, toMs: now + 60_000 };
  const root = createRoot('root', current, random);
  const authority = openAuthority(root.certificate, root.key, random);
  const [far, near] = [generateKeyPairSync('ed25519'), generateKeyPairSync('ed25519')];
  const pem = (key: typeof far.privateKey) => String(key.export({ type: 'pkcs8', format: 'pem' }));
  const server = createServer({
    cert: authority.issue(far.publicKey, { commonName: 'r', hosts: ['127.0.0.1'], usage: 'server' }, current),
    key: pem(far.privateKey),
    ca: root.certificate,
    requestCert: true,
    rejectUnauthorized: true,
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.teardown(() => server.close());
  const seen = new Promise<string>((resolve) => {
    server.once('secureConnection', (socket) => {
      resolve(socket.getPeerX509Certificate()?.subject ?? '');
      socket.end();
    });
  });
  const { port } = server.address() as { port: number };
  const socket = connect({
    host: '127.0.0.1',
    port,
    ca: root.certificate,
    cert: authority.issue(near.publicKey, { commonName: 'node', usage: 'client' }, current),
    key: pem(near.privateKey),
  });
  t.equal(await seen, 'CN=node');
  socket.destroy();
});

t.test('requests prove their key', (t) => {
  const { privateKey, publicKey } = generateKeyPairSync('ed25519');
  const request = certificateRequest(privateKey);
  t.equal(keyHash(requestedKey(request)), keyHash(publicKey));
  const bytes = Buffer.from(pemBytes('CERTIFICATE REQUEST', request));
  bytes[bytes.length - 1] = (bytes.at(-1) ?? 0) ^ 1;
  t.throws(() => requestedKey(pemText('CERTIFICATE REQUEST', bytes)), /not signed with its own key/);
  for (const text of ['', 'x', pemText('CERTIFICATE REQUEST', Buffer.from('3003020100', 'hex')), root()])
    t.throws(() => requestedKey(text));
  t.throws(() => elementsOf(Buffer.from('3085', 'hex')), /malformed DER/);
  t.throws(() => elementsOf(Buffer.from('300501', 'hex')), /cut short/);
  t.ok(createPrivateKey(String(privateKey.export({ type: 'pkcs8', format: 'pem' }))));
  t.end();
});

function root(): string {
  return createRoot('x', validity, random).certificate;
}
