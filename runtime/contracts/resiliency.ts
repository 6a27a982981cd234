/** What a block asks of resiliency: a policy per target, applied as retry(breaker(timeout(call))). */

/** Carries the status of a failed call so that `matching` lists can decide about a retry. */
export interface StatusCarrier {
  readonly httpStatus?: number;
  readonly grpcCode?: number;
}

/** An attempt's failure that must not be retried whatever the policy says (etag mismatch, malformed request). */
export class PermanentError extends Error {
  override readonly name = 'PermanentError';
}

export interface Policy {
  /** True when at least one of timeout, retry, breaker is in force. */
  readonly active: boolean;
  /** True when a failed attempt may be repeated: only then must a body be replayable. */
  readonly retries: boolean;
  /**
   * Runs `attempt` under the policy. `attempt` gets a signal that joins the caller's and the timeout. `failed` tells
   * whether a resolved value counts as a failure (an HTTP 500 answer); the last such value is returned when retries end.
   */
  run<T>(
    attempt: (signal: AbortSignal, attemptNumber: number) => Promise<T>,
    options: RunOptions<T>,
  ): Promise<T>;
}

export interface RunOptions<T> {
  readonly signal: AbortSignal;
  readonly failed?: (value: T) => StatusCarrier | undefined;
  /** Status of a thrown error, for `matching`; default: none. */
  readonly status?: (error: unknown) => StatusCarrier | undefined;
  /** False: this call cannot be replayed (streamed body); breaker and timeout still apply. */
  readonly replayable?: boolean;
}

export type ComponentKind =
  | 'Statestore'
  | 'Pubsub'
  | 'Binding'
  | 'Secretstore'
  | 'Configuration'
  | 'Lock'
  | 'Crypto'
  | 'Conversation';

export interface Policies {
  /** `instance` is the address called: a breaker is kept per instance. */
  app(appId: string, instance?: string): Policy;
  actor(actorType: string, actorId: string): Policy;
  componentOutbound(name: string, kind: ComponentKind): Policy;
  componentInbound(name: string, kind: ComponentKind): Policy;
  /** `DaprBuiltInServiceRetries`, `DaprBuiltInInitializationRetries`, ...: redefinable by name. */
  builtIn(name: string): Policy;
  /** True when a Resiliency resource names this app or a default app policy exists. */
  hasAppPolicy(appId: string): boolean;
}

/** The breaker refused the call. Its message is what clients see. */
export class CircuitOpenError extends Error {
  override readonly name = 'CircuitOpenError';
}

/** The policy's timeout passed; text as clients see it. */
export class PolicyTimeoutError extends Error {
  override readonly name = 'PolicyTimeoutError';
  constructor() {
    super('context deadline exceeded');
  }
}
