/**
 * The part of the load that lives from sessions: QoS 2 in both directions by clients that keep their half of the exchange
 * as MQTT asks for, shared subscriptions, messages that expire, and wills that wait.
 */

import { type Load, numberIn, openMqtt, type Worker } from './load-rig.ts';
import type { RawMqtt } from './raw-mqtt.ts';

/** What the sharing sessions subscribe to. */
export const JOBS = '$share/crew/jobs/#';

const MAX_FLYING = 4;

/** Sends with QoS 2 from a session that outlives its connection: what was begun is finished under its packet id. */
export const exactSender: Worker = async (load, name) => {
  const { sending } = load.memory(name);
  while (!load.over) {
    const { client, connack } = await openMqtt(load, name, false);
    client.releases = false;
    load.acked(`session:${name}`, 1, connack);
    if (sending.size > 0 && connack.body[0] !== 1) throw new Error(`the session ${name} is gone`);
    for (const id of [...sending.keys()]) await exchange(load, client, name, id, true);
    const count = 3 + load.pick(12);
    const flying = new Set<Promise<void>>();
    for (let sent = 0; sent < count && !load.over; sent += 1) {
      const n = load.next(`news:${name}`);
      let id = client.takeId();
      while (sending.has(id)) id = client.takeId();
      load.tried(`news:${name}`, n, false, id);
      sending.set(id, { n, released: false });
      const one = exchange(load, client, name, id, false).finally(() => flying.delete(one));
      one.catch(() => undefined);
      flying.add(one);
      if (flying.size >= MAX_FLYING) await Promise.race(flying);
      await load.pause();
    }
    client.destroy();
    await Promise.allSettled(flying);
    await load.pause(2);
  }
};

async function exchange(
  load: Load,
  client: RawMqtt,
  name: string,
  id: number,
  again: boolean,
): Promise<void> {
  const { sending } = load.memory(name);
  const one = sending.get(id);
  if (one === undefined) return;
  if (!one.released) {
    load.acked(`news:${name}`, one.n, await client.publishAs(id, `news/${name}`, String(one.n), again));
    load.tried(`release:${name}`, one.n);
    one.released = true;
  }
  load.acked(`release:${name}`, one.n, await client.release(id));
  sending.delete(id);
}

/** Reads with QoS 2 and remembers the packet ids it has seen; now and then its next connection takes it over. */
export const exactReader: Worker = async (load, name) => {
  const { receiving } = load.memory(name);
  let last: RawMqtt | undefined;
  while (!load.over) {
    let room = 5 + load.pick(40);
    const { client } = await openMqtt(load, name, false, undefined, ({ topic, payload, qos, id }) => {
      const key = topic.slice(5);
      const n = numberIn(payload);
      const known = receiving.get(id);
      if (qos === 2 && known?.key === key && known.n === n) return true;
      if (room <= 0) return false;
      room -= 1;
      load.options.mark({ m: 'got', key: `exact:${key}`, n });
      if (qos === 2) receiving.set(id, { key, n });
      return true;
    });
    client.onRelease = (id, place) => {
      const known = receiving.get(id);
      if (known !== undefined) load.acked(`exact:${known.key}`, known.n, { place });
      receiving.delete(id);
    };
    last?.destroy();
    load.acked(`sub:${name}`, 1, await client.subscribe(['news/#'], 2));
    await load.pause(10);
    last = load.pick(2) === 0 ? client : undefined;
    if (last === undefined) client.destroy();
    await load.pause(10);
  }
  last?.destroy();
};

/** One of the sessions that share the jobs. */
export const jobReader: Worker = async (load, name) => {
  while (!load.over) {
    let room = 5 + load.pick(20);
    const { client } = await openMqtt(load, name, false, undefined, ({ topic, payload }) => {
      if (room <= 0) return false;
      room -= 1;
      load.options.mark({ m: 'got', key: `jobs:${topic.slice(5)}`, n: numberIn(payload) });
      return true;
    });
    await load.pause(8);
    client.destroy();
    await load.pause(8);
  }
};

const LONG_S = 3600;

/** MQTT 5 messages with an expiry: far away, or within the run. */
export const expiring: Worker = async (load, name) => {
  const { client } = await openMqtt(load, name, true, undefined, undefined, true);
  while (!load.over) {
    const channel = load.pick(2) === 0 ? 'news' : 'brief';
    const key = `${channel}:${name}`;
    const n = load.next(key);
    load.tried(key, n);
    const expiry = channel === 'news' ? LONG_S : 1;
    const answer = await client.publish(`${channel}/${name}`, String(n), 1, false, expiry);
    if (answer !== undefined) load.acked(key, n, answer);
    await load.pause();
  }
  client.destroy();
};

/** Wills with a delay that never passes by itself: the next connection takes the last one back. */
export const delayedMourner: Worker = async (load, name) => {
  while (!load.over) {
    const key = `later:${name}`;
    const n = load.next(key);
    load.tried(key, n);
    const will = { topic: `wills/${name}`, payload: String(n), delay: LONG_S };
    const { client, connack } = await openMqtt(load, name, false, will, undefined, true);
    load.acked(key, n, connack);
    await load.pause(6);
    if (load.pick(3) > 0) client.destroy();
    else {
      load.options.mark({ m: 'off', key, n });
      await client.disconnect();
    }
    await load.pause(4);
  }
};
