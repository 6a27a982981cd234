/** A whole sidecar in this process, with a component of every kind, for targets that call its APIs without sockets. */

import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { nodeOptions, parseFlags, sidecarOptions } from '../../../runtime/flags.ts';
import { createNode, type Node } from '../../../runtime/node.ts';
import { type Sidecar, startSidecar } from '../../../runtime/sidecar.ts';
import { component, configuration, writeResources } from '../../integration/support/resource-files.ts';
import { type RecordedLine, recordingLogger } from '../../support/recording-logger.ts';

export interface FuzzRig {
  readonly sidecar: Sidecar;
  readonly node: Node;
  readonly directory: string;
  /** What the sidecar logged since the last time; takes it. */
  logged(): readonly RecordedLine[];
  close(): Promise<void>;
}

/** Names that requests are drawn from. */
export const NAMES = {
  state: 'state',
  pubsub: 'pubsub',
  binding: 'files',
  secrets: 'secrets',
  configuration: 'configuration',
  lock: 'lock',
  crypto: 'crypto',
  conversation: 'echo',
} as const;

const KEY = { k: Buffer.alloc(32, 7).toString('base64url'), kty: 'oct', alg: 'A256KW', kid: 'key' };

/** Resource documents of such a sidecar; files live under `directory`. */
export function everyKind(directory: string): readonly string[] {
  mkdirSync(join(directory, 'files'), { recursive: true });
  mkdirSync(join(directory, 'keys'), { recursive: true });
  writeFileSync(join(directory, 'secrets.json'), JSON.stringify({ key: 'value', nested: { deep: 'x' } }));
  writeFileSync(join(directory, 'keys/key'), JSON.stringify(KEY));
  return [
    component(NAMES.state, 'state.in-memory'),
    component('disk', 'state.sqlite', { connectionString: join(directory, 'state.db') }),
    component(NAMES.pubsub, 'pubsub.in-memory'),
    component(NAMES.binding, 'bindings.localstorage', { rootPath: join(directory, 'files') }),
    component(NAMES.secrets, 'secretstores.local.file', { secretsFile: join(directory, 'secrets.json') }),
    component(NAMES.configuration, 'configuration.in-memory', { items: '{"a":"1"}' }),
    component(NAMES.lock, 'lock.in-memory'),
    component(NAMES.crypto, 'crypto.dapr.localstorage', { path: join(directory, 'keys') }),
    component(NAMES.conversation, 'conversation.echo'),
  ];
}

/** Name resolution that asks nobody. */
export const QUIET_NAMES = (directory: string): string =>
  configuration({
    nameResolution: {
      component: 'sqlite',
      version: 'v1',
      configuration: { connectionString: join(directory, 'names.db') },
    },
  });

export async function startRig(): Promise<FuzzRig> {
  const directory = mkdtempSync(join(tmpdir(), 'skerry-fuzz-'));
  const resources = writeResources(directory, everyKind(directory));
  const config = join(directory, 'config.yaml');
  writeFileSync(config, QUIET_NAMES(directory));
  const given = parseFlags([
    '--app-id=fuzz',
    '--dapr-http-port=0',
    '--dapr-grpc-port=0',
    '--dapr-internal-grpc-port=0',
    '--metrics-port=0',
    '--enable-metrics=false',
    '--dapr-listen-addresses=127.0.0.1',
    '--dapr-internal-grpc-listen-address=127.0.0.1',
    `--resources-path=${resources}`,
    `--config=${config}`,
    `--data-dir=${join(directory, 'data')}`,
  ]);
  const lines: RecordedLine[] = [];
  const made = createNode({
    options: nodeOptions(given),
    name: 'fuzz',
    version: '1.0.0',
    env: {},
    workerEntry: new URL('../../support/writer-entry.ts', import.meta.url),
    onFatal: (error) => {
      throw error;
    },
  });
  const log = { ...recordingLogger(lines), flush: () => {} } as unknown as Node['log'];
  const node: Node = { ...made, log };
  const stop = new AbortController();
  const fail = (error: unknown): void => {
    throw error;
  };
  const sidecar = await startSidecar({
    node,
    options: sidecarOptions(given),
    defaults: false,
    siblings: new Map(),
    shutdown: () => {},
    restart: () => {},
    fail,
    signal: stop.signal,
  });
  return {
    sidecar,
    node,
    directory,
    logged: () => lines.splice(0),
    close: async () => {
      stop.abort(new Error('the test is over'));
      await sidecar.close();
      await node.close();
      rmSync(directory, { recursive: true, force: true });
    },
  };
}
