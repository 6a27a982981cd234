/** Apps of both sides that write the same synced keys now and then, and the judgement when the link is whole again. */

import { setTimeout as sleep } from 'node:timers/promises';
import type { Random } from '../../runtime/contracts/random.ts';
import { call } from '../integration/support/http-call.ts';
import { Histories, type Lineage, type Report, sameLineage } from './histories.ts';
import type { Side } from './link.ts';
import { SYNCED_KEYS, SYNCED_STORE, type SyncedKey } from './synced.ts';
import type { AppEvent, World } from './world.ts';

export interface Settled {
  readonly faults: readonly string[];
  /** Since the time given: when the keys that nobody has to decide about were equal. */
  readonly equalMs: number;
  /** The same with the questions answered. */
  readonly answeredMs: number;
}

export interface SyncedKeysTraffic {
  readonly histories: Histories;
  /** A conflict that the edge's app was told of. */
  told(event: AppEvent): void;
  /** Gives every key a first value and waits until both sides have it. */
  begin(world: World): Promise<void>;
  /** Writes until `over` says so. */
  write(world: World, over: () => boolean): Promise<void>;
  /** Waits until both sides are equal and every conflict is told. */
  settle(world: World, since: number): Promise<Settled>;
}

/** Mean pauses between writes of one key: the cloud's apps write now and then. */
const PAUSE_MS: Readonly<Record<Side, number>> = { edge: 120, cloud: 350 };
const PATIENCE_MS = 30_000;
const LOOK_MS = 20;
/** A question stands so long before the test answers it; an answer travels in this time. */
const ANSWER_MS = 1000;
const SIDES: readonly Side[] = ['edge', 'cloud'];
const now = (): number => Number(process.hrtime.bigint()) / 1e6;

interface Read {
  readonly value: Lineage;
  readonly etag: string | undefined;
}

