// An edge and its cloud with an app of an official SDK on either side: the edge a Skerry node whose components stand on the
// cloud's sidecar, enrolled at a relay that runs in the cloud; the cloud a Skerry node or a real daprd. The programs
// (mesh.ts, mesh.py of test/sdks) know names only.

import { type ChildProcess, spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { freePort } from '../../test/integration/support/ports.ts';
import { cacheDir, outDir } from '../paths.ts';
import { hostTarget } from '../targets.ts';
import { type ProgramResult, verdicts } from './run.ts';
import { component, isHealthy, READY_MS, startTicker, TICKER_MS, TOKEN } from './sidecar.ts';
import { type SmallRedis, startSmallRedis } from './small-redis.ts';

export interface MeshRun {
  /** The commands of the programs. */
  readonly edge: readonly string[];
  readonly cloud: readonly string[];
  readonly protocol: string;
  /** A real daprd as the cloud's sidecar; undefined: a Skerry node. */
  readonly daprd: string | undefined;
}

interface Running {
  readonly child: ChildProcess;
  readonly ended: Promise<void>;
  output(): string;
}

interface SidecarPlace {
  readonly appId: string;
  readonly executable: string;
  readonly app: number;
  readonly http: number;
  readonly grpc: number;
  readonly env: Readonly<Record<string, string>>;
  readonly more: readonly string[];
}

const LIMIT_MS = 120_000;
const STOP_MS = 8000;
const POLL_MS = 20;
const skerry = (): string => join(outDir(hostTarget), 'skerry');
const ourDaprd = (): string => join(outDir(hostTarget), 'daprd');

/** What one run holds, ended in reverse. */
class Mesh {
  readonly #folder: string;
  readonly #run: MeshRun;
  readonly #processes: Running[] = [];
  #ticker: { stop(): void } | undefined;
  #redis: SmallRedis | undefined;

  constructor(run: MeshRun, folder: string) {
    this.#run = run;
    this.#folder = folder;
  }

  launch(command: string, args: readonly string[], env: Readonly<Record<string, string>> = {}): Running {
    const child = spawn(command, args, { env: { ...process.env, ...env }, stdio: ['pipe', 'pipe', 'pipe'] });
    const chunks: Buffer[] = [];
    child.stdout.on('data', (chunk: Buffer) => chunks.push(chunk));
    child.stderr.on('data', (chunk: Buffer) => chunks.push(chunk));
    child.stdin.on('error', () => {});
    const ended = new Promise<void>((resolve) => {
      child.once('close', () => resolve());
      child.once('error', (error) => {
        chunks.push(Buffer.from(error.message));
        resolve();
      });
    });
    const running = { child, ended, output: () => Buffer.concat(chunks).toString() };
    this.#processes.push(running);
    return running;
  }

  async finish(command: string, args: readonly string[]): Promise<string> {
    const { child, ended, output } = this.launch(command, args);
    await ended;
    if (child.exitCode !== 0) throw new Error(`${args[0]}: ${output()}`);
    return output().trim();
  }

  #resources(name: string, documents: readonly object[]): string {
    const folder = join(this.#folder, name);
    mkdirSync(folder, { recursive: true });
    for (const [index, document] of documents.entries())
      writeFileSync(join(folder, `${index}.yaml`), JSON.stringify(document));
    return `--resources-path=${folder}`;
  }

  /** Names of its own for each side: on one machine mDNS would find everybody. */
  names(side: string): string {
    const file = join(this.#folder, `${side}-configuration.yaml`);
    const configuration = { connectionString: join(this.#folder, `${side}-names.db`) };
    const spec = { nameResolution: { component: 'sqlite', configuration } };
    const kind = { apiVersion: 'dapr.io/v1alpha1', kind: 'Configuration', metadata: { name: side } };
    writeFileSync(file, JSON.stringify({ ...kind, spec }));
    return `--config=${file}`;
  }

  async cloudResources(): Promise<string> {
    writeFileSync(join(this.#folder, 'secrets.json'), JSON.stringify({ door: 'sesame' }));
    const settings = join(this.#folder, 'settings.db');
    let configuration = component('settings', 'configuration.sqlite', {
      connectionString: settings,
      pollInterval: '100ms',
    });
    if (this.#run.daprd !== undefined) {
      const port = await freePort();
      this.#redis = await startSmallRedis(port);
      configuration = component('settings', 'configuration.redis', { redisHost: `127.0.0.1:${port}` });
    }
    return this.#resources('cloud', [
      component('statestore', 'state.sqlite', { connectionString: join(this.#folder, 'cloud-state.db') }),
      component('pubsub', 'pubsub.in-memory', {}),
      component('files', 'bindings.localstorage', { rootPath: join(this.#folder, 'files') }),
      component('vault', 'secretstores.local.file', { secretsFile: join(this.#folder, 'secrets.json') }),
      configuration,
    ]);
  }

  edgeResources(http: number, grpc: number): string {
    const onCloud = { endpointName: 'cloud' };
    const grpcAddress = `127.0.0.1:${grpc}`;
    return this.#resources('edge', [
      {
        apiVersion: 'dapr.io/v1alpha1',
        kind: 'HTTPEndpoint',
        metadata: { name: 'cloud' },
        spec: {
          baseUrl: `http://127.0.0.1:${http}`,
          headers: [{ name: 'dapr-api-token', value: TOKEN }],
        },
      },
      component('statestore', 'state.dapr', { ...onCloud, grpcAddress }),
      component('pubsub', 'pubsub.dapr', { ...onCloud, grpcAddress }),
      component('files', 'bindings.dapr', onCloud),
      component('vault', 'secretstores.dapr', onCloud),
      component('settings', 'configuration.dapr', { ...onCloud, pollInterval: '300ms' }),
    ]);
  }

  /** Items of the configuration in the cloud: one that stays and one that changes all the time. */
  startSettings(): void {
    const redis = this.#redis;
    if (redis === undefined) {
      this.#ticker = startTicker(join(this.#folder, 'settings.db'));
      return;
    }
    redis.set('limit', '10||1');
    let count = 0;
    const timer = setInterval(() => {
      count += 1;
      redis.set('ticker', `${count}||${count}`);
    }, TICKER_MS);
    this.#ticker = { stop: () => clearInterval(timer) };
  }

  async sidecar(place: SidecarPlace): Promise<Running> {
    return this.launch(
      place.executable,
      [
        `--app-id=${place.appId}`,
        `--app-port=${place.app}`,
        `--app-protocol=${this.#run.protocol}`,
        `--dapr-http-port=${place.http}`,
        `--dapr-grpc-port=${place.grpc}`,
        `--dapr-internal-grpc-port=${await freePort()}`,
        `--metrics-port=${await freePort()}`,
        '--dapr-listen-addresses=127.0.0.1',
        ...(place.executable === this.#run.daprd
          ? []
          : [`--data-dir=${join(this.#folder, place.appId)}`, '--mqtt-port=off']),
        ...place.more,
      ],
      place.env,
    );
  }

  program(command: readonly string[], role: string, app: number, http: number, grpc: number): Running {
    const [file = '', ...args] = command;
    return this.launch(file, args, {
      PROTOCOL: this.#run.protocol,
      ROLE: role,
      APP_PORT: String(app),
      DAPR_HTTP_PORT: String(http),
      DAPR_GRPC_PORT: String(grpc),
      ...(role === 'cloud' ? { DAPR_API_TOKEN: TOKEN } : {}),
    });
  }

  output(): string {
    return this.#processes.map(({ child, output }) => `--- ${child.spawnfile}\n${output()}`).join('\n');
  }

  async close(): Promise<void> {
    this.#ticker?.stop();
    for (const { child, ended } of this.#processes.toReversed()) {
      child.kill('SIGTERM');
      const timer = setTimeout(() => child.kill('SIGKILL'), STOP_MS);
      await ended;
      clearTimeout(timer);
    }
    this.#redis?.close();
  }
}

async function until(what: string, node: Running, isTrue: () => boolean | Promise<boolean>): Promise<void> {
  const limit = AbortSignal.timeout(READY_MS);
  while (!(await isTrue())) {
    if (node.child.exitCode !== null || limit.aborted) throw new Error(`${what}: ${node.output()}`);
    await pause(POLL_MS);
  }
}

async function story(mesh: Mesh, run: MeshRun, folder: string): Promise<readonly Running[]> {
  const ports = await Promise.all(Array.from({ length: 7 }, freePort));
  const [edgeApp = 0, edgeHttp = 0, edgeGrpc = 0, cloudApp = 0, cloudHttp = 0, cloudGrpc = 0, relayPort = 0] =
    ports;
  const programs = [
    mesh.program(run.edge, 'edge', edgeApp, edgeHttp, edgeGrpc),
    mesh.program(run.cloud, 'cloud', cloudApp, cloudHttp, cloudGrpc),
  ];
  const cloudNames = mesh.names('cloud');
  const relayFolder = join(folder, 'relay');
  const relayFlags = ['--listen', `127.0.0.1:${relayPort}`, '--data-dir', relayFolder, '--metrics-port', '0'];
  const relay = mesh.launch(skerry(), ['relay', ...relayFlags, cloudNames]);
  const cloud = await mesh.sidecar({
    appId: 'cloud-app',
    executable: run.daprd ?? ourDaprd(),
    app: cloudApp,
    http: cloudHttp,
    grpc: cloudGrpc,
    env: { DAPR_API_TOKEN: TOKEN },
    more: [cloudNames, await mesh.cloudResources()],
  });
  await until('the relay', relay, () => relay.output().includes('Skerry relay is up'));
  const data = `--data-dir=${join(folder, 'edge-app')}`;
  const token = await mesh.finish(skerry(), [
    ...['relay', 'token', '--app-ids', 'edge-app', '--data-dir', relayFolder],
  ]);
  await mesh.finish(skerry(), [
    'enroll',
    '--relay',
    `https://127.0.0.1:${relayPort}`,
    '--token',
    token,
    data,
  ]);
  await until('the cloud', cloud, () => isHealthy(cloudHttp));
  mesh.startSettings();
  const edge = await mesh.sidecar({
    appId: 'edge-app',
    executable: ourDaprd(),
    app: edgeApp,
    http: edgeHttp,
    grpc: edgeGrpc,
    env: {},
    more: [mesh.names('edge'), mesh.edgeResources(cloudHttp, cloudGrpc)],
  });
  await until('the edge', edge, () => isHealthy(edgeHttp));
  for (const { child } of programs) child.stdin?.write('go\n');
  const isDone = ({ child, output }: Running): boolean =>
    child.exitCode !== null || output().split('\n').includes('done');
  for (let left = LIMIT_MS; left > 0 && !programs.every(isDone); left -= POLL_MS) await pause(POLL_MS);
  for (const { child } of programs) child.stdin?.end();
  return programs;
}

/** Runs both programs to their ends. */
export async function runMesh(run: MeshRun): Promise<ProgramResult> {
  const parent = join(cacheDir, 'sdks');
  mkdirSync(parent, { recursive: true });
  const folder = mkdtempSync(join(parent, 'mesh-'));
  const mesh = new Mesh(run, folder);
  try {
    const found = (await story(mesh, run, folder)).map(({ output }) => verdicts(output()));
    const failures = found.flatMap((one, index) =>
      one.failures.map((failure) => `${index === 0 ? 'edge' : 'cloud'}: ${failure}`),
    );
    return { passed: found.reduce((sum, { passed }) => sum + passed, 0), failures, output: mesh.output() };
  } catch (error) {
    return { passed: 0, failures: [`start: ${String(error)}`], output: mesh.output() };
  } finally {
    await mesh.close();
    rmSync(folder, { recursive: true, force: true });
  }
}
