/**
 * A whole relay in this process, a healthy node whose link must stand whatever comes, and enrolments of nodes that will
 * not behave. Beside it a sidecar that only checks what reaches it.
 */

import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { nodeOptions, parseFlags } from '../../../runtime/flags.ts';
import { createNode } from '../../../runtime/node.ts';
import { askRelay } from '../../../runtime/relay/admin.ts';
import { createEdgeLink, type EdgeLink } from '../../../runtime/relay/edge-link.ts';
import { enrolNode } from '../../../runtime/relay/enroll-client.ts';
import type { NodeEnrolment } from '../../../runtime/relay/enrolment.ts';
import { parseAllowList } from '../../../runtime/relay/sidecar-rules.ts';
import { startRelay } from '../../../runtime/relay-process.ts';
import { type RecordedLine, recordingLogger } from '../../support/recording-logger.ts';
import { ensure } from './target.ts';

/** Names that hostile nodes draw from, besides their own. */
export const RELAY_NAMES = { healthy: 'healthy', store: 'store', open: 'open', pubsub: 'pubsub' } as const;

export interface RelayRig {
  readonly port: number;
  readonly log: readonly RecordedLine[];
  /** Enrolled nodes; each may announce the app of its own name. */
  readonly hostile: readonly NodeEnrolment[];
  token(appIds: readonly string[]): Promise<string>;
  /** Throws when the healthy node was disturbed or something unforeseen was logged. */
  check(): Promise<void>;
  /** Throws unless the healthy link is the only one in the end. */
  settle(): Promise<void>;
  close(): Promise<void>;
}

const HOSTILE = 40;
const PROBE_MS = 20_000;
/** What a node may ask: all of one store, of another only its own keys. */
const ALLOWED = [
  `state:${RELAY_NAMES.open}`,
  `state:${RELAY_NAMES.store}/{app}-`,
  `publish:${RELAY_NAMES.pubsub}/{node}/`,
];

