/**
 * `npm run soak -- --minutes 30 [--clients 1000] [--rate 100]`: MQTT clients with durable sessions that come and go, a
 * queued binding whose target is away every other half minute, and state, all with a node that has 128 MB of memory (a control
 * group where one can be made). Ends with exit code 1 when something acknowledged did not arrive, when memory grew after
 * the warm-up, or when the node did not live through it.
 */

import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { type MeasuredNode, startMeasured } from '../bench/support/measured-node.ts';
import { RawHttp } from '../crash/raw-http.ts';
import { component } from '../integration/support/resource-files.ts';
import { memoryCgroup } from './memory-cgroup.ts';
import { RingClient } from './soak-clients.ts';

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '30' },
    clients: { type: 'string', default: '1000' },
    rate: { type: 'string', default: '100' },
    folder: { type: 'string', default: tmpdir() },
  },
});
const MINUTES = Number(values.minutes);
const CLIENTS = Number(values.clients);
/** MQTT messages a second; a tenth of it goes through the queued binding, a tenth to the state store. */
const RATE = Number(values.rate);
const LIMIT = 128 * 1024 * 1024;
/** Part of the time after which nothing may grow any more. */
const WARM_UP = 0.3;
/** What the collector of garbage may leave more at one look than at another. */
const SLACK_BYTES = 4 * 1024 * 1024;
const AWAY_SHARE = 0.02;
const LOOK_MS = 5000;
/** Looks (5 minutes) within which the whole heap is collected at least once. */
const LONG_PART = 60;
const SETTLE_MS = 60_000;
const TURN_MS = 50;
const say = (line: string): void => void process.stdout.write(`${line}\n`);
/** Anonymous memory: pages of the program file are the kernel's to drop. */
const memoryOf = (node: MeasuredNode): number => node.memory('RssAnon');
const megabytes = (bytes: number): string => `${(bytes / 1024 / 1024).toFixed(1)} MB`;
const faults: string[] = [];

/** The target of the queued binding; what it took, by id. */
function startTarget(): Promise<{ port: number; taken: Set<string>; present: boolean; close(): void }> {
  const server = createServer((request, response) => {
    request.resume();
    request.on('end', () => {
      if (!target.present) return void request.socket.destroy();
      const id = request.headers['skerry-message-id'];
      if (typeof id === 'string') target.taken.add(id);
      response.writeHead(id === undefined ? 204 : 200).end();
    });
  });
  const target = { port: 0, taken: new Set<string>(), present: true, close: () => void server.close() };
  return new Promise((resolve) => {
    server.listen(0, '127.0.0.1', () => {
      target.port = (server.address() as AddressInfo).port;
      resolve(target);
    });
  });
}

/** Calls `one` so many times a second until `stop`; at most `most` calls are open. */
async function steadily(
  rate: number,
  stop: AbortSignal,
  most: number,
  one: () => Promise<void>,
): Promise<void> {
  const from = performance.now();
  const open = new Set<Promise<void>>();
  for (let done = 0; !stop.aborted; await sleep(TURN_MS)) {
    const due = Math.floor(((performance.now() - from) / 1000) * rate);
    for (; done < due; done += 1) {
      if (open.size >= most) continue;
      const call = one()
        .catch((error: unknown) => void (stop.aborted || faults.push(String(error))))
        .finally(() => open.delete(call));
      open.add(call);
    }
  }
  await Promise.all(open);
}

/** Memory at regular looks; the greatest of the last third must not be above that of the third after the warm-up. */
async function watch(node: MeasuredNode, stop: AbortSignal): Promise<void> {
  const looks: number[] = [];
  for (let look = 0; !stop.aborted; look += 1) {
    await sleep(LOOK_MS);
    if (!node.running()) {
      faults.push('the node is gone');
      return;
    }
    looks.push(memoryOf(node));
    if (look % 12 === 0)
      say(
        `${Math.round((look * LOOK_MS) / 1000)} s: ${megabytes(looks.at(-1) ?? 0)} anonymous, ${megabytes(node.memory('VmRSS'))} resident`,
      );
  }
  const warm = looks.slice(Math.floor(looks.length * WARM_UP));
  const part = Math.max(1, Math.floor(warm.length / 3));
  const [first, last] = [warm.slice(0, part), warm.slice(-part)];
  const early = middle(first);
  const late = middle(last);
  const kept = [Math.min(...first), Math.min(...last)] as const;
  const most = Math.max(...looks);
  say(
    `anonymous memory: ${megabytes(early)} after the warm-up, ${megabytes(late)} at the end, at most ${megabytes(most)}; ` +
      `lowest ${megabytes(kept[0])} and ${megabytes(kept[1])}`,
  );
  // A leak also shows in what the collections leave; only parts that are long enough have seen one.
  const leaks = part < LONG_PART || kept[1] > kept[0] + SLACK_BYTES;
  if (late > early + SLACK_BYTES && leaks)
    faults.push(`memory grew by ${megabytes(late - early)} after the warm-up`);
  if (most > LIMIT) faults.push(`the process had ${megabytes(most)}`);
}

