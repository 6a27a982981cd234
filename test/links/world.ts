/** An edge and its cloud with a link between them, the apps of both, and what can befall them. */

import { type ChildProcess, spawn } from 'node:child_process';
import { mkdirSync, readFileSync, rmSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { call } from '../integration/support/http-call.ts';
import { freePorts, type Ports } from '../integration/support/node-process.ts';
import { program } from '../integration/support/package-folder.ts';
import { component, subscription, writeResources } from '../integration/support/resource-files.ts';
import { listenAtBroker } from './broker-listener.ts';
import type { Link, Side } from './link.ts';
import { relayOf } from './relay.ts';
import { SYNCED_UP, syncedAtCloud, syncedAtEdge } from './synced.ts';

export interface AppEvent {
  readonly path: string;
  readonly headers: IncomingMessage['headers'];
  readonly body: Record<string, unknown>;
}

export interface WorldOptions {
  readonly folder: string;
  readonly link: Link;
  /** A real daprd as the cloud; absent: a Skerry node. */
  readonly daprd?: string | undefined;
  /** The edge reaches the cloud through a relay that stands beside it, and by nothing else. */
  readonly relay?: boolean | undefined;
  /** Also a `Sync` of topics and state between components of both. */
  readonly synced?: boolean | undefined;
  readonly take: (event: AppEvent) => void;
  /** More items of the edge's components, by component name. */
  readonly items?: Readonly<Record<string, Readonly<Record<string, string>>>>;
  /** More environment of the edge's node. */
  readonly edgeEnv?: Readonly<Record<string, string>>;
}

export interface World {
  /** Base URL of a side's API, for the test. */
  base(side: Side): string;
  start(side: Side): Promise<void>;
  kill(side: Side): Promise<void>;
  signal(side: Side, name: NodeJS.Signals): void;
  running(side: Side): boolean;
  output(side: Side): string;
  /** Seconds of processor time that the node of a side has used. */
  cpuSeconds(side: Side): number;
  close(): Promise<void>;
}

interface Node {
  readonly child: ChildProcess;
  readonly ended: Promise<void>;
}

/** So much of what a node said is kept. */
const KEPT_OUTPUT = 40_000;
/** Of `/proc/<pid>/stat`. */
const TICKS_PER_SECOND = 100;

export async function createWorld(options: WorldOptions): Promise<World> {
  const { folder, link, daprd } = options;
  const ports: Record<Side | 'broker', Ports> = {
    edge: await freePorts(),
    cloud: await freePorts(),
    broker: await freePorts(),
  };
  const apps = { edge: await app(link, 'edge', options.take), cloud: await app(link, 'cloud', options.take) };
  const relay = options.relay === true ? await relayOf(options, ports.cloud) : undefined;
  const far = {
    baseUrl: relay === undefined ? `http://${await link.across(ports.cloud.http)}` : 'relay:',
    timeout: '5s',
  };
  const grpcAddress = relay === undefined ? await link.across(ports.cloud.grpc) : '';
  const more = options.items ?? {};
  const edge = [
    component('readings', 'bindings.dapr', {
      ...far,
      path: 'invoke/cloud/method/readings',
      ...more['readings'],
    }),
    component('pubsub', 'pubsub.dapr', { ...far, grpcAddress, ...more['pubsub'] }),
    component('statestore', 'state.dapr', { ...far, ...more['statestore'] }),
    ...(daprd === undefined ? [subscription('down', 'pubsub', 'down', '/down')] : []),
    ...(options.synced === true ? syncedAtEdge(far, daprd === undefined) : []),
  ];
  const broker = daprd === undefined ? 'embedded:' : `mqtt://127.0.0.1:${ports.broker.mqtt}`;
  mkdirSync(join(folder, 'cloud'), { recursive: true });
  const cloud = [
    component('pubsub', 'pubsub.mqtt3', {
      url: broker,
      qos: '1',
      consumerID: 'cloud',
      cleanSession: 'false',
    }),
    component('statestore', 'state.sqlite', { connectionString: join(folder, 'cloud/state.db') }),
    ...(daprd === undefined ? [subscription('up', 'pubsub', 'up', '/up')] : []),
    ...(daprd === undefined && options.synced === true ? syncedAtCloud() : []),
  ];
  const resources = {
    edge: writeResources(folder, edge, 'resources-edge'),
    cloud: writeResources(folder, cloud, 'resources-cloud'),
    broker: writeResources(folder, [], 'resources-broker'),
  };
  const nodes = new Map<string, Node>();
  const outputs = new Map<string, string>();

  const launch = async (name: Side | 'broker'): Promise<void> => {
    const side = name === 'broker' ? 'cloud' : name;
    const own = ports[name];
    const real = name === 'cloud' ? daprd : undefined;
    const args = [
      `--app-id=${name}`,
      `--dapr-http-port=${own.http}`,
      `--dapr-grpc-port=${own.grpc}`,
      `--dapr-internal-grpc-port=${own.internal}`,
      `--metrics-port=${own.metrics}`,
      '--dapr-listen-addresses=0.0.0.0',
      ...(name === 'edge' && relay !== undefined ? relay.edgeArguments : []),
      `--resources-path=${resources[name]}`,
      ...(name === 'broker'
        ? []
        : [
            `--app-port=${apps[name].port}`,
            `--app-channel-address=${link.host(name)}`,
            '--app-max-concurrency=1',
          ]),
      ...(real === undefined
        ? [`--data-dir=${join(folder, `data-${name}`)}`, `--mqtt-port=${own.mqtt}`]
        : []),
      ...(name === 'broker' ? ['--mqtt-listen-address=0.0.0.0', '--mqtt-allow-anonymous'] : []),
    ];
    const env = name === 'edge' ? { ...process.env, ...options.edgeEnv } : process.env;
    const [command, given] = link.command(side, real ?? program('daprd'), args);
    const child = spawn(command, given, { env, stdio: ['ignore', 'pipe', 'pipe'] });
    const hear = (bytes: Buffer): void => {
      outputs.set(name, ((outputs.get(name) ?? '') + bytes.toString()).slice(-KEPT_OUTPUT));
    };
    child.stdout?.on('data', hear);
    child.stderr?.on('data', hear);
    const ended = new Promise<void>((resolve) => child.once('close', () => resolve()));
    const node = { child, ended };
    nodes.set(name, node);
    let over = false;
    void ended.then(() => {
      over = true;
    });
    const base = `http://${link.address(side)}:${own.http}`;
    for (let left = 600; left > 0; left -= 1) {
      if (over) throw new Error(`${name} ended:\n${outputs.get(name)}`);
      const answer = await call(`${base}/v1.0/healthz`, { timeoutMs: 1000 }).catch(() => undefined);
      if (answer?.status === 204) return;
      await sleep(25);
    }
    throw new Error(`${name} does not become healthy:\n${outputs.get(name)}`);
  };
  const kill = async (name: string): Promise<void> => {
    const node = nodes.get(name);
    nodes.delete(name);
    node?.child.kill('SIGKILL');
    await node?.ended;
  };

  let listener: { close(): Promise<void> } | undefined;
  if (daprd !== undefined) {
    await launch('broker');
    const url = `mqtt://${link.address('cloud')}:${ports.broker.mqtt}`;
    listener = await listenAtBroker(url, ['up', ...SYNCED_UP], options.take);
  }
  await relay?.enrol(join(folder, 'data-edge'));
  return {
    base: (side) => `http://${link.address(side)}:${ports[side].http}`,
    start: async (side) => {
      if (side === 'cloud') await relay?.start();
      await launch(side);
    },
    kill: async (side) => {
      if (side === 'cloud') await relay?.kill();
      await kill(side);
    },
    signal: (side, name) => void nodes.get(side)?.child.kill(name),
    running: (side) => nodes.has(side),
    output: (side) => outputs.get(side) ?? '',
    cpuSeconds: (side) => {
      const stat = readFileSync(`/proc/${nodes.get(side)?.child.pid}/stat`, 'utf8');
      const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
      return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND;
    },
    close: async () => {
      await listener?.close();
      for (const name of [...nodes.keys()]) await kill(name);
      await relay?.kill();
      for (const { server } of Object.values(apps)) {
        server.closeAllConnections();
        server.close();
      }
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

async function app(
  link: Link,
  side: Side,
  take: WorldOptions['take'],
): Promise<{ readonly server: Server; readonly port: number }> {
  const server = createServer((request, response) => {
    const parts: Buffer[] = [];
    request.on('data', (part: Buffer) => parts.push(part));
    request.on('end', () => {
      const text = Buffer.concat(parts).toString();
      if (request.method === 'POST' && text !== '') {
        const path = (request.url ?? '').split('?')[0] ?? '';
        take({ path, headers: request.headers, body: JSON.parse(text) as Record<string, unknown> });
      }
      response.writeHead(request.method === 'POST' ? 200 : 404).end();
    });
  });
  await new Promise<void>((resolve) => server.listen(0, link.host(side), resolve));
  return { server, port: (server.address() as AddressInfo).port };
}
