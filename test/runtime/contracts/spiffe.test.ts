import t from 'tap';
import { parseSpiffeId, spiffeIdOfCertificate, workloadPath } from '../../../runtime/contracts/spiffe.ts';

t.test('ids and who they are', (t) => {
  t.same(parseSpiffeId('spiffe://public/ns/default/my-app'), {
    trustDomain: 'public',
    path: '/ns/default/my-app',
    text: 'spiffe://public/ns/default/my-app',
    workload: { namespace: 'default', appId: 'my-app' },
  });
  t.same(parseSpiffeId('spiffe://public/ns/a/b/more').workload, { namespace: 'a', appId: 'b' });
  t.equal(parseSpiffeId('spiffe://public').path, '');
  for (const other of ['spiffe://td', 'spiffe://td/ns/only', 'spiffe://td/sa/default/app'])
    t.equal(parseSpiffeId(other).workload, undefined, other);
  t.equal(workloadPath({ namespace: 'n', appId: 'a' }), '/ns/n/a');
  t.end();
});

t.test('what is no id', (t) => {
  for (const bad of [
    '',
    'https://public/ns/default/a',
    'spiffe://',
    'spiffe:///ns/default/a',
    'spiffe://Public/ns/default/a',
    'spiffe://user@public/x',
    'spiffe://public:8080/x',
    'spiffe://public/',
    'spiffe://public/ns//a',
    'spiffe://public/ns/../a',
    'spiffe://public/ns/a/',
    'spiffe://public/ns/default/a%2fb',
    'spiffe://public/ns/default/a b',
    `spiffe://public/${'a'.repeat(2100)}`,
  ])
    t.throws(() => parseSpiffeId(bad), /is no SPIFFE id/, bad.slice(0, 40));
  t.end();
});

t.test('the id of a certificate is its only URI', (t) => {
  const id = (subjectAltName: string | undefined, ca = false) =>
    spiffeIdOfCertificate({ subjectAltName, ca }).text;
  t.equal(id('URI:spiffe://td/ns/n/a'), 'spiffe://td/ns/n/a');
  t.equal(id('DNS:host, URI:spiffe://td/ns/n/a, IP Address:127.0.0.1'), 'spiffe://td/ns/n/a');
  t.throws(() => id(undefined), /names no SPIFFE id/);
  t.throws(() => id('DNS:host'), /names no SPIFFE id/);
  t.throws(() => id('URI:spiffe://td/ns/n/a, URI:spiffe://td/ns/n/b'), /more than one URI/);
  t.throws(() => id('URI:https://td/'), /is no SPIFFE id/);
  t.throws(() => id('URI:spiffe://td/ns/n/a', true), /that of an authority/);
  t.throws(
    () => id('DNS:"x, URI:spiffe://td/ns/n/a"'),
    /names no SPIFFE id/,
    'a name with a comma does not pose as another',
  );
  t.throws(() => id('DNS:"never closed, URI:spiffe://td/ns/n/a'), /cannot be read|names no/);
  t.end();
});