function middle(list: readonly number[]): number {
  return [...list].sort((a, b) => a - b)[Math.floor(list.length / 2)] ?? 0;
}

async function comeAndGo(clients: readonly RingClient[], stop: AbortSignal): Promise<void> {
  const away = Math.ceil(clients.length * AWAY_SHARE);
  for (let at = 0; !stop.aborted; at = (at + away) % clients.length) {
    const some = clients.slice(at, at + away);
    for (const client of some) client.leave();
    await sleep(3000);
    for (const client of some) await client.connect();
  }
}

async function settled(clients: readonly RingClient[], missing: () => number): Promise<void> {
  for (let waited = 0; waited < SETTLE_MS; waited += 500) {
    const behind = clients.some(({ received }, at) => received < (clients.at(at - 1)?.acknowledged ?? 0));
    if (!behind && missing() === 0) return;
    await sleep(500);
  }
}

async function main(folder: string): Promise<void> {
  const target = await startTarget();
  const group = memoryCgroup(LIMIT);
  const bounded = 'missing' in group ? undefined : group;
  if ('missing' in group)
    say(`control group: not available (${group.missing}); anonymous memory is compared with 128 MB`);
  else say(`control group: ${group.kind}, 128 MB`);
  const node = await startMeasured({
    folder,
    name: 'soak',
    resources: [
      component('store', 'state.sqlite', { connectionString: 'skerry:system' }),
      component('cloud', 'bindings.dapr', { baseUrl: `http://127.0.0.1:${target.port}` }),
    ],
    ...(bounded === undefined ? {} : { cgroup: bounded.processes }),
  });
  const clients = Array.from(
    { length: CLIENTS },
    (_, id) => new RingClient(id, (id + 1) % CLIENTS, node.ports.mqtt),
  );
  for (const client of clients) {
    await client.connect();
    await client.subscribe();
  }
  say(`${CLIENTS} clients, ${RATE} messages a second, ${MINUTES} minutes`);
  const stop = AbortSignal.timeout(MINUTES * 60_000);
  const http = await RawHttp.open(node.ports.http, new Map());
  const stateHttp = await RawHttp.open(node.ports.http, new Map());
  let queued = 0;
  const written = node.written();
  let turn = 0;
  let states = 0;
  await Promise.all([
    steadily(RATE, stop, CLIENTS, () => {
      turn = (turn + 1) % CLIENTS;
      return (clients[turn] as RingClient).publish();
    }),
    steadily(RATE / 10, stop, 1, async () => {
      const body = JSON.stringify({ operation: 'create', data: 'x'.repeat(200) });
      const answer = await http.send('POST', '/v1.0/bindings/cloud', body);
      if (answer.status >= 300) throw new Error(`${answer.status} ${answer.body}`);
      queued += 1;
    }),
    steadily(RATE / 10, stop, 1, async () => {
      states += 1;
      const body = JSON.stringify([{ key: `k${states % 500}`, value: states }]);
      const answer = await stateHttp.send('POST', '/v1.0/state/store', body);
      if (answer.status !== 204) throw new Error(`${answer.status} ${answer.body}`);
    }),
    steadily(1 / 30, stop, 1, async () => {
      target.present = !target.present;
    }),
    comeAndGo(clients, stop),
    watch(node, stop),
  ]);
  target.present = true;
  for (const client of clients) if (client.isAway) await client.connect();
  await settled(clients, () => queued - target.taken.size);
  for (const [at, { received, faults: own }] of clients.entries()) {
    const acknowledged = clients.at(at - 1)?.acknowledged ?? 0;
    if (received < acknowledged) faults.push(`client ${at} got ${received} of ${acknowledged}`);
    faults.push(...own);
  }
  if (target.taken.size < queued) faults.push(`the target got ${target.taken.size} of ${queued}`);
  const sum = (of: (client: RingClient) => number): number => clients.reduce((all, one) => all + of(one), 0);
  const acknowledged = sum((one) => one.acknowledged);
  const total = acknowledged + queued + states;
  say(
    `${acknowledged} MQTT messages acknowledged, ${sum((one) => one.received)} received, ${sum((one) => one.repeats)} repeats; ` +
      `${queued} queued, ${target.taken.size} at the target; ${states} states; ` +
      `${Math.round((node.written() - written) / Math.max(1, total))} bytes written for each`,
  );
  const kills = bounded?.kills() ?? 0;
  if (kills > 0) faults.push(`the kernel killed ${kills} times`);
  for (const client of clients) client.leave();
  http.close();
  stateHttp.close();
  target.close();
  await node.stop();
  await sleep(200);
  bounded?.remove();
}

const folder = mkdtempSync(join(values.folder, 'skerry-soak-'));
try {
  await main(folder);
} finally {
  rmSync(folder, { recursive: true, force: true });
}
for (const fault of faults.slice(0, 20)) say(`FAULT: ${fault}`);
say(faults.length === 0 ? 'nothing lost, nothing grew' : `${faults.length} faults`);
process.exit(faults.length === 0 ? 0 : 1);
