/**
 * Mixed load on all ways in. Every client counts: it says what it tries before it sends, and what was acknowledged with
 * the place of the acknowledgement in its connection. A client whose connection breaks goes on with the next number.
 */

import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Random } from '../../runtime/contracts/random.ts';
import type { Claim } from './claims.ts';
import type { Places } from './places.ts';
import { RawHttp } from './raw-http.ts';
import { RawMqtt } from './raw-mqtt.ts';

export interface LoadOptions {
  readonly httpPort: number;
  readonly mqttPort: number;
  readonly random: Random;
  readonly mark: (claim: Claim) => void;
  readonly places: Places;
  /** Numbers go on over restarts of the process under test. */
  readonly numbers: Map<string, number>;
  readonly signal: AbortSignal;
  /** Share of full load, to spread a recording over more or fewer messages. */
  readonly pauseMs: number;
}

type Worker = (load: Load, name: string) => Promise<void>;

class Load {
  readonly options: LoadOptions;
  constructor(options: LoadOptions) {
    this.options = options;
  }
  get over(): boolean {
    return this.options.signal.aborted;
  }
  next(key: string): number {
    const n = (this.options.numbers.get(key) ?? 0) + 1;
    this.options.numbers.set(key, n);
    return n;
  }
  tried(key: string, n: number, del = false): void {
    this.options.mark({ m: 'try', key, n, ...(del ? { del } : {}) });
  }
  pick(below: number): number {
    return Math.floor(this.options.random.float() * below);
  }
  pause(times = 1): Promise<void> {
    return sleep(this.options.random.float() * this.options.pauseMs * times);
  }
  http(): Promise<RawHttp> {
    return RawHttp.open(this.options.httpPort, this.options.places);
  }
  async call(client: RawHttp, method: string, path: string, body: object, keys: readonly [string, number][]) {
    const answer = await client.send(method, `/v1.0/${path}`, JSON.stringify(body));
    if (answer.status < 200 || answer.status > 299)
      throw new Error(`${method} ${path}: ${answer.status} ${answer.body}`);
    for (const [key, n] of keys) this.options.mark({ m: 'ack', key, n, place: answer.place });
  }
}

const stateWriter: Worker = async (load, name) => {
  const client = await load.http();
  while (!load.over) {
    const id = `${name}-${load.pick(6)}`;
    const key = `state:${id}`;
    const n = load.next(key);
    const del = load.pick(5) === 0;
    load.tried(key, n, del);
    const value = { n, pad: 'x'.repeat(load.pick(4) === 0 ? 3000 : 40) };
    if (del) await load.call(client, 'DELETE', `state/store/${id}`, {}, [[key, n]]);
    else await load.call(client, 'POST', 'state/store', [{ key: id, value }] as object, [[key, n]]);
    await load.pause();
  }
};

const transactor: Worker = async (load, name) => {
  const client = await load.http();
  while (!load.over) {
    const n = load.next(`tx:${name}`);
    load.tried(`tx:${name}`, n);
    const operations = ['a', 'b', 'c'].map((part) => ({
      operation: 'upsert',
      request: { key: `${name}-${part}`, value: { n } },
    }));
    await load.call(client, 'POST', 'state/store/transaction', { operations }, [[`tx:${name}`, n]]);
    await load.pause();
  }
};

const publisher: Worker = async (load, name) => {
  const client = await load.http();
  while (!load.over) {
    const key = `news:${name}`;
    const n = load.next(key);
    load.tried(key, n);
    await load.call(client, 'POST', `publish/pubsub/news%2F${name}`, { n }, [[key, n]]);
    await load.pause();
  }
};

const binder: Worker = async (load, name) => {
  const client = await load.http();
  while (!load.over) {
    const key = `spool:${name}`;
    const n = load.next(key);
    load.tried(key, n);
    const metadata = { partitionKey: name, priority: String(load.pick(10)) };
    const body = { operation: 'create', data: { key, n }, metadata };
    await load.call(client, 'POST', 'bindings/cloud', body, [[key, n]]);
    await load.pause();
  }
};

/** Up to eight publishes in flight. */
const devicePublisher =
  (qos: 1 | 2): Worker =>
  async (load, name) => {
    const { client } = await openMqtt(load, name, true);
    const flying = new Set<Promise<void>>();
    while (!load.over && !client.ended) {
      const key = `news:${name}`;
      const n = load.next(key);
      load.tried(key, n);
      const one = client.publish(`news/${name}`, String(n), qos).then((answer) => {
        if (answer !== undefined) load.options.mark({ m: 'ack', key, n, place: answer.place });
        flying.delete(one);
      });
      one.catch(() => flying.delete(one));
      flying.add(one);
      if (flying.size >= 8) await Promise.race(flying);
      await load.pause();
    }
    await Promise.allSettled(flying);
    client.destroy();
  };

