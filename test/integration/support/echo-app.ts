/** An app that speaks gRPC, and calls to it through sidecars: bytes for messages, no schema. */

import * as grpc from '@grpc/grpc-js';
import type { Test } from 'tap';
import type { RunningNode } from './node-process.ts';

export const ECHO = '/test.Echo/Say';

export interface EchoApp {
  readonly port: number;
  readonly callers: string[];
}

/** Answers a message with itself, and a stream with every message doubled. */
export async function startEchoApp(t: Test): Promise<EchoApp> {
  const server = new grpc.Server();
  const callers: string[] = [];
  const bytes = (value: Buffer): Buffer => value;
  const codec = {
    requestSerialize: bytes,
    requestDeserialize: bytes,
    responseSerialize: bytes,
    responseDeserialize: bytes,
  };
  server.addService(
    {
      Say: { path: ECHO, requestStream: false, responseStream: false, ...codec },
      Chat: { path: '/test.Echo/Chat', requestStream: true, responseStream: true, ...codec },
    },
    {
      Say: (incoming: grpc.ServerUnaryCall<Buffer, Buffer>, done: grpc.sendUnaryData<Buffer>) => {
        callers.push(incoming.metadata.get('dapr-caller-app-id').map(String).join());
        done(null, incoming.request);
      },
      Chat: (stream: grpc.ServerDuplexStream<Buffer, Buffer>) => {
        stream.on('data', (message: Buffer) => {
          stream.write(message);
          stream.write(message);
        });
        stream.on('end', () => stream.end());
      },
    },
  );
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', grpc.ServerCredentials.createInsecure(), (error, bound) =>
      error === null ? resolve(bound) : reject(error),
    );
  });
  t.teardown(() => server.forceShutdown());
  return { port, callers };
}

/** A client of a sidecar's gRPC port. */
export function clientOf(t: Test, node: RunningNode): grpc.Client {
  const client = new grpc.Client(`127.0.0.1:${node.ports.grpc}`, grpc.credentials.createInsecure());
  t.teardown(() => client.close());
  return client;
}

/** Sends each message of a stream when the answer to the one before it is there. */
export async function chat(
  client: grpc.Client,
  appId: string,
  messages: readonly string[],
): Promise<readonly string[]> {
  const metadata = new grpc.Metadata();
  metadata.set('dapr-app-id', appId);
  const bytes = (value: Buffer): Buffer => value;
  const stream = client.makeBidiStreamRequest('/test.Echo/Chat', bytes, bytes, metadata);
  const answers: string[] = [];
  let left = [...messages];
  return await new Promise((resolve, reject) => {
    const next = (): void => {
      const [first, ...rest] = left;
      left = rest;
      if (first === undefined) stream.end();
      else stream.write(Buffer.from(first));
    };
    stream.on('data', (message: Buffer) => {
      answers.push(String(message));
      if (answers.length % 2 === 0) next();
    });
    stream.on('error', reject);
    stream.on('end', () => resolve(answers));
    next();
  });
}
