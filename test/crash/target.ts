/** The far side of the queued binding: away now and then. */

import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Random } from '../../runtime/contracts/random.ts';
import type { Claim } from './claims.ts';

const TARGET_TURN_MS = 150;

interface Numbered {
  readonly key: string;
  readonly n: number;
}

/** A message by itself, or the events of a bulk publish. */
function received(text: string): readonly Numbered[] {
  const body = JSON.parse(text) as Numbered | readonly { readonly event: Numbered }[];
  return Array.isArray(body) ? body.map(({ event }) => event) : [body as Numbered];
}

/** The far side of the queued binding: away now and then; it says what it got before it answers. */
export async function startTarget(mark: (claim: Claim) => void, random: Random): Promise<Server> {
  let away = false;
  const server = createServer((request, response) => {
    if (away) {
      request.socket.destroy();
      return;
    }
    const parts: Buffer[] = [];
    request.on('data', (part: Buffer) => parts.push(part));
    request.on('end', () => {
      if (request.method === 'POST') {
        for (const { key, n } of received(Buffer.concat(parts).toString())) mark({ m: 'got', key, n });
      }
      response.end();
    });
  });
  const over = new AbortController();
  const turn = async (): Promise<void> => {
    for (;;) {
      await sleep(TARGET_TURN_MS, undefined, { signal: over.signal });
      away = random.float() < 0.6;
    }
  };
  void turn().catch(() => undefined);
  server.on('close', () => over.abort());
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return server;
}

export function portOf(server: Server): number {
  return (server.address() as AddressInfo).port;
}
