/** Answers of an app as `InternalInvokeResponse` and back (gRPC reference, section 5.1). */

import type { Body, InvokeResponse } from '../contracts/app-channel.ts';
import { headerValue } from '../contracts/blocks.ts';
import type { ResponseChunk, WireResponse } from './stream-codec.ts';
import { fromWireMap, toWireMap } from './wire-headers.ts';

const NOTHING = new Uint8Array(0);

/** The answer; `data` only where it is not streamed. */
export function toWireResponse(response: InvokeResponse, data: Uint8Array = NOTHING): WireResponse {
  const headers = toWireMap(response.headers);
  const { bytes } = response.body;
  // daprd shows it to its gRPC callers.
  if (!response.grpc && response.contentType !== undefined)
    headers['Content-Type'] = { values: [response.contentType] };
  // Dapr drops this header; to a caller of our kind it says that a short body is complete before the stream has ended.
  if (bytes !== undefined) headers['Content-Length'] = { values: [String(bytes.byteLength)] };
  return {
    status: {
      code: response.status,
      message: response.message ?? '',
      details: [...(response.statusDetails ?? [])],
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
export function leadingAnswer(response: InvokeResponse, data: Uint8Array | undefined): ResponseChunk {
  return {
    response: toWireResponse(response),
    payload: data === undefined || data.byteLength === 0 ? undefined : { data, seq: 0 },
  };
}

/** Following message of the answer's stream. */
export function dataAnswer(data: Uint8Array, seq: number): ResponseChunk {
  return { payload: { data, seq } };
}

/** The answer of a peer. A status below 100 is a gRPC code (the app speaks gRPC, or streams events). */
export function fromWireResponse(response: WireResponse, body: Body): InvokeResponse {
  const status = response.status?.code ?? 0;
  const headers = fromWireMap(response.headers);
  const dataTypeUrl = response.message?.data?.typeUrl ?? '';
  const type = response.message?.contentType;
  const grpc = status < 100;
  // daprd hands on the metadata of a gRPC app's call as headers, too: `application/grpc` is not what the body is.
  const named = headerValue(headers, 'content-type');
  const ofHeaders = grpc && named?.startsWith('application/grpc') === true ? undefined : named;
  const contentType = type === undefined || type === '' ? ofHeaders : type;
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
          statusDetails: response.status?.details ?? [],
        }
      : {}),
  };
}

/** Length of a body that the callee had whole; `undefined` when it did not say. */
export function answeredLength(response: WireResponse): number | undefined {
  const text = response.headers['Content-Length']?.values[0];
  return text !== undefined && /^\d{1,15}$/.test(text) ? Number(text) : undefined;
}

const NOT_KEPT = /^content-(?:type|length)$/i;
