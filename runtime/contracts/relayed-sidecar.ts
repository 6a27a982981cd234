/**
 * A sidecar of the cloud that stands beside the relay of this node, asked over the node's own link: requests of its HTTP API
 * and streaming subscriptions. Components see only this; who the node is and what it may ask is the relay's business.
 */

export interface RelayedRequest {
  readonly method: string;
  /** Origin form with query. */
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: Uint8Array | undefined;
  readonly signal: AbortSignal;
  /** The largest answer that is taken. */
  readonly maxAnswerBytes: number;
}

export interface RelayedAnswer {
  readonly status: number;
  /** By lower-case name. */
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Uint8Array;
}

export interface RelayedStream {
  readonly messages: AsyncIterable<Uint8Array>;
  /** Wait for the result where it is a promise. */
  send(message: Uint8Array): Promise<void> | undefined;
  end(): void;
}

export interface RelayedSidecar {
  /** The sidecar's answer or the relay's own; rejects when there is none, at once while the link is down. */
  request(request: RelayedRequest): Promise<RelayedAnswer>;
  /** Opens a streaming subscription (`SubscribeTopicEventsAlpha1`); rejects at once while the link is down. */
  subscribe(signal: AbortSignal): Promise<RelayedStream>;
  /** Calls `run` whenever the link is up again. */
  onUp(run: () => void): { stop(): void };
}

/** `baseUrl` of a sidecar that is reached this way. */
export const RELAY_URL = /^relay:(?:\/\/)?$/i;
