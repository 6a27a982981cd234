/** One set of real blocks over components in memory, served over HTTP and over gRPC at the same time. */

import { createBindingsBlock } from '../../../runtime/building-blocks/bindings/output.ts';
import { createConfigurationBlock } from '../../../runtime/building-blocks/configuration/configuration.ts';
import {
  createInvokeBlock,
  type InvokeBlockOptions,
} from '../../../runtime/building-blocks/invoke/invoke.ts';
import { createInvokeQueue } from '../../../runtime/building-blocks/invoke/invoke-queue.ts';
import { createLockBlock } from '../../../runtime/building-blocks/lock/lock.ts';
import {
  createMetadataBlock,
  type MetadataBlockDeps,
} from '../../../runtime/building-blocks/metadata/metadata.ts';
import { createPublishBlock } from '../../../runtime/building-blocks/pubsub/publish.ts';
import { createSubscriptions } from '../../../runtime/building-blocks/pubsub/subscriptions.ts';
import { createSecretsBlock } from '../../../runtime/building-blocks/secrets/secrets.ts';
import { createStateBlock } from '../../../runtime/building-blocks/state/state.ts';
import type { AppChannel } from '../../../runtime/contracts/app-channel.ts';
import type { Blocks, InvokeBlock } from '../../../runtime/contracts/blocks.ts';
import type { CallContext } from '../../../runtime/contracts/call-context.ts';
import type { Category, ComponentDefinition } from '../../../runtime/contracts/component.ts';
import type { LoadedComponent } from '../../../runtime/contracts/component-source.ts';
import type { Ids } from '../../../runtime/contracts/ids.ts';
import { decodeMetadata } from '../../../runtime/contracts/metadata.ts';
import type { SecretScope } from '../../../runtime/contracts/resource.ts';
import type { Spool } from '../../../runtime/contracts/spool.ts';
import { createDaprService } from '../../../runtime/grpc/services/dapr.ts';
import { createHttpServer } from '../../../runtime/http/server.ts';
import { createTracer } from '../../../runtime/platform/trace-context.ts';
import { blockRig } from '../../support/block-rig.ts';
import { componentDeps } from '../../support/component-deps.ts';
import { countingIds } from '../../support/counting-ids.ts';
import { fakeBlocks } from '../../support/fake-blocks.ts';
import { type FakeClock, fakeClock } from '../../support/fake-clock.ts';
import { startServer, type TestServer } from '../../support/grpc-harness.ts';
import { recordingLogger } from '../../support/recording-logger.ts';
import { seededRandom } from '../../support/seeded-random.ts';
import { type HttpClient, httpClient } from './http-client.ts';

interface Teardown {
  teardown(run: () => unknown): void;
}

/** What components are made with: time and ids are those of the rig. */
export interface Parts {
  readonly clock: FakeClock;
  readonly ids: Ids;
  /** A component as the catalog would make it. */
  make<C extends Category, M>(
    definition: ComponentDefinition<C, M>,
    name: string,
    items?: Readonly<Record<string, string>>,
  ): LoadedComponent<C>;
}

export interface ParityOptions {
  readonly components?: (parts: Parts) => readonly LoadedComponent[];
  readonly app?: Partial<AppChannel>;
  readonly secretScopes?: readonly SecretScope[];
  readonly invoke?: Partial<InvokeBlockOptions>;
  /** Where calls that may wait are kept; resolves with the message id. */
  readonly queue?: Spool['append'];
  readonly metadata?: Partial<MetadataBlockDeps>;
}

export interface ParityRig {
  readonly blocks: Blocks;
  readonly clock: FakeClock;
  readonly http: HttpClient;
  readonly grpc: TestServer;
  /** A call from inside, for what a case needs beforehand. */
  readonly call: CallContext;
  /** Ids count from 1 again, so that both protocols meet the same ones. */
  restartIds(): void;
}

function waiting(invoke: InvokeBlock, append: Spool['append'] | undefined): InvokeBlock {
  if (append === undefined) return invoke;
  const spool = { append, drain: () => {} } as unknown as Spool;
  const queue = createInvokeQueue({
    appId: 'app',
    spools: { open: async () => spool, list: async () => [] },
    invoke: invoke.invoke,
    context: () => {
      throw new Error('nothing is delivered here');
    },
    log: recordingLogger(),
  });
  return { ...invoke, invoke: queue.invoke };
}

