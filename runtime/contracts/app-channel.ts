/** What the runtime asks of the application beside it, over HTTP or gRPC alike. */

import type { BindingEvent } from './binding.ts';
import type { CallContext } from './call-context.ts';
import type { CloudEvent } from './cloud-event.ts';
import type { ConfigurationItems } from './configuration-store.ts';
import type { ProgrammaticSubscription } from './resource.ts';
import type { TraceContext } from './trace.ts';

/** Names as received (HTTP/1 keeps their case), values repeated. */
export type HeaderList = readonly (readonly [name: string, value: string])[];

/** A body that is either whole (may be replayed) or streamed once. */
export interface Body {
  /** Bytes when `replayable`, otherwise undefined. */
  readonly bytes?: Uint8Array;
  /** Length in bytes when known before reading. */
  readonly length?: number;
  /** Reads the body; a streamed body can be read once. */
  stream(): AsyncIterable<Uint8Array>;
}

/** An invocation on its way to an app. */
export interface InvokeRequest {
  /** Escaped method path without leading slash and without query. */
  readonly method: string;
  /** The method as a gRPC caller wrote it, which is what a gRPC app gets; absent for HTTP callers. */
  readonly plainMethod?: string;
  /** Only gRPC callers may leave it out (`''`) or choose none (`NONE`); HTTP apps cannot be called so. */
  readonly verb: string;
  /** Query without `?`, byte for byte as received. */
  readonly query: string;
  readonly headers: HeaderList;
  readonly contentType?: string;
  /** Type URL when the body is a protobuf message packed in an `Any` (gRPC callers). */
  readonly dataTypeUrl?: string;
  readonly body: Body;
}

export interface InvokeResponse {
  /** HTTP status, or gRPC code when `grpc`. */
  readonly status: number;
  readonly grpc: boolean;
  /** Status text of a gRPC failure. */
  readonly message?: string;
  readonly headers: HeaderList;
  readonly trailers?: HeaderList;
  readonly contentType?: string;
  /** Type URL when the body is a protobuf message packed in an `Any` (gRPC apps). */
  readonly dataTypeUrl?: string;
  readonly body: Body;
  /** google.rpc.Status details of a gRPC app (`Any` messages, encoded). */
  readonly statusDetails?: readonly Uint8Array[];
}

/** One event for a route of the app. */
export interface TopicDelivery {
  readonly path: string;
  readonly envelope: CloudEvent;
  /** Exact bytes for HTTP apps. */
  readonly data: Uint8Array;
  readonly pubsubName: string;
  readonly topic: string;
  readonly metadata: Readonly<Record<string, string>>;
  readonly trace: TraceContext;
}

/** `retry` carries the status of the answer for `matching` lists. */
export type DeliveryResult =
  | { readonly kind: 'success' }
  /**
   * `unknown`: the app has no such route, which metrics tell from a drop that it asked for. `final`: not even the dead letter
   * topic gets it.
   */
  | { readonly kind: 'drop'; readonly unknown?: boolean; readonly final?: boolean }
  | {
      readonly kind: 'retry';
      readonly error: Error;
      readonly httpStatus?: number;
      readonly grpcCode?: number;
    };

export interface BulkDeliveryEntry {
  readonly entryId: string;
  /** The CloudEvent, or raw bytes for raw subscriptions. */
  readonly event: CloudEvent | Uint8Array;
  readonly contentType: string;
  readonly metadata: Readonly<Record<string, string>>;
}

export interface BulkTopicDelivery {
  readonly id: string;
  readonly path: string;
  readonly entries: readonly BulkDeliveryEntry[];
  readonly pubsubName: string;
  readonly topic: string;
  readonly metadata: Readonly<Record<string, string>>;
  readonly trace: TraceContext;
}

/** What the app answered to `/dapr/config` (actors); members as in the HTTP reference, section 11.1. */
export type AppConfiguration = Readonly<Record<string, unknown>>;

/** Answer of a gRPC app to an input binding; HTTP apps give `data` only. */
export interface BindingReply {
  readonly data?: Uint8Array;
  /** What goes to the output bindings of `to` when it differs from `data` (reply object of an HTTP app). */
  readonly outputData?: Uint8Array;
  readonly storeName?: string;
  readonly states?: readonly { readonly key: string; readonly value: Uint8Array }[];
  readonly to?: readonly string[];
  readonly concurrency?: 'sequential' | 'parallel';
  /** HTTP status of the answer, when there is one. */
  readonly httpStatus?: number;
}

export interface AppChannel {
  readonly protocol: 'http' | 'https' | 'h2c' | 'grpc' | 'grpcs';
  /** Calls a method of the app; HTTP apps answer with any status, only transport failures reject. */
  invoke(request: InvokeRequest, call: Pick<CallContext, 'signal' | 'span'>): Promise<InvokeResponse>;
  /** `undefined` when the app has none to give (404, Unimplemented). Connection failures reject. */
  configuration(signal: AbortSignal): Promise<AppConfiguration | undefined>;
  subscriptions(signal: AbortSignal): Promise<readonly ProgrammaticSubscription[]>;
  /** Whether the app wants events of this input binding (HTTP OPTIONS probe; gRPC ListInputBindings). */
  wantsBinding(name: string, route: string, signal: AbortSignal): Promise<boolean>;
  deliverBinding(
    name: string,
    route: string,
    event: BindingEvent,
    trace: TraceContext,
    signal: AbortSignal,
  ): Promise<BindingReply>;
  deliverEvent(delivery: TopicDelivery, signal: AbortSignal): Promise<DeliveryResult>;
  /** Result per entry in the order of the entries. */
  deliverBulk(delivery: BulkTopicDelivery, signal: AbortSignal): Promise<readonly DeliveryResult[]>;
  deliverConfiguration(
    store: string,
    key: string,
    subscriptionId: string,
    items: ConfigurationItems,
    signal: AbortSignal,
  ): Promise<void>;
  /** One health probe; resolves false or rejects when the app is not healthy. */
  probe(path: string, signal: AbortSignal): Promise<boolean>;
  close(): Promise<void>;
}

/** App health as blocks see it; without health checks an app is healthy once its port accepts. */
export interface AppHealth {
  readonly healthy: boolean;
  /** Calls `changed` on every transition; the result stops that. */
  onChange(changed: (healthy: boolean) => void): () => void;
}
