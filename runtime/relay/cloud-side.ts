/**
 * The relay towards the sidecars of its own network: Dapr's internal gRPC on one port for all apps (callers say in every call
 * whom they mean), and an announcement per app id, as a sidecar of that app would make it.
 */

import type { Clock } from '../contracts/clock.ts';
import { errorText } from '../contracts/error.ts';
import type { Logger } from '../contracts/logger.ts';
import type { ServerTls } from '../contracts/mesh-security.ts';
import type { Metrics } from '../contracts/metrics.ts';
import type { NameResolver } from '../contracts/name-resolver.ts';
import type { Tracer } from '../contracts/trace.ts';
import type { RawCall } from '../grpc/dispatch.ts';
import { createGrpcServer, type GrpcServer } from '../grpc/server.ts';
import type { ForwardedCall } from './forward.ts';
import type { Switchboard } from './switchboard.ts';

export interface CloudPortOptions {
  readonly address: string;
  readonly port: number;
  readonly maxMessageBytes: number;
  readonly switchboard: () => Switchboard;
  /** Under mutual TLS a port has the identity of one app, and serves no other. */
  readonly app?: { readonly appId: string; readonly tls: ServerTls };
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
    tls: options.app?.tls,
    unknownMethod: (call) =>
      options.switchboard().fromCloud(forwardedCall(call), call.callerId, options.app?.appId),
  });
}

/** What passes on of a call at a server. */
export function forwardedCall(call: RawCall): ForwardedCall {
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

/** Where the calls to one app of a node come in. */
export interface Place {
  readonly port: number;
  close(): Promise<void>;
}

/** Tells the relay's network which apps are to be had here. Changes of one app happen one after the other. */
export function createAnnouncements(options: {
  readonly resolver: () => NameResolver | undefined;
  readonly address: string;
  readonly namespace: string;
  /** Made before an app is announced, closed after that has ended. */
  readonly place: (appId: string, signal: AbortSignal) => Promise<Place>;
  readonly log: Logger;
}): Announcements {
  const { log, address, namespace } = options;
  const wanted = new Map<string, AbortController>();
  const made = new Map<string, { close(): Promise<void> }>();
  const turns = new Map<string, Promise<void>>();

  const announce = async (appId: string, signal: AbortSignal): Promise<void> => {
    const place = await options.place(appId, signal);
    const { port } = place;
    const registered = await options
      .resolver()
      ?.register({ appId, namespace, address, internalPort: port, httpPort: port })
      .catch(async (error: unknown) => {
        await place.close();
        throw error;
      });
    made.set(appId, {
      close: async () => {
        await registered?.close();
        await place.close();
      },
    });
  };

  const settle = async (appId: string): Promise<void> => {
    const want = wanted.get(appId);
    const have = made.get(appId);
    try {
      if (want !== undefined && have === undefined) await announce(appId, want.signal);
      else if (want === undefined && have !== undefined) {
        made.delete(appId);
        await have.close();
      }
    } catch (error) {
      if (want?.signal.aborted !== true) log.warn(`announcing ${appId} failed: ${errorText(error)}`);
    }
  };
  const set = (appId: string, present: boolean): void => {
    if (present) wanted.set(appId, new AbortController());
    else {
      // Whoever waits for an identity of this app waits no longer.
      wanted.get(appId)?.abort(new Error('the app is gone'));
      wanted.delete(appId);
    }
    const turn = (turns.get(appId) ?? Promise.resolve()).then(() => settle(appId));
    turns.set(appId, turn);
    void turn.finally(() => {
      if (turns.get(appId) === turn) turns.delete(appId);
    });
  };
  return {
    set,
    close: async () => {
      for (const appId of [...wanted.keys(), ...made.keys()]) set(appId, false);
      await Promise.all(turns.values());
    },
  };
}
