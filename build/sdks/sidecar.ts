// The sidecar that a program of test/sdks talks to: its folder of resources and keys, its ports, its process.

import { type ChildProcess, spawn } from 'node:child_process';
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { freePort } from '../../test/integration/support/ports.ts';

export const APP_ID = 'sdk-app';
export const TOKEN = 'let-me-in';
export const TICKER_MS = 300;
/** An interpreter that reads its packages for the first time on a busy machine needs long. */
export const READY_MS = 90_000;

export interface SdkSidecar {
  /** What the program needs to find its sidecar and to know what to do. */
  readonly env: Readonly<Record<string, string>>;
  /** Resolves when the sidecar is healthy, which includes the app; rejects when it ended instead. */
  ready(): Promise<void>;
  output(): string;
  stop(): Promise<void>;
}

export interface SidecarChoice {
  readonly executable: string;
  /** Another `daprd` than ours: it has neither our flags nor our components. */
  readonly foreign: boolean;
}

export interface SidecarUse {
  readonly protocol: string;
  /** Whether the API asks for a token. */
  readonly token: boolean;
}

/** Resources are written as JSON, which is YAML too. */
export function component(name: string, type: string, items: Readonly<Record<string, string>>): object {
  const metadata = Object.entries(items).map(([item, value]) => ({ name: item, value }));
  return {
    apiVersion: 'dapr.io/v1alpha1',
    kind: 'Component',
    metadata: { name },
    spec: { type, version: 'v1', metadata },
  };
}

/** Another daprd has no MQTT broker here, and its in-memory broker delivers an event once. */
const retries = {
  apiVersion: 'dapr.io/v1alpha1',
  kind: 'Resiliency',
  metadata: { name: 'retries' },
  spec: {
    policies: { retries: { often: { policy: 'constant', duration: '200ms', maxRetries: 5 } } },
    targets: { components: { pubsub: { inbound: { retry: 'often' } } } },
  },
};

function components(folder: string, foreign: boolean): readonly object[] {
  const both = [
    component('statestore', 'state.sqlite', { connectionString: join(folder, 'state.db') }),
    component('files', 'bindings.localstorage', { rootPath: join(folder, 'files') }),
    component('tick', 'bindings.cron', { schedule: '@every 1s', direction: 'input' }),
    component('env-secrets', 'secretstores.local.env', {}),
    component('file-secrets', 'secretstores.local.file', { secretsFile: join(folder, 'secrets.json') }),
    component('crypto', 'crypto.dapr.localstorage', { path: join(folder, 'keys') }),
  ];
  if (foreign) return [...both, component('pubsub', 'pubsub.in-memory', {}), retries];
  const reports = { url: 'embedded:', topic: 'reports', consumerID: 'reports', direction: 'input, output' };
  return [
    ...both,
    component('pubsub', 'pubsub.mqtt3', { url: 'embedded:' }),
    component('reports', 'bindings.mqtt3', reports),
    component('config', 'configuration.sqlite', {
      connectionString: join(folder, 'config.db'),
      pollInterval: '100ms',
    }),
    component('locks', 'lock.sqlite', { connectionString: join(folder, 'locks.db') }),
  ];
}

function writeFolder(folder: string, foreign: boolean): void {
  for (const name of ['resources', 'keys', 'files', 'data']) {
    mkdirSync(join(folder, name), { recursive: true });
  }
  for (const [index, resource] of components(folder, foreign).entries()) {
    writeFileSync(join(folder, 'resources', `${index}.yaml`), JSON.stringify(resource));
  }
  writeFileSync(join(folder, 'secrets.json'), JSON.stringify({ flat: 'shallow', nested: { key: 'deep' } }));
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  writeFileSync(join(folder, 'keys/rsa.pem'), privateKey.export({ type: 'pkcs8', format: 'pem' }));
  const aes = { kty: 'oct', k: randomBytes(32).toString('base64url') };
  writeFileSync(join(folder, 'keys/aes.key'), JSON.stringify(aes));
}

/** Keeps an item of a configuration store changing, so that a subscriber has something to see. */
export function startTicker(file: string): { stop(): void } {
  const database = new DatabaseSync(file);
  const put = database.prepare(
    `INSERT OR REPLACE INTO configuration (key, value, version, metadata) VALUES (?, ?, ?, '{}')`,
  );
  put.run('limit', '10', '1');
  let count = 0;
  const timer = setInterval(() => {
    count += 1;
    put.run('ticker', String(count), String(count));
  }, TICKER_MS);
  return {
    stop: () => {
      clearInterval(timer);
      database.close();
    },
  };
}

export async function isHealthy(port: number): Promise<boolean> {
  const answer = await fetch(`http://127.0.0.1:${port}/v1.0/healthz`).catch(() => undefined);
  return answer?.status === 204;
}

function collect(child: ChildProcess): { readonly ended: Promise<void>; output(): string } {
  const chunks: Buffer[] = [];
  child.stdout?.on('data', (chunk: Buffer) => chunks.push(chunk));
  child.stderr?.on('data', (chunk: Buffer) => chunks.push(chunk));
  return {
    ended: new Promise((resolve) => {
      child.once('close', () => resolve());
      child.once('error', (error) => {
        chunks.push(Buffer.from(error.message));
        resolve();
      });
    }),
    output: () => Buffer.concat(chunks).toString(),
  };
}

/** Starts a sidecar whose files are in `folder`, which must be empty. */
export async function startSdkSidecar(
  { executable, foreign }: SidecarChoice,
  { protocol, token }: SidecarUse,
  folder: string,
): Promise<SdkSidecar> {
  writeFolder(folder, foreign);
  const [app, http, grpc, internal, metrics, mqtt] = await Promise.all(Array.from({ length: 6 }, freePort));
  const guard = token ? { DAPR_API_TOKEN: TOKEN } : {};
  const args = [
    `--app-id=${APP_ID}`,
    `--app-port=${app}`,
    `--app-protocol=${protocol}`,
    `--dapr-http-port=${http}`,
    `--dapr-grpc-port=${grpc}`,
    `--dapr-internal-grpc-port=${internal}`,
    `--metrics-port=${metrics}`,
    '--dapr-listen-addresses=127.0.0.1',
    `--resources-path=${join(folder, 'resources')}`,
    ...(foreign ? [] : [`--data-dir=${join(folder, 'data')}`, `--mqtt-port=${mqtt}`]),
  ];
  const child = spawn(executable, args, {
    env: { ...process.env, SDK_SECRET: 'shh', ...guard },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const { ended, output } = collect(child);
  let over = false;
  void ended.then(() => {
    over = true;
  });
  let ticker: { stop(): void } | undefined;
  return {
    output,
    env: {
      PROTOCOL: protocol,
      APP_PORT: String(app),
      DAPR_HTTP_PORT: String(http),
      DAPR_GRPC_PORT: String(grpc),
      ...guard,
      SDK_WITHOUT: foreign ? 'configuration,lock,mqtt' : '',
    },
    ready: async () => {
      const limit = AbortSignal.timeout(READY_MS);
      while (!(await isHealthy(http ?? 0))) {
        if (over || limit.aborted) throw new Error(`the sidecar ${over ? 'ended' : 'is not healthy'}`);
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
      if (existsSync(join(folder, 'config.db'))) ticker = startTicker(join(folder, 'config.db'));
    },
    stop: async () => {
      ticker?.stop();
      child.kill('SIGTERM');
      const timer = setTimeout(() => child.kill('SIGKILL'), 8000);
      await ended;
      clearTimeout(timer);
    },
  };
}
