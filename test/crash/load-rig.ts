/** What all parts of the load share: the options of a run, what clients count and remember, and how they connect. */

import { setTimeout as sleep } from 'node:timers/promises';
import type { Random } from '../../runtime/contracts/random.ts';
import { systemClock } from '../../runtime/platform/system-clock.ts';
import type { Claim } from './claims.ts';
import type { Place, Places } from './places.ts';
import { RawHttp } from './raw-http.ts';
import { RawMqtt, type RawPacket, type RawPublish, type RawWill } from './raw-mqtt.ts';

const clock = systemClock();

export interface LoadOptions {
  readonly httpPort: number;
  readonly mqttPort: number;
  readonly random: Random;
  readonly mark: (claim: Claim) => void;
  readonly places: Places;
  /** Numbers go on over restarts of the process under test. */
  readonly numbers: Map<string, number>;
  /** What clients with sessions remember of their exchanges of QoS 2, over restarts of the process under test. */
  readonly memories: Map<string, Memory>;
  readonly signal: AbortSignal;
  /** Share of full load, to spread a recording over more or fewer messages. */
  readonly pauseMs: number;
}

/** Exchanges that a client has begun, by packet id. */
export interface Memory {
  readonly sending: Map<number, { readonly n: number; released: boolean }>;
  readonly receiving: Map<number, { readonly key: string; readonly n: number }>;
}

export type Worker = (load: Load, name: string) => Promise<void>;

/** One run of the load, as its workers see it. */
export class Load {
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
  tried(key: string, n: number, del = false, id?: number): void {
    this.options.mark({
      m: 'try',
      key,
      n,
      at: clock.now(),
      ...(del ? { del } : {}),
      ...(id === undefined ? {} : { id }),
    });
  }
  acked(key: string, n: number, { place }: { readonly place: Place }): void {
    this.options.mark({ m: 'ack', key, n, place });
  }
  memory(name: string): Memory {
    let memory = this.options.memories.get(name);
    if (memory === undefined) {
      memory = { sending: new Map(), receiving: new Map() };
      this.options.memories.set(name, memory);
    }
    return memory;
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

/** A connection of the client `clientId`. */
export async function openMqtt(
  load: Load,
  clientId: string,
  clean: boolean,
  will?: RawWill,
  onPublish?: (message: RawPublish) => boolean,
  five = false,
): Promise<{ client: RawMqtt; connack: RawPacket }> {
  const { mqttPort, places } = load.options;
  return RawMqtt.open(
    mqttPort,
    places,
    { clientId, clean, five, ...(will === undefined ? {} : { will }) },
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
