/**
 * Enrolling a node: the relay is recognised by the fingerprint in the token before the token is shown to it; then the node's new
 * key is certified. The key never leaves the node.
 */

import { createHash, createPrivateKey, generateKeyPairSync, X509Certificate } from 'node:crypto';
import { request } from 'node:https';
import { connect, type TLSSocket } from 'node:tls';
import { z } from 'zod';
import { errorText } from '../contracts/error.ts';
import { certificateRequest } from '../security/csr.ts';
import type { NodeEnrolment } from './enrolment.ts';

export interface EnrolRequest {
  /** `https://host:port` */
  readonly relay: string;
  readonly token: string;
  readonly node: string;
}

const LIMIT_MS = 15_000;

const answerSchema = z.object({
  node: z.string(),
  appIds: z.array(z.string()),
  trustDomain: z.string(),
  certificate: z.string(),
  authority: z.string(),
});

/** Rejects with what the relay said, or why it is not trusted. */
export async function enrolNode({ relay, token, node }: EnrolRequest): Promise<NodeEnrolment> {
  const url = new URL(relay);
  const [, fingerprint = ''] = token.split('.');
  if (fingerprint === '') throw new Error('the token is incomplete: expected <secret>.<fingerprint>');
  const { privateKey } = generateKeyPairSync('ed25519');
  const socket = await knownRelay(url, fingerprint);
  const { status, text } = await post(url, socket, {
    token,
    node,
    request: certificateRequest(privateKey),
  });
  if (status !== 200) throw new Error(`the relay refuses: ${errorIn(text) ?? `status ${status}`}`);
  const answer = answerSchema.parse(JSON.parse(text));
  if (
    !new X509Certificate(answer.certificate).checkPrivateKey(
      createPrivateKey(privateKey.export({ type: 'pkcs8', format: 'pem' })),
    )
  )
    throw new Error('the relay sent a certificate for another key');
  return {
    relay: url.origin,
    ...answer,
    key: String(privateKey.export({ type: 'pkcs8', format: 'pem' })),
  };
}

/** A connection to a relay whose authority has this fingerprint and whose certificate is for this host. */
function knownRelay(url: URL, fingerprint: string): Promise<TLSSocket> {
  const host = url.hostname.replace(/^\[|\]$/g, '');
  return new Promise((resolve, reject) => {
    const socket = connect({
      host,
      port: Number(url.port === '' ? 443 : url.port),
      ...(/^[\d.:a-f]+$/i.test(host) ? {} : { servername: host }),
      ALPNProtocols: ['http/1.1'],
      minVersion: 'TLSv1.3',
      // The authority is not known yet: it is compared below, before anything is said.
      rejectUnauthorized: false,
    });
    const fail = (cause: unknown): void => {
      socket.destroy();
      reject(new Error(`the relay at ${url.origin} cannot be used: ${errorText(cause)}`, { cause }));
    };
    socket.setTimeout(LIMIT_MS, () => fail(new Error('no answer in time')));
    socket.once('error', fail);
    socket.once('secureConnect', () => {
      const fault = faultOf(socket, host, fingerprint);
      if (fault !== undefined) return fail(new Error(fault));
      socket.off('error', fail);
      resolve(socket);
    });
  });
}

function faultOf(socket: TLSSocket, host: string, fingerprint: string): string | undefined {
  const leaf = socket.getPeerX509Certificate();
  if (leaf === undefined) return 'it shows no certificate';
  const authority = leaf.issuerCertificate;
  if (authority === undefined) return 'it does not show its authority';
  if (createHash('sha256').update(authority.raw).digest('base64url') !== fingerprint)
    return 'it is not the relay that the token is from (another authority)';
  if (!leaf.checkIssued(authority) || !leaf.verify(authority.publicKey))
    return 'its certificate is not of its authority';
  const named = /^[\d.]+$|:/.test(host) ? leaf.checkIP(host) : leaf.checkHost(host);
  return named === undefined
    ? `its certificate is not for ${host} (--public-address of the relay)`
    : undefined;
}

function post(
  url: URL,
  socket: TLSSocket,
  body: object,
): Promise<{ readonly status: number; readonly text: string }> {
  const sent = JSON.stringify(body);
  return new Promise((resolve, reject) => {
    const asked = request(
      url.origin,
      {
        path: '/v1/enroll',
        method: 'POST',
        createConnection: () => socket,
        headers: { 'content-type': 'application/json', 'content-length': Buffer.byteLength(sent) },
      },
      (incoming) => {
        const parts: Buffer[] = [];
        incoming.on('data', (part: Buffer) => parts.push(part));
        incoming.once('error', reject);
        incoming.once('end', () => {
          socket.destroy();
          resolve({ status: incoming.statusCode ?? 0, text: Buffer.concat(parts).toString() });
        });
      },
    );
    asked.once('error', reject);
    asked.end(sent);
  });
}

function errorIn(text: string): string | undefined {
  try {
    return (JSON.parse(text) as { error?: string }).error;
  } catch {
    return undefined;
  }
}
