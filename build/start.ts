// `npm start`: the gateway as a user meets it. Simulated devices speak MQTT to its broker, a sample app beside it stores
// every reading and forwards it, a second node plays the cloud. With `--cloud-outage` the cloud goes away and comes back.

import { once } from 'node:events';
import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Fleet, startFleet } from '../device-sims/fleet.ts';
import { systemClock } from '../runtime/platform/system-clock.ts';
import { assemble } from './build.ts';
import { type DemoOptions, OptionError, readOptions, requireFreePorts, USAGE } from './demo/options.ts';
import { ask, type Part, type PartSpec, startPart } from './demo/parts.ts';
import { fromRoot, outDir } from './paths.ts';
import { hostTarget } from './targets.ts';

const folder = fromRoot('build/out/demo');
const REPORT_MS = 2000;
const SETTLE_MS = 6000;
const DRAIN_LIMIT_MS = 120_000;
const say = (line: string): void => void process.stdout.write(`${line}\n`);

interface AppStats {
  readonly received: number;
  readonly stored: number;
  readonly forwarded: number;
  readonly devices: number;
}

interface CloudStats {
  readonly received: number;
  readonly repeated: number;
  readonly outOfOrder: number;
}

interface Queue {
  readonly accepted: number;
  readonly delivered: number;
  readonly pending: number;
  readonly dropped: Readonly<Record<string, number>>;
}

const EMPTY_QUEUE: Queue = { accepted: 0, delivered: 0, pending: 0, dropped: {} };

class Demo {
  readonly #options: DemoOptions;
  readonly #parts: Part[] = [];
  #cloud: Part | undefined;
  #fleet: Fleet | undefined;
  #ended = false;
  readonly #stop: (code: number) => void;

  constructor(options: DemoOptions, stop: (code: number) => void) {
    this.#options = options;
    this.#stop = stop;
  }

