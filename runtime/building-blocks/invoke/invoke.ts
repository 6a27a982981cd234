/**
 * Service invocation (HTTP reference, section 10): one block for HTTP and gRPC callers. It finds out what an id names
 * (own app, an app of this node, an app behind another sidecar, an HTTPEndpoint, a URL), applies the target's
 * resiliency policy and gives failures the texts that Dapr's clients know.
 */

import type { AppChannel, AppHealth, InvokeRequest, InvokeResponse } from '../../contracts/app-channel.ts';
import type { InvokeBlock } from '../../contracts/blocks.ts';
import type { CallContext } from '../../contracts/call-context.ts';
import type { Clock } from '../../contracts/clock.ts';
import { type RuntimeError, runtimeError } from '../../contracts/error.ts';
import { GrpcCode } from '../../contracts/grpc-code.ts';
import type { Logger } from '../../contracts/logger.ts';
import type { Metrics } from '../../contracts/metrics.ts';
import type { NameResolver } from '../../contracts/name-resolver.ts';
import { PeerError, type Peers } from '../../contracts/peer.ts';
import type { Policies, StatusCarrier } from '../../contracts/resiliency.ts';
import type { SpiffeId } from '../../contracts/spiffe.ts';
import { type AccessCheck, type AccessControl, createAccessCheck } from './access-control.ts';
import { dropBody, replayableRequest, watchBody, wholeBody } from './body.ts';
import type { ExternalHttp, ResolvedEndpoint } from './external-http.ts';
import { createPeerHeaders } from './identity-headers.ts';
import { createInvocationMetrics } from './invocation-metrics.ts';
import { decodeMethod, InvalidMethodError, normaliseMethod, plainMethod } from './method-path.ts';
import { createRemoteApps } from './remote-app.ts';
import { failureText, rpcText } from './status-text.ts';
import { type ResolvedTarget, resolveTarget } from './target.ts';

export interface InvokeBlockOptions {
  readonly appId: string;
  /** Empty means `default`. */
  readonly namespace: string;
  readonly hostAddress: string;
  readonly hostName: string;
  readonly policies: Policies;
  readonly resolver: () => NameResolver | undefined;
  readonly peers: Peers;
  readonly appChannel: () => AppChannel | undefined;
  readonly appHealth: Pick<AppHealth, 'healthy'>;
  readonly endpoints: () => ReadonlyMap<string, ResolvedEndpoint>;
  readonly external: ExternalHttp;
  readonly accessControl?: AccessControl;
  /** Own identity under mutual TLS. */
  readonly identity?: () => SpiffeId;
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: Metrics;
  /** The far sidecar that calls fall through to when no neighbour answers to an app id. */
  readonly farSidecar?: () => ResolvedEndpoint | undefined;
  /** Other apps of this node: a call to one stays in the process. */
  readonly localApps?: (appId: string) => InvokeBlock | undefined;
}

const VERBS = new Set(['GET', 'HEAD', 'POST', 'PUT', 'DELETE', 'OPTIONS', 'TRACE', 'PATCH']);
const never = (): boolean => false;
const UNHEALTHY = 'app is not in a healthy state';

