/** A sentry played by the test, on an independent gRPC server: signs whatever it is asked to, unless told otherwise. */

import { create, fromBinary, type MessageInitShape, toBinary } from '@bufbuild/protobuf';
import { timestampFromMs } from '@bufbuild/protobuf/wkt';
import * as grpc from '@grpc/grpc-js';
import {
  type SignCertificateRequest,
  SignCertificateRequestSchema,
  SignCertificateResponseSchema,
} from '../../runtime/generated/dapr/proto/sentry/v1/sentry_pb.ts';
import { type Authority, type Issued, publicKeyOfRequest, type Validity } from './certificate-authority.ts';

export interface SentryOptions {
  /** Signs; its certificate is what everybody must trust. */
  readonly authority: Authority;
  /** Certificate that the server shows; default sentry's in trust domain `localhost`. */
  readonly own?: Issued;
  readonly port?: number;
  /** Trust anchors that the caller's certificate must come from; absent: none is asked for. */
  readonly clientAnchors?: string;
}

export interface TestSentry {
  readonly port: number;
  readonly address: string;
  readonly requests: readonly SignCertificateRequest[];
  /** Dates of what is signed from now on. */
  validity: () => Validity;
  /** Replaces the answer: a chain in PEM, or a status to fail with. */
  answer: ((request: SignCertificateRequest) => string | { code: number; details: string }) | undefined;
  close(): void;
}

interface Teardown {
  teardown(run: () => unknown): void;
}

export const SENTRY_ID = 'spiffe://localhost/ns/default/dapr-sentry';
const PATH = '/dapr.proto.sentry.v1.CA/SignCertificate';

/** SPIFFE id that Dapr's own sentry gives to an app. */
export function appSpiffeId(appId: string, namespace = 'default', trustDomain = 'public'): string {
  return `spiffe://${trustDomain}/ns/${namespace}/${appId}`;
}

export async function startSentry(t: Teardown, options: SentryOptions): Promise<TestSentry> {
  const { authority } = options;
  const own = options.own ?? authority.issue({ uris: [SENTRY_ID] });
  const requests: SignCertificateRequest[] = [];
  const reply = (request: SignCertificateRequest): string | { code: number; details: string } => {
    if (sentry.answer !== undefined) return sentry.answer(request);
    return authority.sign(publicKeyOfRequest(Buffer.from(request.certificateSigningRequest).toString()), {
      ...sentry.validity(),
      uris: [appSpiffeId(request.id, request.namespace)],
    });
  };
  const server = new grpc.Server();
  server.addService(
    {
      sign: {
        path: PATH,
        requestStream: false,
        responseStream: false,
        requestSerialize: (value: SignCertificateRequest) =>
          Buffer.from(toBinary(SignCertificateRequestSchema, value)),
        requestDeserialize: (bytes: Buffer) => fromBinary(SignCertificateRequestSchema, bytes),
        responseSerialize: (value: MessageInitShape<typeof SignCertificateResponseSchema>) =>
          Buffer.from(toBinary(SignCertificateResponseSchema, create(SignCertificateResponseSchema, value))),
        responseDeserialize: (bytes: Buffer) => fromBinary(SignCertificateResponseSchema, bytes),
      },
    },
    {
      sign: (
        call: grpc.ServerUnaryCall<SignCertificateRequest, object>,
        callback: grpc.sendUnaryData<object>,
      ) => {
        requests.push(call.request);
        const answer = reply(call.request);
        if (typeof answer !== 'string') return callback(answer as grpc.ServiceError);
        callback(null, {
          workloadCertificate: Buffer.from(answer),
          validUntil: timestampFromMs(sentry.validity().to ?? Date.now()),
        });
      },
    },
  );
  const credentials = grpc.ServerCredentials.createSsl(
    options.clientAnchors === undefined ? null : Buffer.from(options.clientAnchors),
    [{ cert_chain: Buffer.from(own.chain), private_key: Buffer.from(own.key) }],
    options.clientAnchors !== undefined,
  );
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync(`127.0.0.1:${options.port ?? 0}`, credentials, (error, bound) =>
      error === null ? resolve(bound) : reject(error),
    );
  });
  const sentry: TestSentry = {
    port,
    address: `127.0.0.1:${port}`,
    requests,
    validity: () => ({}),
    answer: undefined,
    close: () => server.forceShutdown(),
  };
  t.teardown(() => server.forceShutdown());
  return sentry;
}
