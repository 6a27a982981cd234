/**
 * What the commands of the relay's machine ask of it (`skerry relay token`, `skerry mesh ls`): HTTP on loopback, with a key that
 * only the owner of the data folder can read.
 */

import { timingSafeEqual } from 'node:crypto';
import { readFile, unlink } from 'node:fs/promises';
import { createServer, type IncomingMessage, request, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { z } from 'zod';
import { errorText } from '../contracts/error.ts';
import type { Random } from '../contracts/random.ts';
import type { Enrolling } from './enrolling.ts';
import { writeWhole } from './enrolment.ts';
import { MAX_APP_IDS, NODE_NAME } from './protocol.ts';
import type { Relay } from './relay.ts';

const KEY_BYTES = 32;
const MAX_BODY_BYTES = 64 * 1024;
const LIMIT_MS = 10_000;

export interface AdminOptions {
  readonly dataDir: string;
  readonly random: Random;
  readonly relay: Pick<Relay, 'nodes' | 'revoke'>;
  readonly enrolling: Pick<Enrolling, 'token'>;
}

/** What `skerry relay token` may ask for. */
export const tokenRequest = z.object({
  appIds: z
    .array(z.string().regex(/^[^.\s]{1,256}$/, 'app ids have no dots and no spaces'))
    .min(1)
    .max(MAX_APP_IDS),
  ttlMs: z
    .number()
    .int()
    .min(1000)
    .max(30 * 86_400_000),
  node: z.string().regex(NODE_NAME, 'a node name has letters, digits, ".", "_" and "-"').optional(),
});

function adminFile(dataDir: string): string {
  return join(dataDir, 'relay-admin.json');
}

/** Serves until it is closed; tells port and key in a file of the data folder. */
export async function openAdmin(options: AdminOptions): Promise<{ close(): Promise<void> }> {
  const key = Buffer.from(options.random.bytes(KEY_BYTES)).toString('base64url');
  const server = createServer({ requestTimeout: LIMIT_MS }, (incoming, response) => {
    void answer(incoming, response, key, options);
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen({ host: '127.0.0.1', port: 0 }, resolve);
  });
  const { port } = server.address() as AddressInfo;
  await writeWhole(adminFile(options.dataDir), JSON.stringify({ port, key }));
  return {
    close: async () => {
      await unlink(adminFile(options.dataDir)).catch(() => {});
      server.closeAllConnections();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}

async function answer(
  incoming: IncomingMessage,
  response: ServerResponse,
  key: string,
  options: AdminOptions,
): Promise<void> {
  const reply = (status: number, body: object): void => {
    response.writeHead(status, { 'content-type': 'application/json' });
    response.end(`${JSON.stringify(body)}\n`);
  };
  try {
    if (!sameText(incoming.headers['authorization'] ?? '', `Bearer ${key}`)) {
      reply(401, { error: 'the key of the data folder is required' });
      return;
    }
    const { status, body } = await act(`${incoming.method} ${incoming.url}`, await bodyOf(incoming), options);
    reply(status, body);
  } catch (cause) {
    reply(400, { error: cause instanceof z.ZodError ? z.prettifyError(cause) : errorText(cause) });
  }
}

async function act(
  what: string,
  body: string,
  { relay, enrolling }: AdminOptions,
): Promise<{ readonly status: number; readonly body: object }> {
  if (what === 'GET /nodes') return { status: 200, body: { nodes: await relay.nodes() } };
  if (what === 'POST /token')
    return { status: 200, body: { token: await enrolling.token(tokenRequest.parse(JSON.parse(body))) } };
  if (what === 'POST /revoke') {
    const { node } = z.object({ node: z.string() }).parse(JSON.parse(body));
    if (await relay.revoke(node)) return { status: 200, body: { node } };
    return { status: 404, body: { error: `there is no node ${node} that could be revoked` } };
  }
  return { status: 404, body: { error: 'unknown request' } };
}

async function bodyOf(incoming: IncomingMessage): Promise<string> {
  const parts: Buffer[] = [];
  let length = 0;
  for await (const part of incoming as AsyncIterable<Buffer>) {
    length += part.length;
    if (length > MAX_BODY_BYTES) throw new Error('the request is too large');
    parts.push(part);
  }
  return Buffer.concat(parts).toString();
}

function sameText(given: string, expected: string): boolean {
  const [one, other] = [Buffer.from(given), Buffer.from(expected)];
  return one.length === other.length && timingSafeEqual(one, other);
}

/** Asks the relay that runs on this data folder. Rejects with what it says, or that there is none. */
export async function askRelay(
  dataDir: string,
  method: 'GET' | 'POST',
  path: string,
  body?: object,
): Promise<unknown> {
  const text = await readFile(adminFile(dataDir), 'utf8').catch(() => {
    throw new Error(`no relay runs on the data folder ${dataDir} (--data-dir)`);
  });
  const { port, key } = z.object({ port: z.number(), key: z.string() }).parse(JSON.parse(text));
  const sent = body === undefined ? '' : JSON.stringify(body);
  const answered = await new Promise<{ status: number; text: string }>((resolve, reject) => {
    const asked = request(
      {
        host: '127.0.0.1',
        port,
        path,
        method,
        agent: false,
        timeout: LIMIT_MS,
        headers: { authorization: `Bearer ${key}`, 'content-length': Buffer.byteLength(sent) },
      },
      (incoming) => {
        bodyOfAnswer(incoming).then(
          (answerText) => resolve({ status: incoming.statusCode ?? 0, text: answerText }),
          reject,
        );
      },
    );
    asked.once('timeout', () => asked.destroy(new Error('no answer in time')));
    asked.once('error', (error) =>
      reject(new Error(`the relay of ${dataDir} does not answer: ${errorText(error)}`)),
    );
    asked.end(sent);
  });
  const parsed = JSON.parse(answered.text) as { error?: string };
  if (answered.status !== 200) throw new Error(parsed.error ?? `the relay answered ${answered.status}`);
  return parsed;
}

async function bodyOfAnswer(incoming: IncomingMessage): Promise<string> {
  const parts: Buffer[] = [];
  for await (const part of incoming as AsyncIterable<Buffer>) parts.push(part);
  return Buffer.concat(parts).toString();
}
