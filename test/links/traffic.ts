/** Continuous traffic over a link, by plain HTTP as an app makes it: numbers that count up per key, each call judged. */

import { setTimeout as sleep } from 'node:timers/promises';
import { call } from '../integration/support/http-call.ts';
import { Ledger } from './ledger.ts';
import type { Side } from './link.ts';
import type { AppEvent, World } from './world.ts';

export const FLOWS = ['binding', 'up', 'down'] as const;
export type Flow = (typeof FLOWS)[number];

/** What a key of state may hold: the last number that was confirmed, or one that was sent after it. */
export interface Written {
  confirmed: number;
  sent: number;
}

export interface Traffic {
  readonly ledgers: Readonly<Record<Flow, Ledger>>;
  readonly state: ReadonlyMap<string, Written>;
  take(side: Side, event: AppEvent): void;
  start(world: World): void;
  /** Resolves when the last calls are answered. */
  stop(): Promise<void>;
}

const KEYS = 4;
const PAUSE_MS = 20;
const CALL_LIMIT_MS = 8000;
/** Written together by one transaction, always with the same number. */
export const PAIR = ['pair-a', 'pair-b'] as const;

export function createTraffic(options: { readonly down: boolean }): Traffic {
  const ledgers = { binding: new Ledger(), up: new Ledger(), down: new Ledger() };
  const state = new Map<string, Written>();
  const numbers = new Map<string, number>();
  let going: Promise<unknown> = Promise.resolve();
  let over = true;

  const loop = async (name: string, one: (n: number) => Promise<unknown>): Promise<void> => {
    while (!over) {
      const n = (numbers.get(name) ?? 0) + 1;
      numbers.set(name, n);
      await one(n).catch(() => sleep(PAUSE_MS));
      await sleep(PAUSE_MS);
    }
  };
  const post = async (url: string, body: object): Promise<boolean> => {
    const answer = await call(url, { body, timeoutMs: CALL_LIMIT_MS });
    return answer.status >= 200 && answer.status < 300;
  };
  const messages = (flow: Flow, key: string, send: (n: number) => Promise<boolean>): Promise<void> =>
    loop(`${flow}/${key}`, async (n) => {
      ledgers[flow].sending(key, n);
      if (await send(n)) ledgers[flow].accepted(key, n);
    });
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
    ledgers,
    state,
    take: (side, { path, headers, body }) => {
      const flow = side === 'edge' ? 'down' : path === '/readings' ? 'binding' : 'up';
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
      all.push(
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
