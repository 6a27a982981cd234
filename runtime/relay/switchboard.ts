/**
 * Who is reached how: app ids behind links, and everything else by name resolution in the relay's own network. Says for every
 * call who the caller is, as far as the relay knows it: the app of a node by the node's enrolment, an app of the cloud by the
 * certificate of its sidecar.
 */

import type { HeaderList } from '../contracts/app-channel.ts';
import { errorText } from '../contracts/error.ts';
import { GrpcCode } from '../contracts/grpc-code.ts';
import { metadataValue } from '../contracts/grpc-wire/metadata.ts';
import { GrpcStatusError } from '../contracts/grpc-wire/status.ts';
import type { Logger } from '../contracts/logger.ts';
import type { Metrics } from '../contracts/metrics.ts';
import type { NameResolver } from '../contracts/name-resolver.ts';
import type { SpiffeId } from '../contracts/spiffe.ts';
import type { GrpcStream } from '../grpc-client/call.ts';
import type { GrpcClientPool } from '../grpc-client/client.ts';
import { type ForwardedCall, firstMessage, forward, isInternal } from './forward.ts';
import type { FarRelay } from './link-rows.ts';
import type { LinkTable } from './link-table.ts';
import type { NodeCall } from './node-call.ts';
import { CALLEE_FIELD, CALLER_FIELD, withoutLinkFields } from './protocol.ts';

export interface SwitchboardOptions {
  readonly links: LinkTable;
  readonly resolver: () => NameResolver | undefined;
  /** Connections to sidecars of the cloud, made in the name of `caller`. */
  readonly clients: (caller: string) => GrpcClientPool;
  readonly trustDomain: string;
  readonly namespace: string;
  /** Absent where the relay is alone. */
  readonly elsewhere?: Elsewhere | undefined;
  /** Whether this is an internal address of the relay: a name that leads there leads nowhere. */
  readonly isOwn: (address: string) => boolean;
  readonly log: Logger;
  readonly metrics: Metrics;
}

/** Other relays of the same registry. */
export interface Elsewhere {
  /** Relays that have a link to this app. */
  find(appId: string): Promise<readonly FarRelay[]>;
  /** What was found was wrong. */
  forget(appId: string): void;
  open(relay: FarRelay, call: ForwardedCall, metadata: HeaderList): Promise<GrpcStream>;
}

export interface Switchboard {
  /** A call of a sidecar of the cloud; `callee` where its port already tells. */
  fromCloud(call: ForwardedCall, callerId: SpiffeId | undefined, callee?: string): Promise<void>;
  /** A call that another relay hands over. */
  fromRelay(call: ForwardedCall): Promise<void>;
  /** A call of a node; ends it in every case. */
  fromNode(call: NodeCall, node: string): Promise<void>;
  /** Whether a node could reach this app through us. */
  find(appId: string, namespace: string, signal: AbortSignal): Promise<boolean>;
}

const CALLER = 'dapr-caller-app-id';
const CALLEE = 'dapr-callee-app-id';
/** Relays that are asked for a link before it is taken to be nowhere. */
const ATTEMPTS = 2;

