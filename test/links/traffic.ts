/** Continuous traffic over a link, by plain HTTP as an app makes it: numbers that count up per key, each call judged. */

import { setTimeout as sleep } from 'node:timers/promises';
import type { Random } from '../../runtime/contracts/random.ts';
import { call } from '../integration/support/http-call.ts';
import { Ledger } from './ledger.ts';
import { LOCAL_PUBSUB, SYNCED_TOPICS } from './synced.ts';
import { type SyncedKeysTraffic, syncedKeysTraffic } from './synced-keys.ts';
import type { AppEvent, World } from './world.ts';

/** By the paths on which apps get them, but for `binding`. */
export const FLOWS = ['binding', 'up', 'down', ...SYNCED_TOPICS] as const;
export type Flow = (typeof FLOWS)[number];
/** What a real daprd cannot be judged by: the events of a subscription that is gone are its broker's. */
const DOWN: readonly Flow[] = ['down', 'sync-down'];

/** What a key of state may hold: the last number that was confirmed, or one that was sent after it. */
export interface Written {
  confirmed: number;
  sent: number;
}

export interface Traffic {
  /** Those that are judged. */
  readonly flows: readonly Flow[];
  readonly synced: SyncedKeysTraffic;
  readonly ledgers: Readonly<Record<Flow, Ledger>>;
  readonly state: ReadonlyMap<string, Written>;
  take(event: AppEvent): void;
  start(world: World): void;
  /** Resolves when the last calls are answered. */
  stop(): Promise<void>;
}

const KEYS = 4;
const SYNCED_TOPIC_KEYS = 2;
const PAUSE_MS = 20;
const SYNCED_PAUSE_MS = 40;
const CALL_LIMIT_MS = 8000;
/** Written together by one transaction, always with the same number. */
export const PAIR = ['pair-a', 'pair-b'] as const;

export function createTraffic(options: { readonly down: boolean; readonly random: Random }): Traffic {
  const flows = FLOWS.filter((flow) => options.down || !DOWN.includes(flow));
  const ledgers = {
    binding: new Ledger(),
    up: new Ledger(),
    down: new Ledger(),
    'sync-up': new Ledger(),
    'sync-queued': new Ledger(),
    'sync-down': new Ledger(),
  } satisfies Record<Flow, Ledger>;
  const synced = syncedKeysTraffic(options.random);
  const state = new Map<string, Written>();
  const numbers = new Map<string, number>();
  let going: Promise<unknown> = Promise.resolve();
  let over = true;

  const loop = async (
    name: string,
    one: (n: number) => Promise<unknown>,
    pauseMs = PAUSE_MS,
  ): Promise<void> => {
    while (!over) {
      const n = (numbers.get(name) ?? 0) + 1;
      numbers.set(name, n);
      await one(n).catch(() => sleep(pauseMs));
      await sleep(pauseMs);
    }
  };
  const post = async (url: string, body: object): Promise<boolean> => {
    const answer = await call(url, { body, timeoutMs: CALL_LIMIT_MS });
    return answer.status >= 200 && answer.status < 300;
  };
  const messages = (
    flow: Flow,
    key: string,
    send: (n: number) => Promise<boolean>,
    pauseMs?: number,
  ): Promise<void> =>
    loop(
      `${flow}/${key}`,
      async (n) => {
        ledgers[flow].sending(key, n);
        if (await send(n)) ledgers[flow].accepted(key, n);
      },
      pauseMs,
    );
  const writes = (keys: readonly string[], send: (n: number) => Promise<boolean>): Promise<void> =>
    loop(`state/${keys[0]}`, async (n) => {
      const entries = keys.map((key) => {
        const entry = state.get(key) ?? { confirmed: 0, sent: 0 };
        state.set(key, entry);
        entry.sent = n;
        return entry;
      });
      if (await send(n)) for (const entry of entries) entry.confirmed = n;
    });

  return {
    flows,
    synced,
    ledgers,
    state,
    take: (event) => {
      const { path, headers, body } = event;
      if (path === '/conflicts') return synced.told(event);
      const flow = FLOWS.find((name) => path === `/${name}`) ?? 'binding';
      const { key, n } = (flow === 'binding' ? body : body['data']) as { key: string; n: number };
      const id = flow === 'binding' ? headers['skerry-message-id'] : body['id'];
      ledgers[flow].came(String(id), key, n);
    },
    start: (world) => {
      over = false;
      const edge = world.base('edge');
      const cloud = world.base('cloud');
      const all: Promise<void>[] = [];
      for (let index = 0; index < KEYS; index += 1) {
        const key = `k${index}`;
        const metadata = { partitionKey: key };
        const query = `metadata.partitionKey=${key}`;
        all.push(
          messages('binding', key, (n) =>
            post(`${edge}/v1.0/bindings/readings`, { operation: 'create', data: { key, n }, metadata }),
          ),
          messages('up', key, (n) => post(`${edge}/v1.0/publish/pubsub/up?${query}`, { key, n })),
          writes([key], (n) => post(`${edge}/v1.0/state/statestore`, [{ key, value: { n } }])),
        );
        if (options.down)
          all.push(messages('down', key, (n) => post(`${cloud}/v1.0/publish/pubsub/down`, { key, n })));
      }
      for (const flow of SYNCED_TOPICS.filter((topic) => flows.includes(topic))) {
        const base =
          flow === 'sync-down' ? `${cloud}/v1.0/publish/pubsub` : `${edge}/v1.0/publish/${LOCAL_PUBSUB}`;
        for (let index = 0; index < SYNCED_TOPIC_KEYS; index += 1) {
          const key = `s${index}`;
          all.push(messages(flow, key, (n) => post(`${base}/${flow}`, { key, n }), SYNCED_PAUSE_MS));
        }
      }
      all.push(
        synced.write(world, () => over),
        writes(PAIR, (n) =>
          post(`${edge}/v1.0/state/statestore/transaction`, {
            operations: PAIR.map((key) => ({ operation: 'upsert', request: { key, value: { n } } })),
          }),
        ),
      );
      going = Promise.all(all);
    },
    stop: async () => {
      over = true;
      await going;
    },
  };
}

/** What a side says of the keys, by key; 0 for a key without a value. */
export async function readState(base: string, keys: readonly string[]): Promise<ReadonlyMap<string, number>> {
  const answer = await call(`${base}/v1.0/state/statestore/bulk`, { body: { keys }, timeoutMs: 2000 });
  if (answer.status !== 200) throw new Error(`${answer.status} ${answer.text}`);
  const found = JSON.parse(answer.text) as { key: string; data?: { n: number }; error?: string }[];
  for (const { key, error } of found) if (error !== undefined) throw new Error(`${key}: ${error}`);
  return new Map(found.map(({ key, data }) => [key, data?.n ?? 0]));
}