const keeper: Worker = async (load, name) => {
  const { client } = await openMqtt(load, name, true);
  while (!load.over) {
    const key = `keep:${name}-${load.pick(5)}`;
    const n = load.next(key);
    const del = load.pick(5) === 0;
    load.tried(key, n, del);
    const answer = await client.publish(key.replace(':', '/'), del ? '' : String(n), 1, true);
    if (answer !== undefined) load.options.mark({ m: 'ack', key, n, place: answer.place });
    await load.pause();
  }
  client.destroy();
};

const roamer: Worker = async (load, name) => {
  while (!load.over) {
    const key = `roam:${name}`;
    const { client } = await openMqtt(load, name, false);
    const n = load.next(key);
    load.tried(key, n);
    const suback = await client.subscribe(n === 1 ? [`r/${name}/1`, `r/${name}/end`] : [`r/${name}/${n}`], 1);
    load.options.mark({ m: 'ack', key, n, place: suback.place });
    if (n > 1) {
      load.tried(`unroam:${name}`, n - 1);
      const unsuback = await client.unsubscribe(`r/${name}/${n - 1}`);
      load.options.mark({ m: 'ack', key: `unroam:${name}`, n: n - 1, place: unsuback.place });
    }
    if (load.pick(2) === 0) await client.disconnect();
    else client.destroy();
    await load.pause(4);
  }
};

const mourner: Worker = async (load, name) => {
  while (!load.over) {
    const key = `will:${name}`;
    const n = load.next(key);
    load.tried(key, n);
    const will = { topic: `wills/${name}`, payload: String(n) };
    const { client, connack } = await openMqtt(load, name, true, will);
    load.options.mark({ m: 'ack', key, n, place: connack.place });
    await load.pause(10);
    if (load.pick(3) > 0) client.destroy();
    else {
      load.options.mark({ m: 'off', key, n });
      await client.disconnect();
    }
    await load.pause(2);
  }
};

/** A session that reads some of its messages and goes away again. */
const reader: Worker = async (load, name) => {
  while (!load.over) {
    let room = 5 + load.pick(40);
    const { client } = await openMqtt(load, name, false, undefined, ({ topic, payload }) => {
      if (room <= 0) return false;
      room -= 1;
      const n = numberIn(payload);
      load.options.mark({ m: 'got', key: `read:${topic.slice(5)}`, n });
      return true;
    });
    const suback = await client.subscribe(['news/#'], 1);
    load.options.mark({ m: 'ack', key: `sub:${name}`, n: 1, place: suback.place });
    await load.pause(10);
    client.destroy();
    await load.pause(10);
  }
};

async function openMqtt(
  load: Load,
  clientId: string,
  clean: boolean,
  will?: { topic: string; payload: string },
  onPublish?: Parameters<typeof RawMqtt.open>[3],
) {
  const { mqttPort, places } = load.options;
  return RawMqtt.open(
    mqttPort,
    places,
    { clientId, clean, ...(will === undefined ? {} : { will }) },
    onPublish,
  );
}

/** The number in a plain payload or in the data of a CloudEvent. */
export function numberIn(payload: Buffer): number {
  const text = payload.toString();
  if (!text.startsWith('{')) return text === '' ? Number.NaN : Number(text);
  try {
    return Number((JSON.parse(text) as { data?: { n?: number } }).data?.n);
  } catch {
    return Number.NaN;
  }
}

const WORKERS: readonly (readonly [string, Worker])[] = [
  ['s0', stateWriter],
  ['s1', stateWriter],
  ['t0', transactor],
  ['t1', transactor],
  ['h0', publisher],
  ['h1', publisher],
  ['b0', binder],
  ['b1', binder],
  ['q1a', devicePublisher(1)],
  ['q1b', devicePublisher(1)],
  ['q2a', devicePublisher(2)],
  ['k0', keeper],
  ['r0', roamer],
  ['w0', mourner],
  ['w1', mourner],
  ['reader', reader],
];

/** Subscribes the session that never reads; everything published later waits in it. */
export async function openLateSession(options: LoadOptions): Promise<void> {
  const load = new Load(options);
  const { client } = await openMqtt(load, 'late', false);
  const suback = await client.subscribe(['news/#', 'wills/#'], 2);
  options.mark({ m: 'ack', key: 'sub:late', n: 1, place: suback.place });
  client.destroy();
}

/** Runs until the signal; a client that lost its connection while the signal is not given starts again. */
export async function runLoad(options: LoadOptions): Promise<readonly string[]> {
  const load = new Load(options);
  const faults: string[] = [];
  const one = async (name: string, worker: Worker): Promise<void> => {
    while (!load.over) {
      try {
        await worker(load, name);
      } catch (error) {
        if (load.over) return;
        faults.push(`${name}: ${error instanceof Error ? error.message : String(error)}`);
        if (faults.length > 50) return;
        await sleep(20);
      }
    }
  };
  await Promise.all(WORKERS.map(([name, worker]) => one(name, worker)));
  return faults;
}

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
