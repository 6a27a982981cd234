// The demo as a whole: which processes there are, in which order they start and end, and what they tell about themselves.

import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Fleet, startFleet } from '../../device-sims/fleet.ts';
import { systemClock } from '../../runtime/platform/system-clock.ts';
import { fromRoot } from '../paths.ts';
import type { DemoOptions } from './options.ts';
import { ask, type Part, type PartSpec, runToEnd, startPart } from './parts.ts';
import { type AppStats, type CloudStats, EMPTY_QUEUE, type Flow, type Queue, type Seen } from './report.ts';

export class Demo {
  readonly #options: DemoOptions;
  readonly #skerry: string;
  readonly #folder: string;
  readonly #stop: (message: string) => void;
  readonly #parts: Part[] = [];
  #cloud: readonly Part[] = [];
  #fleet: Fleet | undefined;
  #ended = false;

  /** `stop` is called when a part ended by itself. */
  constructor(options: DemoOptions, skerry: string, stop: (message: string) => void) {
    this.#options = options;
    this.#skerry = skerry;
    this.#folder = options.folder;
    this.#stop = stop;
  }

  #start(spec: PartSpec): Promise<Part> {
    return startPart(spec, this.#folder, (message) => {
      if (!this.#ended) this.#stop(message);
    });
  }

  #app(name: string, port: number, sidecarPort: number): PartSpec {
    return {
      name,
      command: process.execPath,
      args: [fromRoot(`build/demo/${name}.ts`)],
      env: { APP_PORT: String(port), DAPR_HTTP_PORT: String(sidecarPort) },
      readyUrl: `http://127.0.0.1:${port}/stats`,
    };
  }

  #node(name: string, appPort: number, http: number, grpc: number, extra: readonly string[]): PartSpec {
    const { cloudHttpPort, cloudGrpcPort } = this.#options;
    return {
      name,
      command: this.#skerry,
      args: [
        ...['run', '--app-id', name, '--app-port', String(appPort)],
        ...['--dapr-http-port', String(http), '--dapr-grpc-port', String(grpc), '--enable-metrics=false'],
        ...['--resources-path', fromRoot(`build/demo/${name}`), '--data-dir', join(this.#folder, name)],
        ...extra,
      ],
      env: {
        DEMO_CLOUD_URL: `http://127.0.0.1:${cloudHttpPort}`,
        DEMO_CLOUD_GRPC: `127.0.0.1:${cloudGrpcPort}`,
      },
      readyUrl: `http://127.0.0.1:${http}/v1.0/healthz`,
    };
  }

  get #relayFolder(): string {
    return join(this.#folder, 'relay');
  }

  /** The cloud's own names: a machine is one neighbourhood to mDNS, and the gateway must not be found past the relay. */
  #cloudConfiguration(): string {
    const file = join(this.#folder, 'cloud.yaml');
    const nameResolution = {
      component: 'sqlite',
      configuration: { connectionString: join(this.#folder, 'cloud-names.db') },
    };
    const resource = {
      apiVersion: 'dapr.io/v1alpha1',
      kind: 'Configuration',
      metadata: { name: 'cloud' },
      spec: { nameResolution },
    };
    writeFileSync(file, JSON.stringify(resource));
    return file;
  }

  async startCloud(): Promise<void> {
    const { cloudAppPort, cloudHttpPort, cloudGrpcPort, relayPort } = this.#options;
    const config = ['--config', this.#cloudConfiguration()];
    const relay: PartSpec = {
      name: 'relay',
      command: this.#skerry,
      args: [
        ...['relay', '--listen', `127.0.0.1:${relayPort}`, '--data-dir', this.#relayFolder],
        ...['--metrics-port', '0', ...config],
      ],
      readyText: 'Skerry relay is up',
    };
    const flags = ['--mqtt-port', 'off', '--app-max-concurrency', '1', ...config];
    this.#cloud = await Promise.all([
      this.#start(this.#node('cloud', cloudAppPort, cloudHttpPort, cloudGrpcPort, flags)),
      this.#start(relay),
    ]);
  }

  async stopCloud(): Promise<void> {
    const parts = this.#cloud;
    this.#cloud = [];
    await Promise.all(parts.map((part) => part.stop()));
  }

  /** What a person does once: a token from the relay, and the gateway's data folder enrolled with it. */
  async #enrol(): Promise<void> {
    const token = await runToEnd(this.#skerry, [
      ...['relay', 'token', '--app-ids', 'gateway', '--data-dir', this.#relayFolder],
    ]);
    await runToEnd(this.#skerry, [
      ...['enroll', '--relay', `https://127.0.0.1:${this.#options.relayPort}`, '--token', token],
      ...['--node', 'site-1', '--data-dir', join(this.#folder, 'gateway')],
    ]);
  }

  async startAll(): Promise<void> {
    const { appPort, httpPort, grpcPort, mqttPort, cloudAppPort, cloudHttpPort } = this.#options;
    mkdirSync(this.#folder, { recursive: true });
    const apps = [
      this.#app('cloud-app', cloudAppPort, cloudHttpPort),
      this.#app('sample-app', appPort, httpPort),
    ];
    const [started] = await Promise.all([
      Promise.all(apps.map((app) => this.#start(app))),
      this.startCloud().then(() => this.#enrol()),
    ]);
    this.#parts.push(...started);
    const flags = ['--mqtt-port', String(mqttPort)];
    this.#parts.push(await this.#start(this.#node('gateway', appPort, httpPort, grpcPort, flags)));
    const { devices, rate, seed } = this.#options;
    const broker = `mqtt://127.0.0.1:${mqttPort}`;
    this.#fleet = await startFleet({ broker, devices, rate, seed, clock: systemClock() });
  }

  async stopFleet(): Promise<void> {
    await this.#fleet?.stop();
    this.#fleet = undefined;
  }

  async #queue(): Promise<Queue> {
    const answer = (await ask(`http://127.0.0.1:${this.#options.httpPort}/v1.0/skerry/spool`)) as
      | { readonly queues: readonly (Queue & { readonly name: string })[] }
      | undefined;
    return answer?.queues.find(({ name }) => name === 'gateway/cloud') ?? EMPTY_QUEUE;
  }

  async #flows(): Promise<readonly Flow[]> {
    const answer = await ask(`http://127.0.0.1:${this.#options.httpPort}/v1.0/skerry/sync`);
    return (answer as { readonly flows: readonly Flow[] } | undefined)?.flows ?? [];
  }

  /** What there is to see at this moment; `undefined` when the gateway's app does not answer. */
  async look(): Promise<Seen | undefined> {
    const { appPort, cloudAppPort } = this.#options;
    const cloudOn = this.#cloud.length > 0;
    const [app, cloud, called, queue, flows] = await Promise.all([
      ask(`http://127.0.0.1:${appPort}/stats`) as Promise<AppStats | undefined>,
      ask(`http://127.0.0.1:${cloudAppPort}/stats`) as Promise<CloudStats | undefined>,
      cloudOn
        ? (ask(`http://127.0.0.1:${cloudAppPort}/gateway`) as Promise<AppStats | undefined>)
        : undefined,
      this.#queue(),
      this.#flows(),
    ]);
    return app === undefined || this.#ended ? undefined : { app, cloud, called, queue, flows, cloudOn };
  }

  /** Of the devices' last readings: how many are the same in the cloud's store as in the gateway's. */
  async equalReadings(devices: readonly string[]): Promise<number> {
    const { httpPort, cloudHttpPort } = this.#options;
    const last = (port: number, key: string): Promise<unknown> =>
      ask(`http://127.0.0.1:${port}/v1.0/state/statestore/${key}`);
    let equal = 0;
    for (const device of devices) {
      const [here, there] = await Promise.all([
        last(httpPort, device),
        last(cloudHttpPort, `site-1.${device}`),
      ]);
      if (here !== undefined && JSON.stringify(here) === JSON.stringify(there)) equal += 1;
    }
    return equal;
  }

  /** Inputs first, then the app's sidecar, the apps, the cloud. */
  async close(): Promise<void> {
    this.#ended = true;
    await this.stopFleet();
    for (const part of this.#parts.toReversed()) await part.stop();
    await this.stopCloud();
  }
}
