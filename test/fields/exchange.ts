/** Sends the requests of the tables to a sidecar and says in a word how each was answered. */

import { request } from 'node:http';
import { GrpcCode } from '../../runtime/contracts/grpc-code.ts';
import { GrpcStatusError } from '../../runtime/contracts/grpc-wire/status.ts';
import { createGrpcClient } from '../../runtime/grpc-client/client.ts';
import { systemClock } from '../../runtime/platform/system-clock.ts';
import { grpcRequests } from './grpc-requests.ts';
import { type FieldRequest, httpRequests } from './http-requests.ts';

export interface FieldAnswer {
  /** `400 ERR_MALFORMED_REQUEST`, `204`, `InvalidArgument`'s number, or what went wrong. */
  readonly outcome: string;
  readonly text: string;
}

export type FieldAnswers = ReadonlyMap<string, FieldAnswer>;

const LIMIT_MS = 10_000;

function send(port: number, { method, path, headers, body }: FieldRequest): Promise<FieldAnswer> {
  return new Promise((resolve) => {
    const length = body === undefined ? {} : { 'content-length': String(body.byteLength) };
    const failed = (error: Error): void => resolve({ outcome: 'no answer', text: error.message });
    const asked = request(
      { host: '127.0.0.1', port, method, path, headers: { ...headers, ...length }, timeout: LIMIT_MS },
      (answer) => {
        const parts: Buffer[] = [];
        answer.on('data', (part: Buffer) => parts.push(part));
        answer.on('error', failed);
        answer.on('end', () => {
          const text = Buffer.concat(parts).toString();
          const errorCode = /"errorCode":"(\w+)"/.exec(text)?.[1];
          const status = String(answer.statusCode);
          resolve({ outcome: errorCode === undefined ? status : `${status} ${errorCode}`, text });
        });
      },
    );
    asked.on('timeout', () => asked.destroy(new Error('no answer in time')));
    asked.on('error', failed);
    asked.end(body);
  });
}

export async function httpAnswers(port: number): Promise<FieldAnswers> {
  const answers = new Map<string, FieldAnswer>();
  for (const one of httpRequests()) answers.set(one.name, await send(port, one));
  return answers;
}

export async function grpcAnswers(port: number): Promise<FieldAnswers> {
  const answers = new Map<string, FieldAnswer>();
  const connect = () => createGrpcClient({ target: `127.0.0.1:${port}`, clock: systemClock() });
  let client = connect();
  for (const { name, method, streams, message } of grpcRequests()) {
    const path = `/dapr.proto.runtime.v1.Dapr/${method}`;
    try {
      if (streams) {
        const stream = await client.serverStream(path, message, { timeoutMs: LIMIT_MS });
        // A subscription that answers stays open: its first word is enough.
        await stream.next();
        stream.cancel();
      } else await client.unary(path, message, { timeoutMs: LIMIT_MS });
      answers.set(name, { outcome: 'OK', text: '' });
    } catch (error) {
      const code = error instanceof GrpcStatusError ? error.code : 'no status';
      answers.set(name, { outcome: `code ${code}`, text: (error as Error).message });
      if (code !== GrpcCode.Unavailable) continue;
      // The connection is of no use any more.
      void client.close();
      client = connect();
    }
  }
  await client.close();
  return answers;
}
