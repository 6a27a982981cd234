/**
 * Dapr's certificate authority, sentry: one call of `CA.SignCertificate` over TLS. Sentry shows a certificate with its
 * SPIFFE id; who asks is told by the request, and by a token where sentry demands one.
 */

import { readFile } from 'node:fs/promises';
import { create } from '@bufbuild/protobuf';
import type { Clock } from '../contracts/clock.ts';
import { errorText } from '../contracts/error.ts';
import { GrpcCode, grpcCodeName } from '../contracts/grpc-code.ts';
import { GrpcStatusError } from '../contracts/grpc-wire/status.ts';
import {
  SignCertificateRequestSchema,
  SignCertificateResponseSchema,
  SignCertificateRequest_TokenValidator as Validator,
} from '../generated/dapr/proto/sentry/v1/sentry_pb.ts';
import { callUnary, createGrpcClient } from '../grpc-client/client.ts';
import { codec } from '../grpc-client/codec.ts';
import { verifiedBy } from './server-identity.ts';
import type { SecuritySettings } from './settings.ts';

/** Sentry will not sign for us, however often it is asked. */
export class SentryRefusal extends Error {
  override readonly name = 'SentryRefusal';
}

/** Why a request failed, as the metric of Dapr calls it. */
export class SentryError extends Error {
  override readonly name = 'SentryError';
  readonly reason: 'sentry_conn' | 'sentry_token' | 'sign';
  constructor(reason: SentryError['reason'], message: string, options?: ErrorOptions) {
    super(message, options);
    this.reason = reason;
  }
}

const SIGN = {
  path: '/dapr.proto.sentry.v1.CA/SignCertificate',
  request: codec(SignCertificateRequestSchema),
  response: codec(SignCertificateResponseSchema),
};
const CONNECT_TIMEOUT_MS = 5000;
const SIGN_TIMEOUT_MS = 5000;
const REFUSALS: ReadonlySet<number> = new Set([
  GrpcCode.InvalidArgument,
  GrpcCode.PermissionDenied,
  GrpcCode.Unauthenticated,
  GrpcCode.FailedPrecondition,
  GrpcCode.Unimplemented,
]);

/** The chain in PEM that sentry signed for the key of this request. */
export async function signCertificate(
  request: { readonly csr: string; readonly trustAnchors: string },
  settings: SecuritySettings,
  clock: Clock,
  signal: AbortSignal,
): Promise<string> {
  const token = await sentryToken(settings.tokenFile);
  const { bootstrap } = settings;
  const client = createGrpcClient({
    target: settings.sentryAddress,
    clock,
    limits: { connectTimeoutMs: CONNECT_TIMEOUT_MS },
    tls: {
      ...verifiedBy((id) => id.text === settings.sentryId),
      ca: request.trustAnchors,
      allowPartialTrustChain: true,
      ...(bootstrap === undefined ? {} : { cert: bootstrap.chain, key: bootstrap.key }),
    },
  });
  try {
    await connect(client, signal);
    const answer = await callUnary(
      client,
      SIGN,
      create(SignCertificateRequestSchema, {
        id: settings.identity,
        namespace: settings.workload.namespace,
        certificateSigningRequest: Buffer.from(request.csr),
        token,
        tokenValidator: settings.tokenFile === undefined ? Validator.UNKNOWN : Validator.JWKS,
      }),
      { timeoutMs: SIGN_TIMEOUT_MS, signal },
    );
    return Buffer.from(answer.message.workloadCertificate).toString('utf8');
  } catch (cause) {
    throw signError(cause, signal);
  } finally {
    await client.close();
  }
}

async function connect(
  client: { connect(signal: AbortSignal): Promise<void> },
  signal: AbortSignal,
): Promise<void> {
  try {
    await client.connect(signal);
  } catch (cause) {
    signal.throwIfAborted();
    throw new SentryError('sentry_conn', `error establishing connection to sentry: ${errorText(cause)}`, {
      cause,
    });
  }
}

function signError(cause: unknown, signal: AbortSignal): unknown {
  if (signal.aborted) return signal.reason;
  if (!(cause instanceof GrpcStatusError)) return cause;
  const text = `error from sentry SignCertificate: rpc error: code = ${grpcCodeName(cause.code)} desc = ${cause.message}`;
  return REFUSALS.has(cause.code)
    ? new SentryRefusal(text, { cause })
    : new SentryError('sign', text, { cause });
}

/** Read for every request, since tokens are replaced while we run. */
async function sentryToken(file: string | undefined): Promise<string> {
  if (file === undefined) return '';
  const token = await readFile(file, 'utf8').catch((cause: unknown) => {
    throw new SentryError(
      'sentry_token',
      `error obtaining token: failed to read token at path '${file}': ${errorText(cause)}`,
      { cause },
    );
  });
  if (token === '')
    throw new SentryError('sentry_token', `error obtaining token: token at path '${file}' is empty`);
  return token;
}
