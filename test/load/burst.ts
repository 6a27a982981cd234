/**
 * Many connections with many requests each, all of them in progress at the same moment: the app behind the sidecar
 * answers nobody until the last request was sent. Every request must end in an answer or in a clean refusal, in memory
 * that has a bound, and afterwards the sidecar must be as before.
 */

import { readdirSync, readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { type ClientHttp2Session, connect as connectHttp2 } from 'node:http2';
import { type AddressInfo, connect } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import { create, toBinary } from '@bufbuild/protobuf';
import { encodeFrame } from '../../runtime/contracts/grpc-wire/frame.ts';
import { InvokeServiceRequestSchema } from '../../runtime/generated/dapr/proto/runtime/v1/invoke_pb.ts';

/** An app that holds every request back until it is told to answer. */
export interface SlowApp {
  readonly port: number;
  /** Requests received and not answered. */
  readonly waiting: number;
  /** Requests are held back from now on, or answered at once. */
  hold(yes: boolean): void;
  close(): void;
}

export async function startSlowApp(): Promise<SlowApp> {
  const held: (() => void)[] = [];
  let holding = true;
  const server = createServer((_request, response) => {
    const answer = (): void => void response.end('done');
    if (holding) held.push(answer);
    else answer();
  });
  server.maxConnections = 50_000;
  await new Promise<void>((resolve) => server.listen({ port: 0, host: '127.0.0.1', backlog: 4096 }, resolve));
  return {
    port: (server.address() as AddressInfo).port,
    get waiting() {
      return held.length;
    },
    hold: (yes) => {
      holding = yes;
      if (!yes) for (const answer of held.splice(0)) answer();
    },
    close: () => {
      server.closeAllConnections();
      server.close();
    },
  };
}

export interface ProcessState {
  readonly rssMb: number;
  readonly descriptors: number;
}

export function stateOf(pid: number): ProcessState {
  const kib = Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0);
  return { rssMb: Math.round(kib / 1024), descriptors: readdirSync(`/proc/${pid}/fd`).length };
}

/** How requests ended, by status: `200`, `429`, `grpc 0`, `closed`. */
export type Tally = Record<string, number>;

export interface Burst {
  readonly connections: number;
  /** Requests at once on each connection. */
  readonly each: number;
  readonly appId: string;
}

export interface Running {
  /** Resolves when every request has been sent. */
  readonly sent: Promise<void>;
  /** Resolves when every request has ended. */
  readonly ended: Promise<Tally>;
}

/** HTTP/1.1: the requests of a connection follow one another without waiting for answers. */
export function httpBurst(port: number, { connections, each, appId }: Burst): Running {
  const tally: Tally = {};
  const request = `GET /v1.0/invoke/${appId}/method/x HTTP/1.1\r\nHost: x\r\n\r\n`;
  const sent: Promise<void>[] = [];
  const ended = Array.from({ length: connections }, () => {
    const socket = connect(port, '127.0.0.1');
    sent.push(
      new Promise<void>((resolve) => {
        socket.once('connect', () => socket.write(request.repeat(each), () => resolve()));
        socket.once('close', () => resolve());
      }),
    );
    return new Promise<void>((resolve) => {
      let answered = 0;
      let rest = '';
      socket.setEncoding('latin1').on('data', (part: string) => {
        rest += part;
        for (
          let at = rest.indexOf('HTTP/1.1 ');
          at >= 0 && rest.length >= at + 12;
          at = rest.indexOf('HTTP/1.1 ')
        ) {
          const status = rest.slice(at + 9, at + 12);
          tally[status] = (tally[status] ?? 0) + 1;
          answered += 1;
          rest = rest.slice(at + 12);
        }
        if (answered === each) socket.end();
      });
      socket.on('error', () => {});
      socket.on('close', () => {
        if (answered < each) tally['closed'] = (tally['closed'] ?? 0) + each - answered;
        resolve();
      });
    });
  });
  return { sent: Promise.all(sent).then(() => {}), ended: Promise.all(ended).then(() => tally) };
}

/** gRPC: the requests of a connection are streams side by side. */
export function grpcBurst(port: number, { connections, each, appId }: Burst): Running {
  const tally: Tally = {};
  const message = encodeFrame(
    toBinary(
      InvokeServiceRequestSchema,
      create(InvokeServiceRequestSchema, { id: appId, message: { method: 'x', httpExtension: { verb: 1 } } }),
    ),
  );
  const one = (session: ClientHttp2Session): Promise<void> =>
    new Promise((resolve) => {
      const stream = session.request({
        ':method': 'POST',
        ':path': '/dapr.proto.runtime.v1.Dapr/InvokeService',
        'content-type': 'application/grpc',
        te: 'trailers',
      });
      let code = 'closed';
      const note = (fields: Readonly<Record<string, unknown>>): void => {
        if (fields['grpc-status'] !== undefined) code = `grpc ${String(fields['grpc-status'])}`;
      };
      stream
        .on('response', note)
        .on('trailers', note)
        .on('error', () => {});
      stream.on('close', () => {
        tally[code] = (tally[code] ?? 0) + 1;
        resolve();
      });
      stream.resume();
      stream.end(message);
    });
  const sessions: ClientHttp2Session[] = [];
  const ended = Array.from({ length: connections }, async () => {
    const session = connectHttp2(`http://127.0.0.1:${port}`);
    sessions.push(session);
    session.on('error', () => {});
    await Promise.all(Array.from({ length: each }, () => one(session)));
    await new Promise<void>((resolve) => session.close(() => resolve()));
  });
  const sent = Promise.all(
    sessions.map((session) => new Promise<void>((resolve) => void session.once('connect', () => resolve()))),
  ).then(() => {});
  return { sent, ended: Promise.all(ended).then(() => tally) };
}

export interface Report {
  readonly tally: Tally;
  readonly before: ProcessState;
  /** Requests that had reached the app when all were in progress. */
  readonly reached: number;
  /** While every request was in progress. */
  readonly during: ProcessState;
  readonly after: ProcessState;
}

/** Requests that reach the app at once: the rest wait in the sidecar for a connection to it. */
const APP_CONNECTIONS = 1024;

/** Waits until nothing changes any more, so that everything is in progress that will be. */
async function untilSteady(value: () => number): Promise<void> {
  let last = -1;
  for (let same = 0; same < 5; ) {
    await pause(100);
    const now = value();
    same = now === last ? same + 1 : 0;
    last = now;
  }
}

/** One burst from beginning to end. */
export async function measure(
  pid: number,
  app: SlowApp,
  { connections, each }: Burst,
  start: () => Running,
  disturb: () => Promise<void> = async () => {},
): Promise<Report> {
  app.hold(true);
  const before = stateOf(pid);
  const { sent, ended } = start();
  await disturb();
  await sent;
  const expected = Math.min(APP_CONNECTIONS, connections * each);
  for (let tries = 0; app.waiting < expected && tries < 100; tries += 1) await pause(100);
  await untilSteady(() => app.waiting);
  const during = stateOf(pid);
  const reached = app.waiting;
  app.hold(false);
  const tally = await ended;
  await untilSteady(() => stateOf(pid).descriptors);
  return { tally, reached, before, during, after: stateOf(pid) };
}
