/** A pub/sub component: topics of a broker. */

import type { ComponentInstance } from './component.ts';

export interface PublishMessage {
  readonly topic: string;
  readonly data: Uint8Array;
  /** Content type of `data` as sent to the broker; `undefined` when unknown. */
  readonly contentType?: string;
  readonly metadata: Readonly<Record<string, string>>;
}

export interface BulkEntry {
  readonly entryId: string;
  readonly data: Uint8Array;
  readonly contentType: string;
  readonly metadata: Readonly<Record<string, string>>;
}

export interface BulkFailure {
  readonly entryId: string;
  readonly error: Error;
}

/** A message as the broker delivered it. `topic` is the concrete topic name, not the filter. */
export interface IncomingMessage {
  readonly topic: string;
  readonly data: Uint8Array;
  readonly contentType?: string;
  readonly metadata: Readonly<Record<string, string>>;
}

/** The subscription is closing; the message was not handled and is neither acknowledged nor refused. */
export class SubscriptionClosingError extends Error {
  override readonly name = 'SubscriptionClosingError';
  constructor() {
    super('the subscription is closing');
  }
}

/** Resolves: the message is acknowledged. Rejects: it is not, and the component's own redelivery applies. */
export type MessageHandler = (message: IncomingMessage, signal: AbortSignal) => Promise<void>;

/** Handles several messages; result per message in order, `undefined` acknowledges it. */
export type BulkMessageHandler = (
  messages: readonly IncomingMessage[],
  signal: AbortSignal,
) => Promise<readonly (Error | undefined)[]>;

export interface SubscribeOptions {
  readonly topic: string;
  readonly metadata: Readonly<Record<string, string>>;
}

export interface BulkSubscribeOptions extends SubscribeOptions {
  readonly maxMessages: number;
  readonly maxAwaitMs: number;
}

export interface ComponentSubscription {
  /** Stops delivery; messages in flight are answered first. A durable subscription keeps collecting at the broker. */
  close(): Promise<void>;
}

/** Whether subscriptions of a component reach the other side. */
export interface SubscriptionLink {
  readonly up: boolean;
  /** Why not. */
  readonly reason?: string;
}

export interface PubSub extends ComponentInstance {
  /** Dapr feature names: `MESSAGE_TTL`, `SUBSCRIBE_WILDCARDS`, `BULK_PUBSUB`. */
  readonly features: readonly string[];
  /** Resolves once the broker has confirmed (or stored) the message. */
  publish(message: PublishMessage, signal: AbortSignal): Promise<void>;
  /** Native bulk publish; resolves with the entries that failed. */
  bulkPublish?(
    topic: string,
    entries: readonly BulkEntry[],
    metadata: Readonly<Record<string, string>>,
    signal: AbortSignal,
  ): Promise<readonly BulkFailure[]>;
  /** Starts delivery; resolves once the subscription is in force. Handlers of one topic may run concurrently. */
  subscribe(options: SubscribeOptions, handler: MessageHandler): Promise<ComponentSubscription>;
  /** Native batches, where the component has them; otherwise the runtime collects. */
  bulkSubscribe?(options: BulkSubscribeOptions, handler: BulkMessageHandler): Promise<ComponentSubscription>;
  /**
   * For good, before the subscriptions close: the broker hands out nothing more. Resolves once what it had handed out has
   * been handled, or at once where the broker cannot pause.
   */
  pause?(): Promise<void>;
  /** How the subscription to a topic stands, where the component knows; `undefined` without one. */
  link?(topic: string): SubscriptionLink | undefined;
}