  #start(spec: PartSpec): Promise<Part> {
    return startPart(spec, folder, (message) => {
      if (this.#ended) return;
      say(message);
      this.#stop(1);
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
    return {
      name,
      command: join(outDir(hostTarget), 'skerry'),
      args: [
        ...['run', '--app-id', name, '--app-port', String(appPort)],
        ...['--dapr-http-port', String(http), '--dapr-grpc-port', String(grpc), '--enable-metrics=false'],
        ...['--resources-path', fromRoot(`build/demo/${name}`), '--data-dir', join(folder, name), ...extra],
      ],
      env: { DEMO_CLOUD_URL: `http://127.0.0.1:${this.#options.cloudHttpPort}` },
      readyUrl: `http://127.0.0.1:${http}/v1.0/healthz`,
    };
  }

  async startCloud(): Promise<void> {
    const { cloudAppPort, cloudHttpPort, cloudGrpcPort } = this.#options;
    this.#cloud = await this.#start(
      this.#node('cloud', cloudAppPort, cloudHttpPort, cloudGrpcPort, [
        '--mqtt-port',
        'off',
        '--app-max-concurrency',
        '1',
      ]),
    );
  }

  async stopCloud(): Promise<void> {
    await this.#cloud?.stop();
    this.#cloud = undefined;
  }

  async startAll(): Promise<void> {
    const { appPort, httpPort, grpcPort, mqttPort, cloudAppPort, cloudHttpPort, devices, rate, seed } =
      this.#options;
    this.#parts.push(await this.#start(this.#app('cloud-app', cloudAppPort, cloudHttpPort)));
    await this.startCloud();
    this.#parts.push(await this.#start(this.#app('sample-app', appPort, httpPort)));
    this.#parts.push(
      await this.#start(
        this.#node('gateway', appPort, httpPort, grpcPort, ['--mqtt-port', String(mqttPort)]),
      ),
    );
    say(
      `Gateway up: HTTP API on ${httpPort}, gRPC API on ${grpcPort}, MQTT broker on ${mqttPort}. Cloud node on ${cloudHttpPort}.`,
    );
    const broker = `mqtt://127.0.0.1:${mqttPort}`;
    this.#fleet = await startFleet({ broker, devices, rate, seed, clock: systemClock() });
    say(`${devices} simulated devices are connected and measure ${rate} times a second each.`);
  }

  async queue(): Promise<Queue> {
    const answer = (await ask(`http://127.0.0.1:${this.#options.httpPort}/v1.0/skerry/spool`)) as
      | { readonly queues: readonly (Queue & { readonly name: string })[] }
      | undefined;
    return answer?.queues.find(({ name }) => name === 'gateway/cloud') ?? EMPTY_QUEUE;
  }

  cloudStats(): Promise<CloudStats | undefined> {
    return ask(`http://127.0.0.1:${this.#options.cloudAppPort}/stats`) as Promise<CloudStats | undefined>;
  }

  appStats(): Promise<AppStats | undefined> {
    return ask(`http://127.0.0.1:${this.#options.appPort}/stats`) as Promise<AppStats | undefined>;
  }

  /** One line of what has happened so far. */
  async report(): Promise<void> {
    const [app, cloud, queue] = await Promise.all([this.appStats(), this.cloudStats(), this.queue()]);
    if (this.#ended || app === undefined) return;
    const state = this.#cloud === undefined ? 'cloud OFF' : 'cloud on';
    say(
      `${app.received} readings from ${app.devices} devices | ${app.stored} stored | ${queue.accepted} queued for the cloud: ` +
        `${queue.delivered} delivered, ${queue.pending} waiting | cloud app has ${cloud?.received ?? 0} | ${state}`,
    );
  }

  showCommands(): void {
    const { httpPort, mqttPort } = this.#options;
    const api = `http://localhost:${httpPort}/v1.0`;
    say('');
    say('Try, in another terminal:');
    say(`  curl ${api}/state/statestore/thermometer-1`);
    say(
      `  curl -X POST '${api}/publish/pubsub/devices/valve-4/set?metadata.rawPayload=true' -H 'content-type: application/json' -d '{"position":70}'; sleep 2; curl ${api}/state/statestore/valve-4`,
    );
    say(`  curl ${api}/skerry/spool`);
    say(
      `Any MQTT client is a device: mosquitto_pub -p ${mqttPort} -t devices/mine/temperature -q 1 -m '{"celsius":30}'`,
    );
    say('Ctrl-C ends everything.');
    say('');
  }

  async stopFleet(): Promise<void> {
    await this.#fleet?.stop();
    this.#fleet = undefined;
  }

  /** Inputs first, then the app's sidecar, the apps, the cloud. */
  async close(): Promise<void> {
    this.#ended = true;
    await this.stopFleet();
    for (const part of this.#parts.toReversed()) await part.stop();
    await this.stopCloud();
  }
}

/** Switches the cloud off and on and settles the account. Resolves with the exit code. */
async function outage(demo: Demo, outageMs: number, stopped: AbortSignal): Promise<number> {
  const pause = (ms: number): Promise<unknown> =>
    sleep(ms, undefined, { signal: stopped }).catch(() => undefined);
  await pause(SETTLE_MS);
  if (stopped.aborted) return 0;
  say(`--- The cloud goes away for ${outageMs / 1000} s. ---`);
  await demo.stopCloud();
  await pause(outageMs);
  if (stopped.aborted) return 0;
  say('--- The cloud comes back. ---');
  await demo.startCloud();
  await pause(REPORT_MS);
  await demo.stopFleet();
  let queue = await demo.queue();
  let app = await demo.appStats();
  for (let waited = 0; waited < DRAIN_LIMIT_MS && !stopped.aborted; waited += 200) {
    if (
      queue.pending === 0 &&
      app !== undefined &&
      app.forwarded === app.received &&
      queue.accepted >= app.forwarded
    )
      break;
    await pause(200);
    [queue, app] = [await demo.queue(), await demo.appStats()];
  }
  await pause(1000);
  const cloud = await demo.cloudStats();
  queue = await demo.queue();
  if (stopped.aborted) return 0;
  const dropped = Object.values(queue.dropped).reduce((sum, count) => sum + count, 0);
  const lost = queue.accepted - (cloud?.received ?? 0);
  say('');
  say(
    `accepted ${queue.accepted} = delivered ${queue.delivered} + pending ${queue.pending} + dropped ${dropped}`,
  );
  say(
    `The cloud app received ${cloud?.received ?? 0} readings: ${lost} lost, ${cloud?.repeated ?? 0} repeated, ${cloud?.outOfOrder ?? 0} out of order.`,
  );
  const balanced = queue.accepted === queue.delivered + queue.pending + dropped;
  return balanced && lost === 0 && cloud?.outOfOrder === 0 ? 0 : 1;
}

async function main(): Promise<number> {
  const options = readOptions(process.argv.slice(2));
  if (options === undefined) {
    say(USAGE);
    return 0;
  }
  const stopped = new AbortController();
  let exitCode = 0;
  const stop = (code: number): void => {
    exitCode = Math.max(exitCode, code);
    stopped.abort();
  };
  process.on('SIGINT', () => stop(0));
  process.on('SIGTERM', () => stop(0));
  await requireFreePorts(options);
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  say(await assemble(hostTarget));
  if (stopped.signal.aborted) return exitCode;
  const demo = new Demo(options, stop);
  try {
    await demo.startAll();
    demo.showCommands();
    const reports = setInterval(() => void demo.report(), REPORT_MS);
    if (options.outageMs > 0) stop(await outage(demo, options.outageMs, stopped.signal));
    else if (!stopped.signal.aborted) await once(stopped.signal, 'abort');
    clearInterval(reports);
  } catch (error) {
    say(error instanceof Error ? error.message : String(error));
    stop(1);
  }
  say('Stopping ...');
  await demo.close();
  say(exitCode === 0 ? 'Stopped.' : `Stopped after a failure; logs are in ${folder}.`);
  return exitCode;
}

try {
  process.exitCode = await main();
} catch (error) {
  if (!(error instanceof OptionError)) throw error;
  process.stderr.write(`${error.message}\n`);
  process.exitCode = 1;
}
