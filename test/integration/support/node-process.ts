/** The program under test as a process: started on free ports, awaited until healthy, stopped or killed. */

import { type ChildProcess, spawn } from 'node:child_process';
import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { Test } from 'tap';
import { call } from './http-call.ts';
import { program } from './package-folder.ts';
import { freePort } from './ports.ts';
import { writeResources } from './resource-files.ts';
import { until } from './until.ts';

export interface Ended {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly output: string;
}

export interface Ports {
  readonly http: number;
  readonly grpc: number;
  readonly internal: number;
  readonly metrics: number;
  readonly mqtt: number;
}

export interface SidecarRequest {
  readonly appId: string;
  readonly appPort?: number;
  /** Resource documents, or a folder that holds them. */
  readonly resources?: readonly string[] | string;
  /** Further arguments. */
  readonly args?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** Taken over from an earlier process, to start it again. */
  readonly ports?: Ports;
  readonly dataDir?: string;
  /** Another `daprd` than ours: only flags that it knows are given. */
  readonly executable?: string;
  /** False: resolve as soon as the process runs. */
  readonly healthy?: boolean;
}

export interface RunningNode {
  readonly ports: Ports;
  readonly dataDir: string;
  /** `http://127.0.0.1:<http port>` */
  readonly base: string;
  readonly mqttUrl: string;
  readonly pid: number;
  readonly ended: Promise<Ended>;
  /** All it has said so far. */
  output(): string;
  /** Asks it to end and waits for that. */
  stop(signal?: NodeJS.Signals): Promise<Ended>;
  /** Power cut: no chance to clean up. */
  kill(): Promise<void>;
}

export interface ChildOptions {
  readonly env?: Readonly<Record<string, string | undefined>>;
  readonly cwd?: string;
}

/** Starts any command; what is left of it dies with the test. */
export function startProcess(
  t: Test,
  command: string,
  args: readonly string[],
  options: ChildOptions = {},
): { readonly child: ChildProcess; readonly ended: Promise<Ended>; output(): string } {
  const child = spawn(command, args, {
    stdio: ['ignore', 'pipe', 'pipe'],
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    env: options.env ?? process.env,
  });
  let output = '';
  const take = (chunk: Buffer): void => {
    output += chunk.toString();
  };
  child.stdout?.on('data', take);
  child.stderr?.on('data', take);
  const ended = new Promise<Ended>((resolve) => {
    child.once('error', (error) => resolve({ code: 127, signal: null, output: `${output}${error.message}` }));
    child.once('close', (code, signal) => resolve({ code, signal, output }));
  });
  t.teardown(async () => {
    if (child.exitCode === null && child.signalCode === null) child.kill('SIGKILL');
    await ended;
  });
  return { child, ended, output: () => output };
}

/** Runs a command to its end. */
export async function runToEnd(
  t: Test,
  command: string,
  args: readonly string[],
  options: ChildOptions = {},
): Promise<Ended> {
  return startProcess(t, command, args, options).ended;
}

/** Five free ports. */
export async function freePorts(): Promise<Ports> {
  return {
    http: await freePort(),
    grpc: await freePort(),
    internal: await freePort(),
    metrics: await freePort(),
    mqtt: await freePort(),
  };
}

/** The flags that put a sidecar on these ports, on loopback. */
export function portFlags(ports: Ports): readonly string[] {
  return [
    `--dapr-http-port=${ports.http}`,
    `--dapr-grpc-port=${ports.grpc}`,
    `--dapr-internal-grpc-port=${ports.internal}`,
    `--metrics-port=${ports.metrics}`,
    '--dapr-listen-addresses=127.0.0.1',
  ];
}

const fresh = new Set<string>();

/** Where the nodes of a test keep their files: empty when the test first asks, removed at its end. */
export function nodesDirectory(t: Test): string {
  const directory = `${t.testdirName}-nodes`;
  if (fresh.has(directory)) return directory;
  fresh.add(directory);
  const remove = (): void => rmSync(directory, { recursive: true, force: true });
  // What an interrupted run left behind must not be found by this one.
  remove();
  mkdirSync(directory, { recursive: true });
  t.teardown(remove);
  return directory;
}

/** Starts `daprd` with one sidecar and the broker, and waits until `healthz` answers 204. */
export async function startSidecar(t: Test, request: SidecarRequest): Promise<RunningNode> {
  const { appId, resources = [], args = [] } = request;
  const ports = request.ports ?? (await freePorts());
  const directory = nodesDirectory(t);
  const dataDir = request.dataDir ?? join(directory, `data-${appId}-${ports.http}`);
  const folder =
    typeof resources === 'string'
      ? resources
      : writeResources(directory, resources, `resources-${appId}-${ports.http}`);
  const ours = request.executable === undefined ? [`--data-dir=${dataDir}`, `--mqtt-port=${ports.mqtt}`] : [];
  const given = request.appPort === undefined ? [] : [`--app-port=${request.appPort}`];
  const all = [
    `--app-id=${appId}`,
    ...given,
    ...portFlags(ports),
    `--resources-path=${folder}`,
    ...ours,
    ...args,
  ];
  const { child, ended, output } = startProcess(t, request.executable ?? program('daprd'), all, {
    env: { ...process.env, ...request.env },
  });
  const node: RunningNode = {
    ports,
    dataDir,
    base: `http://127.0.0.1:${ports.http}`,
    mqttUrl: `mqtt://127.0.0.1:${ports.mqtt}`,
    pid: child.pid ?? 0,
    ended,
    output,
    stop: (signal = 'SIGTERM') => {
      child.kill(signal);
      return ended;
    },
    kill: async () => {
      child.kill('SIGKILL');
      await ended;
    },
  };
  if (request.healthy !== false) await healthy(node);
  return node;
}

/** Waits for `healthz`; a process that ended instead is reported with its last words. */
export async function healthy(
  node: Pick<RunningNode, 'base' | 'ended' | 'output'>,
  limitMs = 30_000,
): Promise<void> {
  let over: Ended | undefined;
  void node.ended.then((ended) => {
    over = ended;
  });
  await until(
    `healthz at ${node.base}`,
    async () => {
      if (over !== undefined)
        throw new Error(`the process ended with ${over.code ?? over.signal}: ${over.output}`);
      const answer = await call(`${node.base}/v1.0/healthz`).catch(() => undefined);
      return answer?.status === 204;
    },
    limitMs,
  ).catch((error: unknown) => {
    throw new Error(`${error instanceof Error ? error.message : String(error)}\n${node.output()}`);
  });
}
