/** Input and output bindings. A component may be either or both. */

import type { ComponentInstance } from './component.ts';

export interface BindingRequest {
  readonly operation: string;
  readonly data: Uint8Array;
  readonly metadata: Readonly<Record<string, string>>;
}

/** `undefined` data with metadata only is allowed; the block answers 204 when the component returns nothing at all. */
export interface BindingResponse {
  readonly data?: Uint8Array;
  readonly metadata?: Readonly<Record<string, string>>;
  readonly contentType?: string;
}

/** A failure that still carries the far side's answer (`bindings.http` with a non-2xx status). */
export class BindingError extends Error {
  override readonly name = 'BindingError';
  readonly response: BindingResponse | undefined;
  constructor(message: string, response?: BindingResponse, options?: ErrorOptions) {
    super(message, options);
    this.response = response;
  }
}

export interface BindingEvent {
  readonly data: Uint8Array;
  readonly metadata: Readonly<Record<string, string>>;
  readonly contentType?: string;
}

/** Resolves with the app's answer: the event is acknowledged. Rejects: it is not. */
export type BindingHandler = (event: BindingEvent, signal: AbortSignal) => Promise<Uint8Array | undefined>;

export interface Binding extends ComponentInstance {
  /** Operations of the output side; empty when there is none. */
  readonly operations: readonly string[];
  invoke?(request: BindingRequest, signal: AbortSignal): Promise<BindingResponse | undefined>;
  /** Starts the input side; resolves when it runs. `close` of the result stops it and waits for events in flight. */
  read?(handler: BindingHandler): Promise<{ close(): Promise<void> }>;
}
