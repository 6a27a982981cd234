/**
 * A fleet of simulated devices on one MQTT broker. Same seed, same devices and the same messages in the same order per
 * device; when they arrive depends on the network. Used by tests and by `main.ts`.
 */

import mqtt, { type MqttClient } from 'mqtt';
import type { Clock, Timer } from '../runtime/contracts/clock.ts';
import type { Random } from '../runtime/contracts/random.ts';
import type { Device, Profile, Reading } from './device.ts';
import { type Fault, type FaultPlan, faultPlan } from './faults.ts';
import { doorContact } from './profiles/door-contact.ts';
import { powerMeter } from './profiles/power-meter.ts';
import { thermometer } from './profiles/thermometer.ts';
import { valve } from './profiles/valve.ts';
import { seededRandom } from './seeded-random.ts';

export const PROFILES: readonly Profile[] = [thermometer, doorContact, powerMeter, valve];

export interface FleetOptions {
  /** `mqtt://host:port`, credentials included where the broker wants them. */
  readonly broker: string;
  readonly devices: number;
  /** Messages per second of each device. */
  readonly rate: number;
  readonly seed: number;
  readonly faults?: readonly Fault[];
  readonly profiles?: readonly Profile[];
  readonly clock: Clock;
}

export interface ProfileCounts {
  /** Handed to the MQTT client. */
  readonly sent: number;
  /** Confirmed by the broker (QoS 0: written). */
  readonly acknowledged: number;
  /** Given up: too much was unconfirmed already, or the fleet stopped. */
  readonly dropped: number;
  /** Commands carried out. */
  readonly commands: number;
}

export interface Fleet {
  readonly ids: readonly string[];
  /** Devices connected at this moment. */
  connected(): number;
  counts(): Readonly<Record<string, ProfileCounts>>;
  /** Stops measuring, waits for confirmations under way (at most 5 s) and disconnects. */
  stop(): Promise<void>;
}

const MAX_UNCONFIRMED = 200;
const STOP_PATIENCE_MS = 5000;

type Counts = { -readonly [K in keyof ProfileCounts]: ProfileCounts[K] };

/** Connects the devices (each goes on trying by itself) and lets them measure. */
export async function startFleet(options: FleetOptions): Promise<Fleet> {
  const { devices, rate, seed } = options;
  if (!(Number.isInteger(devices) && devices > 0))
    throw new Error(`devices: expected a positive integer, got ${devices}`);
  if (!(rate > 0)) throw new Error(`rate: expected a positive number, got ${rate}`);
  const profiles = options.profiles ?? PROFILES;
  const counts: Record<string, Counts> = {};
  const fleet: SimulatedDevice[] = [];
  for (let index = 0; index < devices; index += 1) {
    const profile = profiles[index % profiles.length] as Profile;
    const profileCounts = counts[profile.name] ?? { sent: 0, acknowledged: 0, dropped: 0, commands: 0 };
    counts[profile.name] = profileCounts;
    fleet.push(
      new SimulatedDevice(
        `${profile.name}-${index + 1}`,
        profile,
        options,
        seededRandom(seed, index),
        profileCounts,
      ),
    );
  }
  await Promise.all(fleet.map((device) => device.start()));
  return {
    ids: fleet.map((device) => device.id),
    connected: () => fleet.filter((device) => device.connected).length,
    counts: () => structuredClone(counts),
    stop: async () => {
      await Promise.all(fleet.map((device) => device.stop()));
    },
  };
}

class SimulatedDevice {
  readonly id: string;
  readonly #options: FleetOptions;
  readonly #random: Random;
  readonly #counts: Counts;
  readonly #device: Device;
  readonly #faults: FaultPlan;
  #client: MqttClient | undefined;
  #timer: Timer | undefined;
  #unconfirmed = 0;
  #drained: (() => void) | undefined;
  #stopped = false;

  constructor(id: string, profile: Profile, options: FleetOptions, random: Random, counts: Counts) {
    this.id = id;
    this.#options = options;
    this.#random = random;
    this.#counts = counts;
    this.#device = profile.create(random);
    this.#faults = faultPlan(options.faults ?? [], random, options.clock.now());
  }

  get connected(): boolean {
    return this.#client?.connected === true;
  }

  /** Resolves with the first connection; rejects when the very first attempt fails. */
  async start(): Promise<void> {
    const client = mqtt.connect(this.#options.broker, {
      clientId: `sim-${this.#options.seed}-${this.id}`,
      clean: this.#device.command === undefined,
      reconnectPeriod: 500,
    });
    this.#client = client;
    await new Promise<void>((resolve, reject) => {
      client.once('connect', () => resolve());
      client.once('error', (error) => {
        client.end(true);
        const why = error.message === '' ? String((error as NodeJS.ErrnoException).code) : error.message;
        reject(new Error(`${this.id} cannot connect to ${this.#options.broker}: ${why}`, { cause: error }));
      });
    });
    client.removeAllListeners('error');
    client.on('error', () => {}); // it reconnects by itself
    if (this.#device.command !== undefined) {
      client.on('message', (_topic, payload) => this.#obey(payload));
      await client.subscribeAsync(`devices/${this.id}/set`, { qos: 1 });
    }
    this.#schedule();
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#timer?.cancel();
    if (this.#unconfirmed > 0) {
      await new Promise<void>((resolve) => {
        const patience = this.#options.clock.startTimer(STOP_PATIENCE_MS, resolve);
        this.#drained = () => {
          patience.cancel();
          resolve();
        };
      });
    }
    this.#counts.dropped += this.#unconfirmed;
    await this.#client?.endAsync(this.#unconfirmed > 0);
  }

  #schedule(): void {
    if (this.#stopped) return;
    const delayMs = (1000 / this.#options.rate) * (0.5 + this.#random.float());
    this.#timer = this.#options.clock.startTimer(delayMs, () => {
      this.#tick();
      this.#schedule();
    });
  }

  #tick(): void {
    const count = this.#faults.burst();
    for (let n = 0; n < count; n += 1) this.#send(this.#faults.spoil(this.#device.measure(this.#moment())));
    if (this.#faults.disconnects()) this.#client?.stream.destroy();
  }

  #obey(payload: Uint8Array): void {
    const answer = this.#device.command?.(payload, this.#moment());
    if (answer === undefined) return;
    this.#counts.commands += 1;
    this.#send(answer);
  }

  #moment(): { now: number; random: Random } {
    return { now: Math.floor(this.#options.clock.now() + this.#faults.clockOffsetMs), random: this.#random };
  }

  #send(reading: Reading): void {
    const client = this.#client;
    if (client === undefined || this.#unconfirmed >= MAX_UNCONFIRMED) {
      this.#counts.dropped += 1;
      return;
    }
    this.#unconfirmed += 1;
    this.#counts.sent += 1;
    const { measurement, payload, qos, retain } = reading;
    client.publish(`devices/${this.id}/${measurement}`, Buffer.from(payload), { qos, retain }, (error) => {
      if (this.#stopped && this.#unconfirmed === 0) return;
      this.#unconfirmed -= 1;
      if (error === undefined || error === null) this.#counts.acknowledged += 1;
      else this.#counts.dropped += 1;
      if (this.#unconfirmed === 0) this.#drained?.();
    });
  }
}
