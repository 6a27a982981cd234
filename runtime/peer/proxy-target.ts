/**
 * Where a proxied gRPC call goes (gRPC reference, section 4): to the own app's server, or under the same method name to
 * the internal port of the target's sidecar. The gRPC server copies frames; this opens the stream they go to.
 */

import type { AccessCheck } from '../building-blocks/invoke/access-control.ts';
import { withCaller } from '../building-blocks/invoke/identity-headers.ts';
import { InvalidMethodError, normaliseMethod } from '../building-blocks/invoke/method-path.ts';
import { resolveTarget } from '../building-blocks/invoke/target.ts';
import type { AppHealth, HeaderList } from '../contracts/app-channel.ts';
import { errorText } from '../contracts/error.ts';
import { GrpcCode } from '../contracts/grpc-code.ts';
import { metadataValue } from '../contracts/grpc-wire/metadata.ts';
import { GrpcStatusError } from '../contracts/grpc-wire/status.ts';
import type { NameResolver } from '../contracts/name-resolver.ts';
import type { SpiffeId } from '../contracts/spiffe.ts';
import type { Span, TraceContext } from '../contracts/trace.ts';
import type { GrpcCallOptions, GrpcStream } from '../grpc-client/call.ts';
import type { GrpcClient, GrpcClientPool } from '../grpc-client/client.ts';
import { metadataOfTrace } from '../grpc-client/trace-metadata.ts';

/** What the proxy knows about the call it received. */
export interface ProxyCall {
  /** `/package.Service/Method`. */
  readonly path: string;
  readonly metadata: HeaderList;
  readonly signal: AbortSignal;
  readonly span: Pick<Span, 'context'>;
  /** What is left of the caller's deadline; the callee is told. */
  readonly timeoutMs?: number | undefined;
  /** Whose certificate the calling sidecar showed. */
  readonly callerId?: SpiffeId | undefined;
}

export interface ProxyTargetOptions {
  readonly appId: string;
  /** Empty means `default`. */
  readonly namespace: string;
  readonly resolver: () => NameResolver | undefined;
  /** Connections to other sidecars, shared with `createPeers`. */
  readonly clients: GrpcClientPool;
  /** Connection to the own app; `undefined` when it speaks HTTP or there is none. */
  readonly appClient: () => GrpcClient | undefined;
  readonly appHealth: Pick<AppHealth, 'healthy'>;
  /** `APP_API_TOKEN`. */
  readonly appToken?: string;
  readonly accessCheck?: AccessCheck | undefined;
  /** Other apps are not reached from here: a sidecar of the mesh must call them itself, by its own name. */
  readonly ownAppOnly?: boolean;
  /** gRPC connection to another app of this node. */
  readonly siblingClient?: (appId: string) => GrpcClient | undefined;
}

/** Where a call goes, and the way there. */
export interface ProxyTarget {
  readonly appId: string;
  readonly local: boolean;
  /** Opens the stream; may be called again for a retry. */
  open(signal: AbortSignal): Promise<GrpcStream>;
}

/** An app without a port, or one that speaks HTTP. */
const NO_GRPC_APP =
  'connection error: desc = "transport: Error while dialing: the app of this sidecar has no gRPC server"';
const PROXY_CONTENT_TYPE = 'application/grpc+proto';
const MISSING_TARGET =
  'failed to proxy request: required metadata dapr-callee-app-id or dapr-app-id not found';
const REMOTE_DROPPED = new Set([
  'dapr-app-id',
  'dapr-caller-app-id',
  'dapr-callee-app-id',
  'traceparent',
  'tracestate',
  'grpc-trace-bin',
]);

/** Finds the target of a call. Rejects with the status that the caller sees. */
export async function resolveProxyTarget(call: ProxyCall, options: ProxyTargetOptions): Promise<ProxyTarget> {
  const id =
    metadataValue(call.metadata, 'dapr-callee-app-id') ?? metadataValue(call.metadata, 'dapr-app-id');
  if (id === undefined) throw new GrpcStatusError(GrpcCode.Unknown, MISSING_TARGET);
  const namespace = options.namespace === '' ? 'default' : options.namespace;
  const target = namedApp(id, namespace);
  const own = target.namespace === namespace;
  if (own && target.id === options.appId) return localTarget(call, options);
  if (options.ownAppOnly === true)
    throw new GrpcStatusError(GrpcCode.PermissionDenied, `${target.id} is not the app of this sidecar`);
  const sibling = own ? options.siblingClient?.(target.id) : undefined;
  const metadata = remoteMetadata(call, options.appId, target.id);
  if (sibling !== undefined) return { appId: target.id, local: false, open: opener(sibling, call, metadata) };
  const address = await resolve(target, options, call.signal);
  return {
    appId: target.id,
    local: false,
    open: remoteOpener(address, target, call, metadata, options),
  };
}

