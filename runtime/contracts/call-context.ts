/** What travels with every call through a building block: who asks, how long, under which trace. */

import type { Logger } from './logger.ts';
import type { SpiffeId } from './spiffe.ts';
import type { Span } from './trace.ts';

export interface CallContext {
  /** Aborts when the client goes away, its deadline passes, or the node gives up draining. */
  readonly signal: AbortSignal;
  readonly protocol: 'http' | 'grpc' | 'internal';
  readonly span: Span;
  readonly log: Logger;
  /** Whose certificate the calling sidecar showed; absent without mutual TLS and for calls of the own app. */
  readonly callerId?: SpiffeId | undefined;
}