/** Makes the block of one app id. */
export function createInvokeBlock(options: InvokeBlockOptions): InvokeBlock {
  const namespace = options.namespace === '' ? 'default' : options.namespace;
  const identity = { ...options, namespace };
  const peerHeaders = createPeerHeaders(identity);
  const remote = createRemoteApps({
    ...options,
    elsewhere: () => {
      const endpoint = options.farSidecar?.();
      if (endpoint === undefined) return undefined;
      return (id, request, call) =>
        options.external.call(
          { ...endpoint, followRedirects: false, sendAppToken: false },
          { ...request, method: `v1.0/invoke/${encodeURIComponent(id)}/method/${request.method}` },
          call,
        );
    },
  });
  const { clock, policies } = options;
  const metrics = createInvocationMetrics(options.metrics);
  const access =
    options.accessControl === undefined
      ? undefined
      : createAccessCheck(options.accessControl, options.metrics, options.log);

  if (options.accessControl?.defaultAction === '' && options.accessControl.policies.length > 0) {
    options.log.warn('No global default action has been specified. Setting default global action as Deny');
  }

  const callOwnApp = (
    request: InvokeRequest,
    call: Pick<CallContext, 'signal' | 'span'>,
  ): Promise<InvokeResponse> => {
    const channel = options.appChannel();
    if (channel === undefined) throw new Error('cannot invoke local endpoint: app channel not initialized');
    if (!options.appHealth.healthy) throw new PeerError(GrpcCode.Internal, UNHEALTHY);
    if (!channel.protocol.startsWith('grpc')) requireVerb(request);
    return channel.invoke(request, call);
  };

  /** `work` tells when the request leaves: one that finds no address does not. */
  const measured = async (
    appId: string,
    work: (leaving: () => void) => Promise<InvokeResponse>,
  ): Promise<InvokeResponse> => {
    const started = clock.monotonicMs();
    const response = await work(() => metrics.requestSent(appId));
    metrics.responseReceived(appId, response.status, clock.monotonicMs() - started);
    return response;
  };

  const measuredExternal = (appId: string, work: () => Promise<InvokeResponse>): Promise<InvokeResponse> =>
    measured(appId, (leaving) => {
      leaving();
      return work();
    });

  const callApp = (
    target: ResolvedTarget & { kind: 'app' },
    request: InvokeRequest,
    call: CallContext,
    mayRepeat: () => boolean,
  ): Promise<InvokeResponse> => {
    const own = target.namespace === namespace;
    if (own && target.id === options.appId) return callOwnApp(request, call);
    const sent = { ...request, headers: peerHeaders(request.headers, target.id) };
    const sibling = own ? options.localApps?.(target.id) : undefined;
    const caller = { appId: options.appId, namespace };
    return measured(target.id, (leaving) => {
      if (sibling === undefined) return remote.call(target, sent, call, mayRepeat, leaving);
      leaving();
      return sibling.invokeLocal(sent, caller, asOwn(call, options.identity?.()));
    });
  };

  const callTarget = (
    target: ResolvedTarget,
    request: InvokeRequest,
    call: CallContext,
    mayRepeat: () => boolean,
  ): Promise<InvokeResponse> => {
    switch (target.kind) {
      case 'app':
        return callApp(target, request, call, mayRepeat);
      case 'endpoint':
        requireVerb(request);
        return measuredExternal(target.id, () =>
          options.external.call(
            {
              ...target.endpoint,
              followRedirects: true,
              sendAppToken: false,
            },
            request,
            call,
          ),
        );
      case 'url':
        requireVerb(request);
        return measuredExternal(target.id, () =>
          options.external.call(
            {
              baseUrl: target.id,
              headers: [],
              followRedirects: false,
              sendAppToken: true,
            },
            request,
            call,
          ),
        );
    }
  };

  const attempt = async (
    id: string,
    request: InvokeRequest,
    call: CallContext,
    mayRepeat: () => boolean,
  ): Promise<InvokeResponse> => {
    let checked: InvokeRequest;
    try {
      checked = checkedRequest(request);
    } catch (cause) {
      throw cause instanceof InvalidMethodError
        ? new PeerError(GrpcCode.InvalidArgument, cause.message)
        : cause;
    }
    return callTarget(resolveTarget(id, namespace, options.endpoints()), checked, call, mayRepeat);
  };

  const underPolicy = async (
    id: string,
    given: InvokeRequest,
    call: CallContext,
  ): Promise<InvokeResponse> => {
    const policy = policies.app(policyName(id), policyInstance(id, given.method, options.endpoints()));
    const request = policy.retries ? await replayableRequest(given) : given;
    const replayable = request.body.bytes !== undefined;
    const failed = (response: InvokeResponse): StatusCarrier | undefined => failedStatus(response, call);
    return policy.run(
      async (signal) => {
        const response = await attempt(
          id,
          request,
          signal === call.signal ? call : { ...call, signal },
          never,
        );
        // A failed answer is kept whole: the next attempt may replace it, and nobody else would read it to its end.
        return replayable && failed(response) !== undefined ? wholeBody(response) : response;
      },
      { signal: call.signal, failed, replayable },
    );
  };

  return {
    async invoke({ id }, request, call) {
      try {
        if (policies.hasAppPolicy(policyName(id))) return await underPolicy(id, request, call);
        const { request: watched, untouched } = watchBody(request);
        return await attempt(id, watched, call, untouched);
      } catch (cause) {
        throw call.signal.aborted && cause === call.signal.reason ? cause : invokeError(id, cause);
      }
    },

    async invokeLocal(request, caller, call) {
      metrics.requestReceived(caller.appId);
      const channel = options.appChannel();
      if (channel === undefined) throw new PeerError(GrpcCode.Internal, 'app channel is not initialized');
      let response: InvokeResponse;
      try {
        const checked = checkedRequest(request);
        if (access === undefined) metrics.accessAllowed(call.callerId);
        else requireAccess(access, checked, channel, call);
        if (!options.appHealth.healthy) {
          throw new PeerError(
            GrpcCode.Internal,
            `error invoking app channel: ${rpcText(GrpcCode.Internal, UNHEALTHY)}`,
          );
        }
        const fault = channel.protocol.startsWith('grpc') ? undefined : verbFault(checked);
        if (fault !== undefined) {
          const text = rpcText(GrpcCode.InvalidArgument, fault);
          throw new PeerError(GrpcCode.Internal, `error invoking app channel: ${text}`);
        }
        response = await channel.invoke(checked, call);
        // Dapr relays the frames of an event stream between sidecars, not the answer of an app that gave none.
        if (wantsEventStream(checked) && !response.grpc && !isSuccess(response.status)) {
          void dropBody(response);
          throw new PeerError(
            GrpcCode.Internal,
            'error invoking app channel: no response received from stream',
          );
        }
      } catch (cause) {
        metrics.responseSent(caller.appId, GrpcCode.Internal);
        throw localError(cause, call.signal);
      }
      metrics.responseSent(caller.appId, response.status);
      return response;
    },
  };
}

