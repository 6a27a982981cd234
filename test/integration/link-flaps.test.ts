// A link that comes and goes in every way a link does: refused, cut after the message arrived, silent without an end.
// Order per key holds, at most one batch is repeated per flap, and by its id every message is there once. FLAPS=50 runs as
// long as the promise says.

import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import { seededRandom } from '../support/seeded-random.ts';
import { call } from './support/http-call.ts';
import { startSidecar } from './support/node-process.ts';
import { component } from './support/resource-files.ts';
import { until } from './support/until.ts';

const FLAPS = Number(process.env['FLAPS'] ?? '4');
const BATCH = 100;
const KEYS = 150;
const AT_ONCE = 15;
const moods = ['refuse', 'cut', 'silent'] as const;

interface Entry {
  readonly event: { readonly key: string; readonly n: number };
  readonly metadata: Readonly<Record<string, string>>;
}

t.setTimeout(40_000 + FLAPS * 6000);
t.test('a link that flaps', async (t) => {
  t.setTimeout(30_000 + FLAPS * 5000);
  const random = seededRandom(7);
  let mood: 'up' | (typeof moods)[number] = 'up';
  const ids = new Set<string>();
  const last = new Map<string, number>();
  let repeated = 0;
  let outOfOrder = 0;
  const take = (id: string, key: string, n: number): void => {
    if (ids.has(id)) {
      repeated += 1;
      return;
    }
    ids.add(id);
    if (n !== (last.get(key) ?? 0) + 1) outOfOrder += 1;
    last.set(key, n);
  };
  const server = createServer((request, response) => {
    if (mood === 'refuse') return void request.socket.destroy();
    const parts: Buffer[] = [];
    request.on('data', (part: Buffer) => parts.push(part));
    request.on('end', () => {
      if (request.method === 'POST') {
        const body = JSON.parse(Buffer.concat(parts).toString()) as Entry[] | Entry['event'];
        if (Array.isArray(body))
          for (const { event, metadata } of body) take(metadata['cloudevent.id'] ?? '', event.key, event.n);
        else take(String(request.headers['skerry-message-id']), body.key, body.n);
      }
      if (mood === 'cut') request.socket.destroy();
      else if (mood !== 'silent') response.writeHead(204).end();
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.teardown(() => {
    server.closeAllConnections();
    server.close();
  });
  const node = await startSidecar(t, {
    appId: 'gateway',
    resources: [
      component('cloud', 'bindings.dapr', {
        baseUrl: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
        path: 'publish/pubsub/readings',
        timeout: '1s',
      }),
    ],
  });
  let sent = 0;
  let over = false;
  const sending = (async () => {
    for (let n = 1; !over; n += 1) {
      const one = async (key: number): Promise<void> => {
        const metadata = { partitionKey: `k${key}` };
        const body = { operation: 'create', data: { key: `k${key}`, n }, metadata };
        const answer = await call(`${node.base}/v1.0/bindings/cloud`, { body });
        if (answer.status === 200) sent += 1;
      };
      for (let from = 0; from < KEYS; from += AT_ONCE)
        await Promise.all(Array.from({ length: AT_ONCE }, (_, key) => one(from + key)));
      await sleep(50);
    }
  })();
  sending.catch(() => undefined);
  for (let flap = 0; flap < FLAPS; flap += 1) {
    await sleep(300 + random.float() * 500);
    mood = moods[Math.floor(random.float() * moods.length)] ?? 'cut';
    await sleep(300 + random.float() * 800);
    mood = 'up';
  }
  over = true;
  await sending.catch(async (error: unknown) => {
    await sleep(300);
    throw new Error(`${error}\n${node.output()}`);
  });
  await until('everything to arrive', async () => ids.size === sent, 30_000);
  t.equal(outOfOrder, 0, 'in order per key');
  t.ok(repeated <= FLAPS * BATCH, `${repeated} repeated in ${FLAPS} flaps`);
  t.comment(`${sent} messages, ${FLAPS} flaps, ${repeated} repeated`);
  t.equal((await node.stop()).code, 0);
});
