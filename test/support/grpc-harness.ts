/** A gRPC server of ours on a free port, and `@grpc/grpc-js` as an independent client that sends raw bytes. */

import { once } from 'node:events';
import { connect } from 'node:http2';
import * as grpc from '@grpc/grpc-js';
import type { Codec, GrpcService } from '../../runtime/contracts/grpc-wire/service.ts';
import type { Metrics } from '../../runtime/contracts/metrics.ts';
import type { Span, TraceContext, Tracer } from '../../runtime/contracts/trace.ts';
import { createGrpcServer, type GrpcServer, type GrpcServerOptions } from '../../runtime/grpc/server.ts';
import { systemClock } from '../../runtime/platform/system-clock.ts';
import { type RecordingLogger, recordingLogger } from './recording-logger.ts';

interface Teardown {
  teardown(run: () => unknown): void;
}

export interface RecordedMetric {
  readonly kind: 'count' | 'observe' | 'gauge';
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

/** A span that hands on its context and remembers how it ended. */
export function recordingTracer(enabled = true): Tracer & { readonly ended: (string | undefined)[] } {
  const ended: (string | undefined)[] = [];
  const start = (_name: string, context: TraceContext): Span => {
    const span: Span = {
      context,
      child: () => span,
      setAttribute: () => {},
      end: (error) => void ended.push(error),
    };
    return span;
  };
  return { enabled, ended, start };
}

export interface TestServer {
  readonly server: GrpcServer;
  readonly port: number;
  readonly client: grpc.Client;
  readonly log: RecordingLogger;
  readonly metrics: readonly RecordedMetric[];
}

/** Messages as they are. */
export const BYTES: Codec<Uint8Array> = { encode: (bytes) => bytes, decode: (bytes) => bytes };

/** Starts a server; it and the client are closed with the test. */
export async function startServer(
  t: Teardown,
  services: readonly GrpcService[],
  options: Partial<GrpcServerOptions> = {},
): Promise<TestServer> {
  const log = recordingLogger();
  const recorded: RecordedMetric[] = [];
  const record =
    (kind: RecordedMetric['kind']) =>
    (name: string, labels: Readonly<Record<string, string>>, value = 1): void =>
      void recorded.push({ kind, name, labels, value });
  const metrics: Metrics = { count: record('count'), observe: record('observe'), gauge: record('gauge') };
  const server = createGrpcServer({
    addresses: ['127.0.0.1'],
    port: 0,
    maxMessageBytes: 4 * 1024 * 1024,
    protocol: 'grpc',
    clock: systemClock(),
    log,
    metrics,
    tracer: recordingTracer(),
    services,
    ...options,
  });
  const port = await server.listen();
  const target = options.unixSocket === undefined ? `127.0.0.1:${port}` : `unix:${options.unixSocket}`;
  const client = new grpc.Client(target, grpc.credentials.createInsecure());
  t.teardown(async () => {
    client.close();
    await server.close(0);
  });
  return { server, port, client, log, metrics: recorded };
}

export interface Answer {
  /** Message, or undefined when the call failed. */
  readonly message?: Uint8Array;
  readonly code: number;
  readonly text: string;
  readonly headers: grpc.Metadata | undefined;
  readonly trailers: grpc.Metadata;
}

const same = (bytes: Uint8Array): Buffer => Buffer.from(bytes);

/** A unary call; never rejects. */
export function unaryCall(
  client: grpc.Client,
  path: string,
  message: Uint8Array,
  options: { metadata?: Record<string, string | Buffer>; deadlineMs?: number; gzip?: boolean } = {},
): Promise<Answer> {
  const metadata = new grpc.Metadata();
  for (const [name, value] of Object.entries(options.metadata ?? {})) metadata.set(name, value);
  return new Promise((resolve) => {
    let headers: grpc.Metadata | undefined;
    let answer: Uint8Array | undefined;
    const callOptions = options.deadlineMs === undefined ? {} : { deadline: options.deadlineMs };
    const call = client.makeUnaryRequest(
      path,
      same,
      same,
      Buffer.from(message),
      metadata,
      callOptions,
      (_error, value) => {
        answer = value;
      },
    );
    call.on('metadata', (received) => {
      headers = received;
    });
    call.on('status', ({ code, details, metadata: trailers }) =>
      // The callback comes before or after the status; both have come in the next turn.
      setImmediate(() =>
        resolve({
          code,
          text: details,
          headers,
          trailers,
          ...(answer === undefined ? {} : { message: answer }),
        }),
      ),
    );
  });
}

export interface OpenStream {
  readonly call: grpc.ClientDuplexStream<Uint8Array, Uint8Array>;
  /** The next message; rejects when the stream ended. */
  next(): Promise<Uint8Array>;
  /** How the call ended. */
  readonly status: Promise<{ code: number; text: string }>;
}

/** A stream both ways. */
export function openStream(
  client: grpc.Client,
  path: string,
  metadata: Record<string, string> = {},
): OpenStream {
  const given = new grpc.Metadata();
  for (const [name, value] of Object.entries(metadata)) given.set(name, value);
  const call = client.makeBidiStreamRequest(path, same, same, given) as grpc.ClientDuplexStream<
    Uint8Array,
    Uint8Array
  >;
  const ready: Uint8Array[] = [];
  const waiting: ((message: Uint8Array) => void)[] = [];
  call.on('data', (message: Uint8Array) => {
    const waiter = waiting.shift();
    if (waiter === undefined) ready.push(message);
    else waiter(message);
  });
  call.on('error', () => {});
  const status = new Promise<{ code: number; text: string }>((resolve) => {
    call.on('status', ({ code, details }) => resolve({ code, text: details }));
  });
  return {
    call,
    status,
    next: () => {
      const message = ready.shift();
      if (message !== undefined) return Promise.resolve(message);
      return Promise.race([
        new Promise<Uint8Array>((resolve) => waiting.push(resolve)),
        status.then(({ code, text }) => Promise.reject(new Error(`ended with ${code} ${text}`))),
      ]);
    },
  };
}

/** A bare HTTP/2 request, for what gRPC clients never do. */
export async function bareRequest(
  port: number,
  fields: Record<string, string>,
  body: readonly Uint8Array[],
  end = true,
): Promise<{
  headers: Record<string, unknown>;
  trailers: Record<string, unknown>;
  body: Buffer;
  rst: number;
}> {
  const session = connect(`http://127.0.0.1:${port}`);
  session.on('error', () => {});
  const stream = session.request({
    ':method': 'POST',

    'content-type': 'application/grpc',
    te: 'trailers',
    ...fields,
  });
  let headers = {};
  let trailers = {};
  const chunks: Buffer[] = [];
  stream.on('response', (received) => {
    headers = received;
  });
  stream.on('trailers', (received) => {
    trailers = received;
  });
  stream.on('data', (chunk: Buffer) => chunks.push(chunk));
  stream.on('error', () => {});
  for (const chunk of body) stream.write(chunk);
  if (end) stream.end();
  await once(stream, 'close');
  session.destroy();
  return { headers, trailers, body: Buffer.concat(chunks), rst: stream.rstCode ?? 0 };
}