/** A call inside the node comes from the own sidecar, as its certificate would say at the other end of a connection. */
function asOwn(call: CallContext, callerId: SpiffeId | undefined): CallContext {
  if (callerId === undefined) return call;
  const { signal, protocol, span, log } = call;
  return { signal, protocol, span, log, callerId };
}

/** What is judged is the name that the app will understand. gRPC apps have no verbs, and neither has a call that names none. */
function requireAccess(
  access: AccessCheck,
  { method, verb, plainMethod: plain }: InvokeRequest,
  channel: AppChannel,
  { callerId }: CallContext,
): void {
  const http = !channel.protocol.startsWith('grpc');
  const name = http || plain === undefined ? decodeMethod(method) : plainMethod(plain);
  const denied = access(callerId, { name, verb: http && verb !== '' ? verb : 'NONE', http });
  if (denied !== undefined) throw new PeerError(GrpcCode.PermissionDenied, denied);
}

/** The request with its method in canonical form; a verb that Dapr does not know is POST. */
function checkedRequest(request: InvokeRequest): InvokeRequest {
  const method = normaliseMethod(request.method);
  if (verbFault(request) !== undefined) return { ...request, method };
  const upper = VERBS.has(request.verb) ? request.verb : request.verb.toUpperCase();
  if (upper === 'CONNECT') throw new PeerError(GrpcCode.InvalidArgument, 'invalid HTTP verb');
  const verb = VERBS.has(upper) ? upper : 'POST';
  return method === request.method && verb === request.verb ? request : { ...request, method, verb };
}

/** What an HTTP app cannot be called without. */
function verbFault({ verb }: InvokeRequest): string | undefined {
  if (verb === '') return 'missing HTTP extension field';
  return verb === 'NONE' ? 'invalid HTTP verb' : undefined;
}

function requireVerb(request: InvokeRequest): void {
  const fault = verbFault(request);
  if (fault !== undefined) throw new PeerError(GrpcCode.InvalidArgument, fault);
}

/** The callee's errors as another sidecar sees them (gRPC reference, section 5.1). */
function localError(cause: unknown, signal: AbortSignal): unknown {
  if (cause instanceof PeerError) return cause;
  if (cause instanceof InvalidMethodError) return new PeerError(GrpcCode.InvalidArgument, cause.message);
  if (signal.aborted && cause === signal.reason) return cause;
  return new PeerError(GrpcCode.Internal, `error invoking app channel: ${failureText(cause)}`);
}

function invokeError(id: string, cause: unknown): RuntimeError {
  const denied = cause instanceof PeerError && cause.grpcCode === GrpcCode.PermissionDenied;
  return runtimeError(
    'directInvoke',
    { appId: id, error: failureText(cause) },
    { cause, ...(denied ? { httpStatus: 403 } : {}) },
  );
}

function wantsEventStream(request: InvokeRequest): boolean {
  for (const [name, value] of request.headers)
    if (name.length === 6 && name.toLowerCase() === 'accept')
      return value.trim().toLowerCase() === 'text/event-stream';
  return false;
}

function isSuccess(status: number): boolean {
  return status >= 200 && status <= 299;
}

/** Dapr compares statuses with `matching` lists in its HTTP API only: a gRPC caller's failure has none to compare. */
const NO_STATUS: StatusCarrier = {};

/**
 * What resiliency counts as a failed answer: HTTP outside 200 to 399, for gRPC callers a status other than OK. To an
 * HTTP caller the status of a gRPC app is an answer like any other. Errors without an answer are always failures.
 */
function failedStatus(
  { grpc, status }: InvokeResponse,
  { protocol }: CallContext,
): StatusCarrier | undefined {
  const http = protocol === 'http';
  if (grpc ? http || status === GrpcCode.OK : status >= 200 && status <= 399) return undefined;
  return http ? { httpStatus: status } : NO_STATUS;
}

/** Policies name an app without its namespace. */
function policyName(id: string): string {
  if (id.startsWith('http://') || id.startsWith('https://')) return id;
  const dot = id.indexOf('.');
  return dot < 0 ? id : id.slice(0, dot);
}

/** What a breaker is kept for: the base URL of an endpoint, the method of everything else. */
function policyInstance(
  id: string,
  method: string,
  endpoints: ReadonlyMap<string, ResolvedEndpoint>,
): string {
  const endpoint = endpoints.get(id);
  return `${id}:${endpoint === undefined ? method : endpoint.baseUrl}`;
}
