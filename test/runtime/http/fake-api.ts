/** A served HTTP API over blocks made by hand, and a client that sends requests exactly as written. */

import { request as httpRequest } from 'node:http';
import { connect } from 'node:net';
import type { Blocks, MetadataAnswer } from '../../../runtime/contracts/blocks.ts';
import { runtimeError } from '../../../runtime/contracts/error.ts';
import type { Tracer } from '../../../runtime/contracts/trace.ts';
import { createHttpServer, type HttpServer, type HttpServerOptions } from '../../../runtime/http/server.ts';
import { fakeClock } from '../../support/fake-clock.ts';
import { recordingLogger } from '../../support/recording-logger.ts';

export const ZERO = '00-00000000000000000000000000000000-0000000000000000-00';

/** Hands on what came in; the all-zero parent without. */
export const passiveTracer: Tracer = {
  enabled: true,
  start: (_name, incoming) => {
    const context = { ...incoming, traceparent: incoming.traceparent ?? ZERO };
    const span = { context, child: () => span, setAttribute: () => {}, end: () => {} };
    return span;
  },
};

export const METADATA: MetadataAnswer = {
  id: 'app',
  runtimeVersion: '1.0.0',
  enabledFeatures: [],
  components: [],
  extended: {},
  subscriptions: [],
  httpEndpoints: [],
  appConnection: { port: 0, protocol: 'http', channelAddress: '127.0.0.1', maxConcurrency: -1 },
  actorRuntime: { status: 'DISABLED', hostReady: false, placement: 'placement: disconnected' },
  schedulerAddresses: [],
  resiliencies: [],
};

const unused = (): never => {
  throw new Error('this block was not expected to be called');
};
const block = (): never => new Proxy({}, { get: () => unused }) as never;

/** Blocks of which only those given may be called; health and metadata always answer. */
export function fakeBlocks(given: { readonly [K in keyof Blocks]?: Partial<Blocks[K]> } = {}): Blocks {
  const defaults = {
    health: { check: () => {}, checkOutbound: () => {} },
    metadata: { get: () => METADATA, set: () => {} },
    actors: { refuse: () => Promise.reject(runtimeError('actorNoPlacement')) },
    workflow: { refuse: () => Promise.reject(runtimeError('actorNoPlacement')) },
  };
  const names = [
    'state',
    'publish',
    'subscriptions',
    'bindings',
    'secrets',
    'configuration',
    'lock',
    'crypto',
    'conversation',
    'invoke',
    'jobs',
    'node',
  ];
  return { ...Object.fromEntries(names.map((name) => [name, block()])), ...defaults, ...given } as Blocks;
}

export interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly text: string;
  readonly json: unknown;
}

export interface Call {
  readonly method?: string;
  readonly path: string;
  readonly headers?: Record<string, string | string[]>;
  readonly body?: string | Uint8Array;
  /** Sends the body in chunks, without a length. */
  readonly chunks?: readonly string[];
  readonly port?: number;
  readonly socketPath?: string;
}

export interface FakeApi {
  readonly server: HttpServer;
  call(call: Call): Promise<Answer>;
  /** Sends raw bytes and resolves with all that came back. */
  raw(bytes: string): Promise<string>;
}

interface TestLike {
  teardown(run: () => Promise<unknown>): unknown;
}

/** Starts a server on a free port; it ends with the test. */
export async function serve(
  t: TestLike,
  blocks: Blocks,
  options: Partial<HttpServerOptions> = {},
): Promise<FakeApi> {
  const server = createHttpServer({
    appId: 'app',
    blocks,
    tracer: passiveTracer,
    log: recordingLogger(),
    clock: fakeClock(),
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
    pipeline: () => [],
    apiLogging: { enabled: false, obfuscateUrls: false, omitHealthChecks: false },
    addresses: ['127.0.0.1'],
    port: 0,
    h2c: true,
    ...options,
  });
  t.teardown(() => server.close(0));
  await server.listen();
  return {
    server,
    call: (call) => send(call, call.port ?? server.port),
    raw: (bytes) =>
      new Promise((resolve, reject) => {
        const socket = connect(server.port, '127.0.0.1', () => socket.write(bytes, 'latin1'));
        let text = '';
        socket
          .setEncoding('latin1')
          .on('data', (part) => (text += part))
          .on('close', () => resolve(text))
          .on('error', reject);
      }),
  };
}

function send(call: Call, port: number): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const target =
      call.socketPath === undefined ? { host: '127.0.0.1', port } : { socketPath: call.socketPath };
    const outgoing = httpRequest({ ...target, method: call.method ?? 'GET', path: call.path, agent: false });
    for (const [name, value] of Object.entries(call.headers ?? {})) outgoing.setHeader(name, value);
    outgoing.on('error', reject);
    outgoing.on('response', (response) => {
      const parts: Buffer[] = [];
      response.on('data', (part) => parts.push(part));
      response.on('error', reject);
      response.on('end', () => {
        const text = Buffer.concat(parts).toString('utf8');
        resolve({
          status: response.statusCode ?? 0,
          headers: response.headers,
          text,
          get json() {
            return JSON.parse(text);
          },
        });
      });
    });
    if (call.chunks === undefined) {
      if (call.body !== undefined) outgoing.setHeader('content-length', Buffer.byteLength(call.body));
      outgoing.end(call.body);
    } else {
      for (const chunk of call.chunks) outgoing.write(chunk);
      outgoing.end();
    }
  });
}
