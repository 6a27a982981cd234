/** Answers of an app as `InternalInvokeResponse` and back (gRPC reference, section 5.1). */

import { create, fromBinary, type MessageInitShape, toBinary } from '@bufbuild/protobuf';
import { AnySchema } from '@bufbuild/protobuf/wkt';
import type { Body, InvokeResponse } from '../contracts/app-channel.ts';
import { headerValue } from '../contracts/blocks.ts';
import {
  type InternalInvokeResponse,
  type InternalInvokeResponseSchema,
  type InternalInvokeResponseStream,
  InternalInvokeResponseStreamSchema,
} from '../generated/dapr/proto/internals/v1/service_invocation_pb.ts';
import { fromWireMap, toWireMap } from './wire-headers.ts';

const NOTHING = new Uint8Array(0);

/** The answer; `data` only where it is not streamed. */
export function toWireResponse(
  response: InvokeResponse,
  data: Uint8Array = NOTHING,
): MessageInitShape<typeof InternalInvokeResponseSchema> {
  const headers = toWireMap(response.headers);
  const { bytes } = response.body;
  // Dapr drops this header; to a caller of our kind it says that a short body is complete before the stream has ended.
  if (bytes !== undefined) headers['Content-Length'] = { values: [String(bytes.byteLength)] };
  return {
    status: {
      code: response.status,
      message: response.message ?? '',
      details: (response.statusDetails ?? []).map((detail) => fromBinary(AnySchema, detail)),
    },
    headers,
    trailers: toWireMap(response.trailers ?? []),
    message: {
      contentType: response.contentType ?? '',
      data: { typeUrl: response.dataTypeUrl ?? '', value: data },
    },
  };
}

/** First message of the answer's stream. */
export function leadingAnswer(
  response: InvokeResponse,
  data: Uint8Array | undefined,
): InternalInvokeResponseStream {
  return create(InternalInvokeResponseStreamSchema, {
    response: toWireResponse(response),
    ...(data === undefined || data.byteLength === 0 ? {} : { payload: { data, seq: 0n } }),
  });
}

/** Following message of the answer's stream. */
export function dataAnswer(data: Uint8Array, seq: number): InternalInvokeResponseStream {
  return create(InternalInvokeResponseStreamSchema, { payload: { data, seq: BigInt(seq) } });
}

/** The answer of a peer. A status below 100 is a gRPC code (the app speaks gRPC, or streams events). */
export function fromWireResponse(response: InternalInvokeResponse, body: Body): InvokeResponse {
  const status = response.status?.code ?? 0;
  const headers = fromWireMap(response.headers);
  const dataTypeUrl = response.message?.data?.typeUrl ?? '';
  const type = dataTypeUrl === '' ? response.message?.contentType : 'application/x-protobuf';
  const contentType = type === undefined || type === '' ? headerValue(headers, 'content-type') : type;
  const grpc = status < 100;
  return {
    status,
    grpc,
    headers: headers.filter(([name]) => !NOT_KEPT.test(name)),
    body,
    ...(contentType === undefined ? {} : { contentType }),
    ...(dataTypeUrl === '' ? {} : { dataTypeUrl }),
    ...(grpc
      ? {
          message: response.status?.message ?? '',
          trailers: fromWireMap(response.trailers),
          statusDetails: (response.status?.details ?? []).map((detail) => toBinary(AnySchema, detail)),
        }
      : {}),
  };
}

/** Length of a body that the callee had whole; `undefined` when it did not say. */
export function answeredLength(response: InternalInvokeResponse): number | undefined {
  const text = response.headers['Content-Length']?.values[0];
  return text !== undefined && /^\d{1,15}$/.test(text) ? Number(text) : undefined;
}

const NOT_KEPT = /^content-(?:type|length)$/i;
