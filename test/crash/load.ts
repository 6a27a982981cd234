/**
 * Mixed load on all ways in. Every client counts: it says what it tries before it sends, and what was acknowledged with
 * the place of the acknowledgement in its connection. A client whose connection breaks goes on with the next number.
 */

import { setTimeout as sleep } from 'node:timers/promises';
import { Load, type LoadOptions, numberIn, openMqtt, type Worker } from './load-rig.ts';
import { delayedMourner, exactReader, exactSender, expiring, JOBS, jobReader } from './load-sessions.ts';
import type { RawMqtt } from './raw-mqtt.ts';

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

const binder =
  (binding: string, channel: string): Worker =>
  async (load, name) => {
    const client = await load.http();
    while (!load.over) {
      const key = `${channel}:${name}`;
      const n = load.next(key);
      load.tried(key, n);
      const metadata = { partitionKey: name, priority: String(load.pick(10)) };
      const body = { operation: 'create', data: { key, n }, metadata };
      await load.call(client, 'POST', `bindings/${binding}`, body, [[key, n]]);
      await load.pause();
    }
  };

/** Up to eight publishes in flight. */
const devicePublisher =
  (qos: 1 | 2, channel = 'news'): Worker =>
  async (load, name) => {
    const { client } = await openMqtt(load, name, true);
    const flying = new Set<Promise<void>>();
    while (!load.over && !client.ended) {
      const key = `${channel}:${name}`;
      const n = load.next(key);
      load.tried(key, n);
      const one = client.publish(`${channel}/${name}`, String(n), qos).then((answer) => {
        if (answer !== undefined) load.acked(key, n, answer);
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
    if (answer !== undefined) load.acked(key, n, answer);
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
    load.acked(key, n, suback);
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
    load.acked(key, n, connack);
    await load.pause(10);
    if (load.pick(3) > 0) client.destroy();
    else {
      load.options.mark({ m: 'off', key, n });
      await client.disconnect();
    }
    await load.pause(2);
  }
};

/** A session that reads some of its messages and goes away again, or is taken over by its next connection. */
const reader: Worker = async (load, name) => {
  let last: RawMqtt | undefined;
  while (!load.over) {
    let room = 5 + load.pick(40);
    const { client } = await openMqtt(load, name, false, undefined, ({ topic, payload }) => {
      if (room <= 0) return false;
      room -= 1;
      const n = numberIn(payload);
      load.options.mark({ m: 'got', key: `read:${topic.slice(5)}`, n });
      return true;
    });
    last?.destroy();
    load.acked(`sub:${name}`, 1, await client.subscribe(['news/#'], 1));
    await load.pause(10);
    last = load.pick(2) === 0 ? client : undefined;
    if (last === undefined) client.destroy();
    await load.pause(10);
  }
  last?.destroy();
};

const WORKERS: readonly (readonly [string, Worker])[] = [
  ['s0', stateWriter],
  ['s1', stateWriter],
  ['t0', transactor],
  ['t1', transactor],
  ['h0', publisher],
  ['h1', publisher],
  ['b0', binder('cloud', 'spool')],
  ['b1', binder('cloud', 'spool')],
  ['f0', binder('fleeting', 'fleet')],
  ['q1a', devicePublisher(1)],
  ['q1b', devicePublisher(1)],
  ['q2a', devicePublisher(2)],
  ['k0', keeper],
  ['r0', roamer],
  ['w0', mourner],
  ['w1', mourner],
  ['d0', delayedMourner],
  ['x0', exactSender],
  ['e0', expiring],
  ['j0', devicePublisher(1, 'jobs')],
  ['sh0', jobReader],
  ['sh1', jobReader],
  ['exact', exactReader],
  ['reader', reader],
];

/** Subscribes the session that never reads, everything published later waits in it; and those that share jobs. */
export async function openLateSession(options: LoadOptions): Promise<void> {
  const load = new Load(options);
  const { client } = await openMqtt(load, 'late', false);
  load.acked('sub:late', 1, await client.subscribe(['news/#', 'wills/#', 'brief/#'], 2));
  client.destroy();
  for (const name of ['sh0', 'sh1']) {
    const member = await openMqtt(load, name, false);
    load.acked(`sub:${name}`, 1, await member.client.subscribe([JOBS], 1));
    member.client.destroy();
  }
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