export function createSwitchboard(options: SwitchboardOptions): Switchboard {
  const { links, log, metrics, namespace } = options;

  const toNode = (
    call: ForwardedCall,
    callee: string,
    callerId: string,
    metadata: HeaderList,
  ): GrpcStream | undefined =>
    links.pick(callee)?.open(call.path, {
      metadata: [...metadata, [CALLEE_FIELD, callee], [CALLER_FIELD, callerId]],
      signal: call.signal,
      contentType: call.contentType,
      ...(call.remainingMs === undefined ? {} : { timeoutMs: call.remainingMs }),
    });

  /** Calls on their way through another relay. */
  const handed = new WeakSet<GrpcStream>();
  let turn = 0;
  const toRelay = async (
    call: ForwardedCall,
    callee: string,
    callerId: string,
    metadata: HeaderList,
  ): Promise<GrpcStream | undefined> => {
    const { elsewhere } = options;
    if (elsewhere === undefined) return undefined;
    const fields: HeaderList = [...metadata, [CALLEE_FIELD, callee], [CALLER_FIELD, callerId]];
    for (let attempt = 0; attempt < ATTEMPTS; attempt += 1) {
      const relays = await elsewhere.find(callee);
      turn += 1;
      const relay = relays[turn % relays.length];
      if (relay === undefined) return undefined;
      try {
        const stream = await elsewhere.open(relay, call, fields);
        handed.add(stream);
        return stream;
      } catch (cause) {
        // Nothing was sent yet: the node may have come back somewhere else.
        if (!isUnavailable(cause) || call.signal.aborted) throw cause;
        elsewhere.forget(callee);
      }
    }
    return undefined;
  };
  /** Passes a call on until it ends; what turns out to be somewhere else is forgotten. */
  const passOn = async (
    call: ForwardedCall,
    target: GrpcStream,
    first: Uint8Array | undefined,
    callee: string,
  ): Promise<void> => {
    try {
      await forward(call, target, first);
    } catch (cause) {
      if (handed.has(target) && isUnavailable(cause)) options.elsewhere?.forget(callee);
      throw cause;
    }
  };

  const addressOf = async (appId: string, ns: string, signal: AbortSignal): Promise<string> => {
    const resolver = options.resolver();
    if (resolver === undefined) throw new Error('name resolver not initialized');
    const address = await resolver.resolve({ appId, namespace: ns }, signal);
    if (address === '' || options.isOwn(address)) throw new Error(`couldn't find service: ${appId}`);
    return address;
  };

  const toCloud = async (
    call: ForwardedCall,
    callee: string,
    ns: string,
    caller: string,
    metadata: HeaderList,
  ) => {
    const open = async (address: string): Promise<GrpcStream> =>
      await options
        .clients(caller)
        .client(address, { namespace: ns, appId: callee })
        .bidi(call.path, {
          metadata,
          signal: call.signal,
          contentType: call.contentType,
          ...(call.remainingMs === undefined ? {} : { timeoutMs: call.remainingMs }),
        });
    const address = await addressOf(callee, ns, call.signal).catch((cause: unknown) => {
      if (call.signal.aborted) throw call.signal.reason;
      throw new GrpcStatusError(GrpcCode.Unknown, errorText(cause), { cause });
    });
    try {
      return await open(address);
    } catch (cause) {
      // Nothing was sent yet: the app may have moved.
      if (!isUnavailable(cause) || call.signal.aborted) throw cause;
      options.resolver()?.forget?.({ appId: callee, namespace: ns }, address);
      return open(await addressOf(callee, ns, call.signal));
    }
  };

  /** What goes out in place of what the node sent; refuses a node that speaks for an app that is not its own. */
  const checked = async (
    call: NodeCall,
    node: string,
  ): Promise<{ readonly first?: Uint8Array; readonly metadata: HeaderList }> => {
    const { caller, callee, metadata } = call;
    if (!links.announces(node, caller)) throw lie(node, caller);
    if (!isInternal(call.path)) {
      const kept = metadata.filter(([name]) => name !== CALLER && name !== CALLEE);
      return { metadata: [...kept, [CALLER, caller], [CALLEE, callee]] };
    }
    const message = await firstMessage(call);
    for (const named of message.callers) if (named !== caller) throw lie(node, named);
    if (message.callee !== '' && message.callee !== callee)
      throw new GrpcStatusError(GrpcCode.InvalidArgument, 'the call names two callees');
    return { first: message.bytes, metadata };
  };

  const pass = async (call: NodeCall, node: string): Promise<void> => {
    const { caller, callee } = call;
    const { first, metadata } = await checked(call, node);
    const ns = call.namespace === '' ? namespace : call.namespace;
    const callerId = `spiffe://${options.trustDomain}/ns/${namespace}/${caller}`;
    const target =
      (ns === namespace
        ? (toNode(call, callee, callerId, metadata) ?? (await toRelay(call, callee, callerId, metadata)))
        : undefined) ?? (await toCloud(call, callee, ns, caller, metadata));
    await passOn(call, target, first, callee);
  };

  /** A node that speaks for an app it was not enrolled for. */
  const lie = (node: string, appId: string): GrpcStatusError => {
    log.warn('a node called in the name of an app that is not its own', { node, app_id: appId });
    metrics.count('skerry_relay_refused_total', { reason: 'caller' });
    return new GrpcStatusError(
      GrpcCode.PermissionDenied,
      `the node ${node} may not call in the name of ${appId}`,
    );
  };

  return {
    async fromCloud(call, callerId, known) {
      let first: Uint8Array | undefined;
      let callee = known ?? '';
      if (isInternal(call.path)) {
        const message = await firstMessage(call);
        first = message.bytes;
        if (message.callee !== '') callee = message.callee;
      } else {
        callee =
          metadataValue(call.metadata, CALLEE) ?? metadataValue(call.metadata, 'dapr-app-id') ?? callee;
      }
      if (known !== undefined && callee !== known)
        throw new GrpcStatusError(GrpcCode.InvalidArgument, `this is the port of ${known}, not of ${callee}`);
      const id = callerId?.text ?? '';
      const metadata = withoutLinkFields(call.metadata);
      const target =
        toNode(call, callee, id, metadata) ?? (await toRelay(call, callee, id, metadata)) ?? absent(callee);
      metrics.count('skerry_relay_calls_total', { direction: 'down' });
      await passOn(call, target, first, callee);
    },

    async fromRelay(call) {
      const callee = metadataValue(call.metadata, CALLEE_FIELD) ?? '';
      const callerId = metadataValue(call.metadata, CALLER_FIELD) ?? '';
      // Never on to a third relay.
      const target = toNode(call, callee, callerId, withoutLinkFields(call.metadata)) ?? absent(callee);
      metrics.count('skerry_relay_calls_total', { direction: 'relay' });
      await forward(call, target, undefined);
    },

    async fromNode(call, node) {
      metrics.count('skerry_relay_calls_total', { direction: 'up' });
      try {
        await pass(call, node);
        call.finish({ code: GrpcCode.OK, message: '' });
      } catch (cause) {
        call.finish(
          cause instanceof GrpcStatusError ? cause : { code: GrpcCode.Internal, message: errorText(cause) },
        );
      }
    },

    async find(appId, ns, signal) {
      if (ns === '' || ns === namespace) {
        if (links.pick(appId) !== undefined) return true;
        if (((await options.elsewhere?.find(appId)) ?? []).length > 0) return true;
      }
      return await addressOf(appId, ns === '' ? namespace : ns, signal).then(
        () => true,
        () => false,
      );
    },
  };
}

function isUnavailable(cause: unknown): boolean {
  return cause instanceof GrpcStatusError && cause.code === GrpcCode.Unavailable;
}

function absent(callee: string): never {
  throw new GrpcStatusError(GrpcCode.Unavailable, `no node with the app ${callee} has a link to this relay`);
}
