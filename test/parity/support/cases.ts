/**
 * Tables of parity cases: a request in neutral words, what HTTP answers, what gRPC answers, and the value that both
 * give. Every row is sent over both protocols, each time to components that were brought to the same beginning.
 */

import type { HttpAnswer } from './http-client.ts';

type Details = readonly Readonly<Record<string, unknown>>[];

export interface HttpOutcome {
  readonly status: number;
  /** Members of an error body. */
  readonly errorCode?: string;
  readonly message?: string;
  readonly details?: Details;
  /** What the answer says, in the shape common to both protocols. */
  readonly value?: unknown;
}

export interface GrpcOutcome {
  /** Go's name of the code. */
  readonly code: string;
  readonly reason?: string;
  readonly message?: string;
  readonly details?: Details;
  readonly value?: unknown;
}

/** One request, ready to be sent over either protocol. */
export interface ParityRequest {
  http(): Promise<HttpOutcome>;
  grpc(): Promise<GrpcOutcome>;
}

export interface ParityCase {
  readonly name: string;
  /** Brings about what the case needs, from inside; done once per protocol. */
  readonly given?: () => unknown;
  readonly request: ParityRequest;
  readonly http: Omit<HttpOutcome, 'details'>;
  readonly grpc: Omit<GrpcOutcome, 'details'>;
  /** The value on both sides. Where the reference has them differ, it stands in the columns instead. */
  readonly same?: unknown;
}

interface Test {
  test(name: string, run: (t: Test) => Promise<unknown>): unknown;
  strictSame(found: unknown, wanted: unknown, message: string): unknown;
}

/** One test per row. `reset` empties the components. */
export function runCases(t: Test, cases: readonly ParityCase[], reset: () => unknown = () => {}): void {
  for (const { name, given, request, http, grpc, ...row } of cases) {
    t.test(name, async (t) => {
      const shared = 'same' in row ? { value: row.same } : {};
      await reset();
      await given?.();
      const overHttp = await request.http();
      await reset();
      await given?.();
      const overGrpc = await request.grpc();
      t.strictSame(withoutDetails(overHttp), { ...http, ...shared }, 'HTTP');
      t.strictSame(withoutDetails(overGrpc), { ...grpc, ...shared }, 'gRPC');
      // What details an error has over HTTP it has over gRPC too; the reverse is not so (basic errors).
      const details = withoutInfo(overHttp.details);
      if (details.length > 0 && overGrpc.code !== 'OK')
        t.strictSame(details, withoutInfo(overGrpc.details), 'details');
    });
  }
}

/** An error body, or the value of an answer that is none. */
export async function httpOutcome(
  sent: Promise<HttpAnswer>,
  value: (answer: HttpAnswer) => unknown = () => undefined,
): Promise<HttpOutcome> {
  const answer = await sent;
  const { status, text } = answer;
  if (status < 400) return withValue({ status }, await value(answer));
  const { errorCode, message, details } = JSON.parse(text) as HttpOutcome;
  return {
    status,
    ...(errorCode === undefined ? {} : { errorCode }),
    ...(message === undefined ? {} : { message }),
    ...(details === undefined ? {} : { details }),
  };
}

/** An outcome with its value, where there is one. */
export function withValue<O extends object>(outcome: O, value: unknown): O & { value?: unknown } {
  return value === undefined ? outcome : { ...outcome, value };
}

function withoutDetails<O extends { details?: Details }>({ details: _details, ...rest }: O) {
  return rest;
}

/** The metadata of an ErrorInfo may tell more on HTTP (gRPC reference, section 1.3). */
function withoutInfo(details: Details = []): unknown[] {
  return details.map(({ metadata: _metadata, ...rest }) => withoutEmpty(rest));
}

/** Empty texts, which one of the encodings leaves out; members in order of their names. */
function withoutEmpty(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutEmpty);
  if (typeof value !== 'object' || value === null) return value;
  const members = Object.entries(value).filter(([, member]) => member !== '');
  return Object.fromEntries(members.sort().map(([name, member]) => [name, withoutEmpty(member)]));
}

type Columns = Pick<ParityCase, 'http' | 'grpc'>;

/** Success with something to show. */
export const FOUND: Columns = { http: { status: 200 }, grpc: { code: 'OK' } };
/** Success without an HTTP body. */
export const DONE: Columns = { http: { status: 204 }, grpc: { code: 'OK' } };

/** A failure with one text; a plain gRPC status has no reason. */
export function failure(
  [status, errorCode]: readonly [status: number, errorCode: string],
  [code, reason]: readonly [code: string, reason?: string],
  message: string,
): Columns {
  return {
    http: { status, errorCode, message },
    grpc: { code, message, ...(reason === undefined ? {} : { reason }) },
  };
}
