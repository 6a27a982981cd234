/**
 * Calls to an app behind another sidecar: resolve, call, and repeat what failed before the app saw it (gRPC reference,
 * section 5.4). The first attempt runs bare, so that the usual case pays for no policy.
 */

import type { InvokeRequest, InvokeResponse } from '../../contracts/app-channel.ts';
import type { CallContext } from '../../contracts/call-context.ts';
import type { Clock } from '../../contracts/clock.ts';
import { GrpcCode } from '../../contracts/grpc-code.ts';
import type { NameResolver } from '../../contracts/name-resolver.ts';
import { PeerError, type Peers, PeerUnavailableError } from '../../contracts/peer.ts';
import { PermanentError, type Policies } from '../../contracts/resiliency.ts';
import { failureText } from './status-text.ts';

export interface RemoteAppOptions {
  readonly resolver: () => NameResolver | undefined;
  readonly peers: Peers;
  readonly policies: Policies;
  readonly clock: Clock;
  /** Where calls go whose app id no neighbour answers to; absent or `undefined`: nowhere. */
  readonly elsewhere?: () =>
    | ((id: string, request: InvokeRequest, call: CallContext) => Promise<InvokeResponse>)
    | undefined;
}

export interface RemoteApp {
  readonly id: string;
  readonly namespace: string;
}

const RESOLVE_ATTEMPTS = 5;
const RESOLVE_PAUSE_MS = 100;
/** How long an id that no neighbour answered to is taken elsewhere without asking around first. */
const ABSENT_FOR_MS = 10_000;
/** More absent ids than this are forgotten, oldest first. */
const MAX_ABSENT = 1000;

/** Makes the caller of remote apps. */
export function createRemoteApps(options: RemoteAppOptions): {
  resolve(app: RemoteApp, signal: AbortSignal): Promise<string>;
  /**
   * `mayRepeat` is asked after a connection failure; true repeats the call under the built-in policy. `leaving` is told
   * of every attempt that has an address to go to.
   */
  call(
    app: RemoteApp,
    request: InvokeRequest,
    call: CallContext,
    mayRepeat: () => boolean,
    leaving?: () => void,
  ): Promise<InvokeResponse>;
} {
  const resolve = async (app: RemoteApp, signal: AbortSignal): Promise<string> => {
    const resolver = options.resolver();
    if (resolver === undefined) throw new Error('name resolver not initialized');
    const request = { appId: app.id, namespace: app.namespace };
    for (let attempt = 1; ; attempt += 1) {
      const address = await resolver.resolve(request, signal);
      if (address !== '') return address;
      if (attempt > RESOLVE_ATTEMPTS)
        throw new Error(`resolver returned empty address for app id ${app.namespace}/${app.id}`);
      await options.clock.sleep(RESOLVE_PAUSE_MS, signal);
    }
  };

  /** By id: until when (elapsed time) it counts as absent. */
  const absent = new Map<string, number>();
  const isAbsent = (id: string): boolean => (absent.get(id) ?? 0) > options.clock.monotonicMs();
  const markAbsent = (id: string): void => {
    absent.delete(id);
    const oldest = absent.size < MAX_ABSENT ? undefined : absent.keys().next().value;
    if (oldest !== undefined) absent.delete(oldest);
    absent.set(id, options.clock.monotonicMs() + ABSENT_FOR_MS);
  };

  const once = async (
    app: RemoteApp,
    request: InvokeRequest,
    call: CallContext,
    leaving: (() => void) | undefined,
  ): Promise<InvokeResponse> => {
    const elsewhere = options.elsewhere?.();
    if (elsewhere === undefined)
      return await atNeighbour(await resolve(app, call.signal), app, request, call, leaving);
    const id = `${app.id}.${app.namespace}`;
    let address = '';
    if (!isAbsent(id)) {
      address = await resolve(app, call.signal).catch((cause: unknown) => {
        if (call.signal.aborted) throw cause;
        markAbsent(id);
        return '';
      });
    }
    if (address !== '') return await atNeighbour(address, app, request, call, leaving);
    leaving?.();
    return await elsewhere(app.id, request, call);
  };

  const atNeighbour = async (
    address: string,
    app: RemoteApp,
    request: InvokeRequest,
    call: CallContext,
    leaving: (() => void) | undefined,
  ): Promise<InvokeResponse> => {
    leaving?.();
    try {
      return await options.peers.call(address, app.id, request, call, app.namespace);
    } catch (cause) {
      if (isRepeatable(cause)) {
        options.resolver()?.forget?.({ appId: app.id, namespace: app.namespace }, address);
      }
      throw cause;
    }
  };

  const repeat = async (
    app: RemoteApp,
    request: InvokeRequest,
    call: CallContext,
    first: unknown,
    mayRepeat: () => boolean,
    leaving: (() => void) | undefined,
  ): Promise<InvokeResponse> => {
    const policy = options.policies.builtIn('DaprBuiltInServiceRetries');
    let attempts = 0;
    try {
      return await policy.run(
        async (signal, attempt) => {
          attempts = attempt;
          if (attempt === 1) throw first;
          try {
            return await once(app, request, { ...call, signal }, leaving);
          } catch (cause) {
            throw isRepeatable(cause) && mayRepeat() ? cause : new PermanentError('not repeated', { cause });
          }
        },
        { signal: call.signal },
      );
    } catch (cause) {
      if (cause instanceof PermanentError) throw cause.cause;
      if (!isRepeatable(cause)) throw cause;
      throw new Error(
        `failed to invoke target ${app.id} after ${attempts - 1} retries. Error: ${failureText(cause)}`,
        { cause },
      );
    }
  };

  return {
    resolve,
    async call(app, request, call, mayRepeat, leaving) {
      try {
        return await once(app, request, call, leaving);
      } catch (cause) {
        if (!isRepeatable(cause) || call.signal.aborted || !mayRepeat()) throw cause;
        return repeat(app, request, call, cause, mayRepeat, leaving);
      }
    },
  };
}

/** The callee's sidecar never took the call. */
function isRepeatable(cause: unknown): boolean {
  return (
    cause instanceof PeerUnavailableError ||
    (cause instanceof PeerError && cause.grpcCode === GrpcCode.Unauthenticated)
  );
}