/** Opens the stream of a proxied call at its target; `leaving` is called once that is known. */
export async function openProxyStream(
  call: ProxyCall,
  options: ProxyTargetOptions,
  leaving?: () => void,
): Promise<GrpcStream> {
  const target = await resolveProxyTarget(call, options);
  leaving?.();
  return target.open(call.signal);
}

function namedApp(id: string, namespace: string): { readonly id: string; readonly namespace: string } {
  try {
    const target = resolveTarget(id, namespace, NO_ENDPOINTS);
    if (target.kind === 'app') return target;
  } catch (cause) {
    throw new GrpcStatusError(GrpcCode.Unknown, errorText(cause), { cause });
  }
  throw new GrpcStatusError(GrpcCode.Unknown, `invalid app id ${id}`);
}

const NO_ENDPOINTS = new Map<string, never>();

function localTarget(call: ProxyCall, options: ProxyTargetOptions): ProxyTarget {
  const path = normalisedPath(call.path);
  const denied = options.accessCheck?.(call.callerId, { name: path, verb: 'NONE', http: false });
  if (denied !== undefined) throw new GrpcStatusError(GrpcCode.PermissionDenied, denied);
  const client = options.appClient();
  if (client === undefined) throw new GrpcStatusError(GrpcCode.Unavailable, NO_GRPC_APP);
  if (!options.appHealth.healthy)
    throw new GrpcStatusError(GrpcCode.Internal, 'app is not in a healthy state');
  const received = call.callerId === undefined ? call.metadata : withCaller(call.metadata, call.callerId);
  const metadata: (readonly [string, string])[] = received.filter(
    ([name]) => name !== 'dapr-api-token' && name !== 'dapr-app-id',
  );
  if (options.appToken !== undefined && options.appToken !== '')
    metadata.push(['dapr-api-token', options.appToken]);
  return { appId: options.appId, local: true, open: opener(client, { ...call, path }, metadata) };
}

function normalisedPath(path: string): string {
  try {
    return `/${normaliseMethod(path)}`;
  } catch (cause) {
    if (!(cause instanceof InvalidMethodError)) throw cause;
    throw new GrpcStatusError(GrpcCode.InvalidArgument, cause.message, { cause });
  }
}

function remoteMetadata(call: ProxyCall, callerId: string, calleeId: string): HeaderList {
  const trace: TraceContext = call.span.context;
  const traced = trace.traceparent !== undefined;
  const kept = call.metadata.filter(([name]) => {
    const lower = name.toLowerCase();
    return !(REMOTE_DROPPED.has(lower) && (traced || lower.startsWith('dapr-')));
  });
  const own: (readonly [string, string])[] = [
    ['dapr-caller-app-id', callerId],
    ['dapr-callee-app-id', calleeId],
  ];
  return [...kept, ...own, ...(traced ? metadataOfTrace({ ...trace, baggage: '' }) : [])];
}

async function resolve(
  target: { readonly id: string; readonly namespace: string },
  options: ProxyTargetOptions,
  signal: AbortSignal,
): Promise<string> {
  const resolver = options.resolver();
  if (resolver === undefined) throw new GrpcStatusError(GrpcCode.Unknown, 'name resolver not initialized');
  try {
    return await resolver.resolve({ appId: target.id, namespace: target.namespace }, signal);
  } catch (cause) {
    if (signal.aborted) throw cause;
    throw new GrpcStatusError(GrpcCode.Unknown, errorText(cause), { cause });
  }
}

function opener(client: GrpcClient, call: ProxyCall, metadata: HeaderList): ProxyTarget['open'] {
  return (signal) => client.bidi(call.path, callOptions(call, metadata, signal));
}

/** A connection that breaks before the stream exists is made again once, with a fresh address. */
function remoteOpener(
  address: string,
  target: { readonly id: string; readonly namespace: string },
  call: ProxyCall,
  metadata: HeaderList,
  options: ProxyTargetOptions,
): ProxyTarget['open'] {
  let current = address;
  const open = (signal: AbortSignal): Promise<GrpcStream> =>
    options.clients
      .client(current, { namespace: target.namespace, appId: target.id })
      .bidi(call.path, callOptions(call, metadata, signal));
  return async (signal) => {
    try {
      return await open(signal);
    } catch (cause) {
      if (!(cause instanceof GrpcStatusError) || signal.aborted) throw cause;
      if (cause.code !== GrpcCode.Unavailable && cause.code !== GrpcCode.Unauthenticated) throw cause;
      options.resolver()?.forget?.({ appId: target.id, namespace: target.namespace }, current);
      current = await resolve(target, options, signal);
      return open(signal);
    }
  };
}

function callOptions({ timeoutMs }: ProxyCall, metadata: HeaderList, signal: AbortSignal): GrpcCallOptions {
  const deadline = timeoutMs === undefined ? {} : { timeoutMs };
  return { metadata, signal, contentType: PROXY_CONTENT_TYPE, ...deadline };
}
