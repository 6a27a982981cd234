/** A trace collector played by the test: OTLP over gRPC (served by `@grpc/grpc-js`), OTLP over HTTP, and Zipkin. */

import { once } from 'node:events';
import { createServer, type IncomingHttpHeaders, type RequestListener } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import * as grpc from '@grpc/grpc-js';
import { type DecodedSpan, decodeOtlp } from './otlp-decode.ts';

interface Teardown {
  teardown(run: () => unknown): void;
}

export interface ReceivedExport {
  /** Path of an HTTP request, `grpc` for gRPC. */
  readonly path: string;
  readonly headers: Readonly<Record<string, unknown>>;
  readonly body: Buffer;
}

export interface TraceCollector {
  readonly httpPort: number;
  readonly grpcPort: number;
  readonly exports: readonly ReceivedExport[];
  /** Answers of HTTP requests from now on. */
  answer: (path: string) => { readonly status: number; readonly headers?: Record<string, string> };
  /** OTLP spans of all exports. */
  spans(): readonly DecodedSpan[];
  /** Zipkin spans of all exports. */
  zipkin(): readonly Record<string, unknown>[];
}

const EXPORT = '/opentelemetry.proto.collector.trace.v1.TraceService/Export';

/** Certificate and key of a collector that speaks TLS only. */
export interface CollectorTls {
  readonly cert: string;
  readonly key: string;
}

/** Starts one on free ports; it closes with the test. */
export async function startCollector(t: Teardown, tls?: CollectorTls): Promise<TraceCollector> {
  const exports: ReceivedExport[] = [];
  const listener: RequestListener = (request, response) => {
    const parts: Buffer[] = [];
    request.on('data', (part: Buffer) => parts.push(part));
    request.once('end', () => {
      const path = request.url ?? '';
      exports.push({ path, headers: request.headers as IncomingHttpHeaders, body: Buffer.concat(parts) });
      const { status, headers } = collector.answer(path);
      response.writeHead(status, headers).end();
    });
  };
  const http = tls === undefined ? createServer(listener) : createTlsServer(tls, listener);
  http.listen(0, '127.0.0.1');
  await once(http, 'listening');

  const raw = (bytes: Buffer): Buffer => bytes;
  const server = new grpc.Server();
  server.addService(
    {
      export: {
        path: EXPORT,
        requestStream: false,
        responseStream: false,
        requestSerialize: raw,
        requestDeserialize: raw,
        responseSerialize: raw,
        responseDeserialize: raw,
      },
    },
    {
      export: (
        call: grpc.ServerUnaryCall<Buffer, Buffer>,
        done: (error: Error | null, answer: Buffer) => void,
      ) => {
        exports.push({ path: 'grpc', headers: call.metadata.getMap(), body: call.request });
        done(null, Buffer.alloc(0));
      },
    },
  );
  const grpcPort = await new Promise<number>((resolve, reject) => {
    const credentials =
      tls === undefined
        ? grpc.ServerCredentials.createInsecure()
        : grpc.ServerCredentials.createSsl(null, [
            { cert_chain: Buffer.from(tls.cert), private_key: Buffer.from(tls.key) },
          ]);
    server.bindAsync('127.0.0.1:0', credentials, (error, port) =>
      error === null ? resolve(port) : reject(error),
    );
  });
  t.teardown(() => {
    server.forceShutdown();
    http.closeAllConnections();
    http.close();
  });
  const collector: TraceCollector = {
    httpPort: (http.address() as AddressInfo).port,
    grpcPort,
    exports,
    answer: () => ({ status: 200 }),
    spans: () =>
      exports
        .filter(({ path }) => path === 'grpc' || path === '/v1/traces')
        .flatMap(({ body }) => decodeOtlp(body)),
    zipkin: () =>
      exports
        .filter(({ path }) => path.startsWith('/api/v2/spans'))
        .flatMap(({ body }) => JSON.parse(body.toString())),
  };
  return collector;
}