/** Starts both servers on free ports; they end with the test. */
export async function startParity(t: Teardown, options: ParityOptions = {}): Promise<ParityRig> {
  const clock = fakeClock();
  let counting = countingIds();
  const ids: Ids = { uuid: () => counting.uuid(), uuidv7: () => counting.uuidv7() };
  const make: Parts['make'] = (definition, name, items = {}) => {
    const decoded = decodeMetadata(definition.metadata, items);
    if (!decoded.ok) throw new Error(decoded.faults.join(', '));
    const { category, type, capabilities } = definition;
    const instance = definition.create(decoded.value, componentDeps({ clock, ids, componentName: name }));
    return { name, category, type, version: 'v1', metadata: items, capabilities, instance };
  };
  const components = options.components?.({ clock, ids, make }) ?? [];
  const rig = blockRig(components);
  const tracer = createTracer({ samplingRate: '', random: seededRandom(1), now: clock.now });
  const channel = options.app as AppChannel | undefined;
  const shared = { ...rig, clock, ids, tracer, appChannel: () => channel };
  const publish = createPublishBlock({ ...shared, namespace: 'default' });
  const subscriptions = createSubscriptions({ ...shared, publish, declarative: () => [], askApp: false });
  const configuration = createConfigurationBlock(shared);
  const blocks = fakeBlocks({
    state: createStateBlock(shared),
    publish,
    subscriptions,
    bindings: createBindingsBlock(shared),
    secrets: createSecretsBlock({ ...shared, scopes: options.secretScopes ?? [] }),
    configuration,
    lock: createLockBlock(shared),
    invoke: waiting(createInvokeBlock({ ...shared, ...NOWHERE, ...options.invoke }), options.queue),
    metadata: createMetadataBlock({
      ...shared,
      components: () => components,
      version: '1.2.3',
      features: () => [],
      subscriptions: () => subscriptions.list(),
      httpEndpoints: () => [],
      resiliencies: () => [],
      appConnection: { port: 0, protocol: 'http', channelAddress: '127.0.0.1', maxConcurrency: 0 },
      ...options.metadata,
    }),
  });
  const log = recordingLogger();
  const server = createHttpServer({
    ...HTTP_SETTINGS,
    appId: rig.appId,
    blocks,
    tracer,
    log,
    clock,
    pipeline: () => [],
  });
  await server.listen();
  const http = httpClient(server.port);
  const service = createDaprService({
    blocks,
    appId: rig.appId,
    namespace: '',
    clock,
    topicEventFields: () => ({}),
    draining: new AbortController().signal,
  });
  const grpc = await startServer(t, [service], { tracer });
  t.teardown(async () => {
    http.close();
    await Promise.all([server.close(0), subscriptions.close(), configuration.close()]);
  });
  return {
    blocks,
    clock,
    http,
    grpc,
    call: rig.call,
    restartIds: () => {
      counting = countingIds();
    },
  };
}

const HTTP_SETTINGS = {
  httpMetrics: {
    increasedCardinality: true,
    pathMatching: [],
    excludeVerbs: false,
    recordErrorCodes: false,
  },
  limits: { maxBodyBytes: 4 * 1024 * 1024, readBufferBytes: 4096 },
  apiToken: '',
  allowedOrigins: '',
  apiAccess: { allowed: [], denied: [] },
  apiLogging: { enabled: false, obfuscateUrls: false, omitHealthChecks: false },
  addresses: ['127.0.0.1'],
  port: 0,
  h2c: true,
} as const;

const unreachable = (): never => {
  throw new Error('nothing outside is expected to be called');
};

/** No other sidecar and no network. */
const NOWHERE = {
  hostAddress: '10.0.0.1',
  hostName: 'box',
  resolver: () => undefined,
  peers: { call: unreachable, close: async () => {} },
  external: { call: unreachable, close: async () => {} },
  appHealth: { healthy: true },
  endpoints: () => new Map(),
} as const;
