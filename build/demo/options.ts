// Options of `npm start`: ports, the fleet, the outage.

import { createServer } from 'node:net';
import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { fromRoot } from '../paths.ts';

export interface DemoOptions {
  readonly httpPort: number;
  readonly grpcPort: number;
  readonly mqttPort: number;
  readonly appPort: number;
  readonly cloudHttpPort: number;
  readonly cloudGrpcPort: number;
  readonly cloudAppPort: number;
  readonly relayPort: number;
  readonly devices: number;
  readonly rate: number;
  readonly seed: number;
  /** Emptied at the start; data and logs of all parts. */
  readonly folder: string;
  /** Length of the outage; 0: none, run until Ctrl-C. */
  readonly outageMs: number;
}

const PORTS = {
  'http-port': { fallback: '3500', what: "the gateway's HTTP API" },
  'grpc-port': { fallback: '50001', what: "the gateway's gRPC API" },
  'mqtt-port': { fallback: '1883', what: 'the MQTT broker' },
  'app-port': { fallback: '6100', what: 'the sample app' },
  'cloud-http-port': { fallback: '3600', what: "the cloud node's HTTP API" },
  'cloud-grpc-port': { fallback: '50101', what: "the cloud node's gRPC API" },
  'cloud-app-port': { fallback: '6200', what: 'the cloud app' },
  'relay-port': { fallback: '8443', what: "the cloud's relay, which the gateway dials" },
} as const;

type PortName = keyof typeof PORTS;

export const USAGE = `npm start -- [options]

Runs a gateway, simulated devices, a sample app, and a second node with an app and a relay that plays the cloud. Ctrl-C
ends it.

  --cloud-outage TIME   after a few seconds switch the cloud off for TIME (such as 20s), show that nothing is lost, end
  --devices N           simulated devices (default 12)
  --rate N              messages per second of each device (default 1)
  --seed N              seed of the fleet (default 1)
  --folder PATH         data and logs of all parts, emptied at the start (default build/out/demo)
${Object.entries(PORTS)
  .map(([name, { fallback, what }]) => `  --${`${name} PORT`.padEnd(20)}${what} (default ${fallback})`)
  .join('\n')}`;

/** Something the person at the keyboard can change; said in one line. */
export class OptionError extends Error {
  override readonly name = 'OptionError';
}

function number(name: string, text: string, max = Number.MAX_SAFE_INTEGER): number {
  const value = Number(text);
  if (Number.isFinite(value) && value > 0 && value <= max) return value;
  throw new OptionError(`--${name}: expected a number from 1 to ${max}, got '${text}'`);
}

function time(text: string): number {
  const match = /^(\d+(?:\.\d+)?)(ms|s|m)$/.exec(text);
  const unit = { ms: 1, s: 1000, m: 60_000 }[match?.[2] ?? ''];
  if (match === null || unit === undefined)
    throw new OptionError(`--cloud-outage: expected a time such as 20s, got '${text}'`);
  return Number(match[1]) * unit;
}

/** `undefined` when only help was asked for. */
export function readOptions(args: readonly string[]): DemoOptions | undefined {
  const text = { type: 'string' } as const;
  let values: Record<string, string | boolean | undefined>;
  try {
    ({ values } = parseArgs({
      args: [...args],
      options: {
        'cloud-outage': text,
        devices: text,
        rate: text,
        seed: text,
        folder: text,
        help: { type: 'boolean', short: 'h' },
        ...Object.fromEntries(Object.keys(PORTS).map((name) => [name, text])),
      },
    }));
  } catch (error) {
    throw new OptionError(error instanceof Error ? error.message : String(error));
  }
  if (values['help'] === true) return undefined;
  const port = (name: PortName): number => number(name, String(values[name] ?? PORTS[name].fallback), 65_535);
  return {
    httpPort: port('http-port'),
    grpcPort: port('grpc-port'),
    mqttPort: port('mqtt-port'),
    appPort: port('app-port'),
    cloudHttpPort: port('cloud-http-port'),
    cloudGrpcPort: port('cloud-grpc-port'),
    cloudAppPort: port('cloud-app-port'),
    relayPort: port('relay-port'),
    folder: resolve(String(values['folder'] ?? fromRoot('build/out/demo'))),
    devices: number('devices', String(values['devices'] ?? '12'), 1000),
    rate: number('rate', String(values['rate'] ?? '1'), 100),
    seed: number('seed', String(values['seed'] ?? '1')),
    outageMs: values['cloud-outage'] === undefined ? 0 : time(String(values['cloud-outage'])),
  };
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = createServer();
    probe.once('error', () => resolve(false));
    probe.listen(port, '127.0.0.1', () => probe.close(() => resolve(true)));
  });
}

/** Rejects with one line per port that is taken, naming the option that changes it. */
export async function requireFreePorts(options: DemoOptions): Promise<void> {
  const byName: Readonly<Record<PortName, number>> = {
    'http-port': options.httpPort,
    'grpc-port': options.grpcPort,
    'mqtt-port': options.mqttPort,
    'app-port': options.appPort,
    'cloud-http-port': options.cloudHttpPort,
    'cloud-grpc-port': options.cloudGrpcPort,
    'cloud-app-port': options.cloudAppPort,
    'relay-port': options.relayPort,
  };
  const taken: string[] = [];
  for (const [name, port] of Object.entries(byName)) {
    if (await isFree(port)) continue;
    taken.push(
      `Port ${port} (${PORTS[name as PortName].what}) is in use; choose another with: npm start -- --${name} PORT`,
    );
  }
  if (taken.length > 0) throw new OptionError(taken.join('\n'));
}