export function syncedKeysTraffic(random: Random): SyncedKeysTraffic {
  const histories = new Histories();
  let count = 0;
  const nextWrite = (side: Side): string => {
    count += 1;
    return `${side === 'edge' ? 'e' : 'c'}${count}`;
  };
  const url = (world: World, side: Side): string => `${world.base(side)}/v1.0/state/${SYNCED_STORE[side]}`;

  const read = async (world: World, side: Side, key: string): Promise<Read> => {
    const { status, text, headers } = await call(`${url(world, side)}/${key}`, { timeoutMs: 2000 });
    if (status !== 200 && status !== 204) throw new Error(`${status} ${text}`);
    return {
      value: text === '' ? {} : (JSON.parse(text) as Lineage),
      etag: typeof headers['etag'] === 'string' ? headers['etag'] : undefined,
    };
  };
  /** As an app that loses no update of its own side: onto the version that it read. */
  const add = async (world: World, side: Side, key: string): Promise<void> => {
    const { value, etag } = await read(world, side, key);
    if (etag === undefined) return;
    const write = nextWrite(side);
    histories.sending(key, write);
    const item = { key, value: { ...value, [write]: 1 }, etag, options: { concurrency: 'first-write' } };
    const { status } = await call(url(world, side), { body: [item], timeoutMs: 8000 });
    if (status === 204) histories.confirmed(key, write);
  };
  const both = (world: World, { key }: SyncedKey) =>
    Promise.all(SIDES.map(async (side) => (await read(world, side, key)).value));
  const differing = async (world: World, keys: readonly SyncedKey[]): Promise<readonly SyncedKey[]> => {
    const looked = await Promise.all(
      keys.map(async (entry) => {
        // A side that does not answer now may answer the next time.
        const [near, far] = await both(world, entry).catch(() => []);
        return near !== undefined && sameLineage(near, far) ? [] : [entry];
      }),
    );
    return looked.flat();
  };
  /** The keys that are still not equal at the end of patience. */
  const equal = async (
    world: World,
    keys: readonly SyncedKey[],
    meanwhile: (open: readonly SyncedKey[]) => Promise<void>,
  ): Promise<readonly SyncedKey[]> => {
    const limit = now() + PATIENCE_MS;
    for (;;) {
      const open = await differing(world, keys);
      if (open.length === 0 || now() > limit) return open;
      await meanwhile(open);
      await sleep(LOOK_MS);
    }
  };
  const difference = async (world: World, entry: SyncedKey): Promise<string> => {
    const read = await both(world, entry).catch((error: unknown) => String(error));
    if (typeof read === 'string') return `${entry.key} cannot be read: ${read}`;
    const [near, far] = read;
    const only = (a: Lineage = {}, b: Lineage = {}): string =>
      Object.keys(a)
        .filter((write) => !(write in b))
        .join(' ');
    return `${entry.key} is not equal: ${only(near, far)} only here, ${only(far, near)} only there`;
  };
  const untold = async (world: World): Promise<readonly string[]> => {
    const { flows } = JSON.parse((await call(`${world.base('edge')}/v1.0/skerry/sync`)).text) as {
      flows: { name: string; conflicts: number; refused?: number; link: string; reason?: string }[];
    };
    return flows.flatMap(({ name, conflicts, link, reason }) => {
      const told = histories.reports(`edge/${name}`);
      return [
        ...(told === conflicts ? [] : [`${name}: ${conflicts} conflicts counted, ${told} told`]),
        ...(link === 'parked' ? [`${name} is parked: ${reason}`] : []),
      ];
    });
  };

  return {
    histories,
    told: ({ body }) => histories.reported({ ...(body['data'] as Report), id: String(body['id']) }),
    begin: async (world) => {
      histories.begin();
      for (const { key, writers } of SYNCED_KEYS) {
        const side = writers[0] ?? 'edge';
        const write = nextWrite(side);
        histories.sending(key, write);
        const { status, text } = await call(url(world, side), { body: [{ key, value: { [write]: 1 } }] });
        if (status !== 204) throw new Error(`the first value of ${key}: ${status} ${text}`);
        histories.confirmed(key, write);
      }
      const open = await equal(world, SYNCED_KEYS, async () => undefined);
      if (open.length > 0)
        throw new Error((await Promise.all(open.map((key) => difference(world, key)))).join());
    },
    write: async (world, over) => {
      const all = SYNCED_KEYS.flatMap(({ key, writers }) =>
        writers.map(async (side) => {
          while (!over()) {
            await add(world, side, key).catch(() => undefined);
            await sleep(PAUSE_MS[side] * (0.5 + random.float()));
          }
        }),
      );
      await Promise.all(all);
    },
    settle: async (world, since) => {
      const asked = SYNCED_KEYS.filter(({ rule }) => rule === 'ask');
      const decided = SYNCED_KEYS.filter(({ rule }) => rule !== 'ask');
      const open = [...(await equal(world, decided, async () => undefined))];
      const equalMs = now() - since;
      let answerAt = now() + ANSWER_MS;
      const answer = async (questions: readonly SyncedKey[]): Promise<void> => {
        if (now() < answerAt) return;
        for (const { key } of questions)
          await add(world, count % 2 === 0 ? 'edge' : 'cloud', key).catch(() => undefined);
        answerAt = now() + ANSWER_MS;
      };
      open.push(...(await equal(world, asked, answer)));
      const answeredMs = now() - since;
      const faults = await Promise.all(open.map((key) => difference(world, key)));
      const wrong = async (): Promise<readonly string[]> => {
        const values = await Promise.all(
          SYNCED_KEYS.map(async (entry) => ({ entry, value: (await both(world, entry))[1] ?? {} })),
        );
        const found = values.flatMap(({ entry: { key, rule }, value }) =>
          histories.faults(key, value, rule === 'merge' || rule === 'one-way'),
        );
        return [...found, ...(await untold(world))];
      };
      // Conflicts come behind everything else that the edge's app is told.
      const limit = now() + PATIENCE_MS;
      const look = () => wrong().catch((error: unknown) => [String(error)]);
      let last = await look();
      while (last.length > 0 && now() < limit) {
        await sleep(LOOK_MS * 5);
        last = await look();
      }
      return { faults: [...faults, ...last], equalMs, answeredMs };
    },
  };
}
