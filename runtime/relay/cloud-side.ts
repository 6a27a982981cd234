/**
 * The relay towards the sidecars of its own network: Dapr's internal gRPC on one port for all apps (callers say in every call
 * whom they mean), and an announcement per app id, as a sidecar of that app would make it.
 */

import type { Clock } from '../contracts/clock.ts';
import { errorText } from '../contracts/error.ts';
import type { Logger } from '../contracts/logger.ts';
import type { Metrics } from '../contracts/metrics.ts';
import type { NameResolver } from '../contracts/name-resolver.ts';
import type { Tracer } from '../contracts/trace.ts';
import type { RawCall } from '../grpc/dispatch.ts';
import { createGrpcServer, type GrpcServer } from '../grpc/server.ts';
import type { Switchboard } from './switchboard.ts';

export interface CloudPortOptions {
  readonly address: string;
  readonly port: number;
  readonly maxMessageBytes: number;
  readonly switchboard: () => Switchboard;
  readonly tracer: Tracer;
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: Metrics;
}

/** A server whose every call is for an app of a node. */
export function createCloudPort(options: CloudPortOptions): GrpcServer {
  const { tracer, metrics, clock, log, maxMessageBytes } = options;
  return createGrpcServer({
    tracer,
    metrics,
    clock,
    log,
    maxMessageBytes,
    protocol: 'internal',
    addresses: [options.address],
    port: options.port,
    services: [],
    unknownMethod: (call) => options.switchboard().fromCloud(forwarded(call), call.callerId),
  });
}

function forwarded(call: RawCall) {
  const type = call.metadata.find(([name]) => name === 'content-type')?.[1] ?? 'application/grpc';
  return {
    path: call.path,
    metadata: call.metadata,
    contentType: type,
    messages: call.messages,
    signal: call.signal,
    get remainingMs() {
      return call.remainingMs;
    },
    addHeaders: (more: RawCall['metadata']) => call.addHeaders(more),
    sendHeaders: () => call.sendHeaders(),
    addTrailers: (more: RawCall['metadata']) => call.addTrailers(more),
    send: (message: Uint8Array) => call.send(message),
  };
}

export interface Announcements {
  /** An app has its first link, or lost its last one. */
  set(appId: string, present: boolean): void;
  close(): Promise<void>;
}

/** Tells the relay's network which apps are to be had here. Changes of one app happen one after the other. */
export function createAnnouncements(options: {
  readonly resolver: () => NameResolver | undefined;
  readonly address: string;
  readonly namespace: string;
  readonly port: () => number;
  readonly log: Logger;
}): Announcements {
  const { log, address, namespace } = options;
  const wanted = new Map<string, boolean>();
  const made = new Map<string, { close(): Promise<void> }>();
  const turns = new Map<string, Promise<void>>();

  const settle = async (appId: string): Promise<void> => {
    const want = wanted.get(appId) === true;
    const have = made.get(appId);
    try {
      if (want && have === undefined) {
        const port = options.port();
        const registered = await options
          .resolver()
          ?.register({ appId, namespace, address, internalPort: port, httpPort: port });
        if (registered !== undefined) made.set(appId, registered);
      } else if (!want && have !== undefined) {
        made.delete(appId);
        await have.close();
      }
    } catch (error) {
      log.warn(`announcing ${appId} failed: ${errorText(error)}`);
    }
    if (!want && wanted.get(appId) === false) wanted.delete(appId);
  };
  const set = (appId: string, present: boolean): void => {
    wanted.set(appId, present);
    const turn = (turns.get(appId) ?? Promise.resolve()).then(() => settle(appId));
    turns.set(appId, turn);
    void turn.finally(() => {
      if (turns.get(appId) === turn) turns.delete(appId);
    });
  };
  return {
    set,
    close: async () => {
      for (const appId of made.keys()) set(appId, false);
      await Promise.all(turns.values());
    },
  };
}
