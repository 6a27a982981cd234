/** `bindings.http` over TLS: private authorities, client certificates, and items that are at fault. */

import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import type { TLSSocket } from 'node:tls';
import t, { type Test } from 'tap';
import { definition } from '../../../../edge-components/bindings/http/component.ts';
import type { BindingResponse } from '../../../../runtime/contracts/binding.ts';
import { decodeMetadata } from '../../../../runtime/contracts/metadata.ts';
import { componentDeps } from '../../../support/component-deps.ts';
import {
  CA_CERT,
  CLIENT_CERT,
  CLIENT_KEY,
  SERVER_CERT,
  SERVER_KEY,
} from '../../../support/test-certificates.ts';

const never = new AbortController().signal;

/** A server that wants a client certificate and answers with its name. */
async function secureServer(t: Test): Promise<string> {
  const options = {
    cert: SERVER_CERT,
    key: SERVER_KEY,
    ca: CA_CERT,
    requestCert: true,
    rejectUnauthorized: true,
  };
  const server = createServer(options, (request, response) => {
    response.end(String((request.socket as TLSSocket).getPeerCertificate().subject.CN));
  });
  server.on('tlsClientError', () => {});
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.teardown(
    () =>
      new Promise<void>((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  );
  return `https://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

async function get(t: Test, items: Readonly<Record<string, string>>): Promise<string> {
  const decoded = decodeMetadata(definition.metadata, items);
  if (!decoded.ok) throw new Error(decoded.faults.join('; '));
  const binding = definition.create(decoded.value, componentDeps());
  await binding.init(never);
  t.teardown(() => binding.close());
  const request = { operation: 'get', data: new Uint8Array(), metadata: {} };
  const response: BindingResponse | undefined = await binding.invoke?.(request, never);
  return Buffer.from(response?.data ?? []).toString('utf8');
}

t.test('authority and client certificate as texts or as files', async (t) => {
  const url = await secureServer(t);
  const texts = { url, MTLSRootCA: CA_CERT, MTLSClientCert: CLIENT_CERT, MTLSClientKey: CLIENT_KEY };
  t.equal(await get(t, texts), 'client');
  t.equal(await get(t, { ...texts, mtlsRenegotiation: 'RenegotiateFreelyAsClient' }), 'client');
  const dir = t.testdir({ 'ca.pem': CA_CERT, 'client.pem': CLIENT_CERT, 'client.key': CLIENT_KEY });
  const files = {
    url,
    mtlsRootCA: join(dir, 'ca.pem'),
    mtlsClientCert: join(dir, 'client.pem'),
    mtlsClientKey: join(dir, 'client.key'),
  };
  t.equal(await get(t, files), 'client');
});

t.test('an authority that is not known, a client without certificate', async (t) => {
  const url = await secureServer(t);
  await t.rejects(get(t, { url, MTLSClientCert: CLIENT_CERT, MTLSClientKey: CLIENT_KEY }), {
    message: /^Get "https:.*": (unable to verify|self.signed)/,
  });
  await t.rejects(get(t, { url, MTLSRootCA: CA_CERT }), { message: /^Get "https:/ });
});

t.test('items that cannot be used stop the start and are named', async (t) => {
  const url = 'https://127.0.0.1:1';
  const dir = t.testdir({ 'notes.txt': 'hello' });
  await t.rejects(get(t, { url, MTLSRootCA: '/no/such.pem' }), {
    message: /^metadata item 'MTLSRootCA': neither a PEM text nor a readable file: ENOENT/,
  });
  await t.rejects(get(t, { url, MTLSClientCert: join(dir, 'notes.txt') }), {
    message: /^metadata item 'MTLSClientCert': .*notes\.txt holds no PEM block/,
  });
  await t.rejects(get(t, { url, MTLSClientCert: CLIENT_CERT, MTLSClientKey: SERVER_KEY }), {
    message: /^metadata items MTLSClientCert, MTLSClientKey: .*key values mismatch/,
  });
});