export async function openRelayRig(): Promise<RelayRig> {
  const directory = mkdtempSync(join(tmpdir(), 'skerry-relay-fuzz-'));
  const lines: RecordedLine[] = [];
  const log = Object.assign(recordingLogger(lines), { flush: () => {} });
  const made = createNode({
    options: nodeOptions(parseFlags([`--data-dir=${directory}`, '--relay=off'])),
    name: 'skerry-relay',
    version: 'fuzz',
    env: {},
    workerEntry: new URL('../../support/writer-entry.ts', import.meta.url),
    onFatal: (error) => {
      throw error;
    },
  });
  const node = { ...made, log } as unknown as typeof made;
  /** What came through without leave. */
  const broken: string[] = [];
  const sidecar = createServer((request, response) => {
    const fault = leaked(request.url ?? '', String(request.headers['skerry-app-id']));
    if (fault !== undefined) broken.push(fault);
    request.resume();
    request.on('end', () => response.writeHead(200, { 'content-type': 'application/json' }).end('{"n":1}'));
    request.on('error', () => {});
  });
  await new Promise<void>((resolve) => sidecar.listen(0, '127.0.0.1', resolve));
  const allowed = parseAllowList(ALLOWED);
  if (typeof allowed === 'string') throw new Error(allowed);
  const stop = new AbortController();
  const relay = await startRelay(
    node,
    {
      listenHost: '127.0.0.1',
      listenPort: 0,
      publicHosts: ['127.0.0.1'],
      internalAddress: '127.0.0.1',
      internalPort: 0,
      metricsAddress: '127.0.0.1',
      metricsPort: undefined,
      configFiles: [],
      caCert: undefined,
      caKey: undefined,
      trustDomain: 'public',
      certificateTtlMs: 86_400_000,
      maxLinks: 100,
      maxMessageBytes: 1024 * 1024,
      relaysPort: 0,
      sidecar: {
        http: `http://127.0.0.1:${(sidecar.address() as AddressInfo).port}`,
        grpc: undefined,
        tokenFile: undefined,
        allowed,
      },
      mtls: { enabled: false } as never,
    },
    stop.signal,
  );
  const token = async (appIds: readonly string[]): Promise<string> => {
    const answer = await askRelay(directory, 'POST', '/token', { appIds, ttlMs: 3_600_000 });
    return (answer as { token: string }).token;
  };
  const url = `https://127.0.0.1:${relay.port}`;
  const enrol = async (name: string): Promise<NodeEnrolment> =>
    enrolNode({ relay: url, token: await token([name]), node: name });
  const hostile: NodeEnrolment[] = [];
  for (let n = 0; n < HOSTILE; n += 1) hostile.push(await enrol(`hostile-${n}`));
  const healthy = await linked(await enrol(RELAY_NAMES.healthy), node, directory);
  const nodes = async (): Promise<readonly { node: string; state: string; since: number }[]> =>
    (
      (await askRelay(directory, 'GET', '/nodes')) as {
        nodes: { node: string; state: string; since: number }[];
      }
    ).nodes;
  const up = async () => (await nodes()).filter(({ state }) => state === 'up');
  const since = (await up())[0]?.since;

  const check = async (): Promise<void> => {
    const found = (await up()).find((entry) => entry.node === RELAY_NAMES.healthy);
    ensure(healthy.up && found?.since === since, () => {
      const told = lines.filter(({ message }) => /relay link (up|down)/.test(message)).slice(-4);
      return `the link of the healthy node was disturbed: ${JSON.stringify([healthy.state(), found, told])}`;
    });
    ensure(
      await healthy.find({ appId: RELAY_NAMES.healthy, namespace: 'default' }),
      () => 'the relay does not answer',
    );
    ensure(broken.length === 0, () => `without leave: ${broken[0]}`);
    const fault = lines.find(({ level }) => level === 'error' || level === 'fatal');
    ensure(
      fault === undefined,
      () => `the relay logged ${JSON.stringify(fault)} ${String(fault?.fields?.['error'])}`,
    );
    lines.length = 0;
  };
  return {
    port: relay.port,
    log: lines,
    hostile,
    token,
    check,
    settle: async () => {
      await check();
      for (let tries = 0; (await up()).length > 1; tries += 1) {
        ensure(tries < 200, () => 'links of nodes that are gone are left');
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    },
    close: async () => {
      stop.abort(new Error('the test is over'));
      await healthy.close();
      await relay.close();
      await made.close();
      sidecar.closeAllConnections();
      sidecar.close();
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

async function linked(
  enrolment: NodeEnrolment,
  node: ReturnType<typeof createNode>,
  directory: string,
): Promise<EdgeLink> {
  const link = createEdgeLink({
    file: join(directory, 'healthy.json'),
    enrolment,
    clock: node.clock,
    random: node.random,
    log: node.log,
    metrics: { count: () => {}, observe: () => {}, gauge: () => {} },
    version: 'fuzz',
    probeMs: PROBE_MS,
    probeTimeoutMs: PROBE_MS,
    maxMessageBytes: 1024 * 1024,
  });
  link.register({
    appId: RELAY_NAMES.healthy,
    namespace: 'default',
    serve: (stream) => {
      stream.on('error', () => {});
      stream.resume();
      stream.respond(
        { ':status': 200, 'content-type': 'application/grpc', 'grpc-status': '0' },
        { endStream: true },
      );
    },
  });
  await new Promise<void>((resolve) => link.onUp(resolve));
  return link;
}

/** What the sidecar got and should not have. */
function leaked(path: string, appId: string): string | undefined {
  const allowed =
    path.startsWith('/v1.0/healthz') ||
    new RegExp(`^/v1\\.0(?:-alpha1|-beta1)?/state/${RELAY_NAMES.open}(?:/|\\?|$)`).test(path) ||
    new RegExp(`^/v1\\.0(?:-alpha1|-beta1)?/state/${RELAY_NAMES.store}(?:/|\\?|$)`).test(path) ||
    new RegExp(
      `^/v1\\.0(?:-alpha1|-beta1)?/publish/(?:bulk/)?${RELAY_NAMES.pubsub}/${appId}(?:/|%2F)`,
      'i',
    ).test(path);
  return allowed ? undefined : `${path} as ${appId}`;
}
