/**
 * Service invocation by the older `InvokeService` (gRPC reference, section 2.1): metadata travels to the callee as
 * headers, its headers come back as metadata, an HTTP callee's status becomes a gRPC code.
 */

import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { AnySchema } from '@bufbuild/protobuf/wkt';
import type { HeaderList, InvokeRequest, InvokeResponse } from '../../contracts/app-channel.ts';
import { headerValue } from '../../contracts/blocks.ts';
import { bytesBody, readBody } from '../../contracts/body.ts';
import { GrpcCode } from '../../contracts/grpc-code.ts';
import { daprPrefixed, isPermanentHeader } from '../../contracts/grpc-wire/header-names.ts';
import { isBinaryName } from '../../contracts/grpc-wire/metadata.ts';
import type { GrpcCall } from '../../contracts/grpc-wire/service.ts';
import { GrpcStatusError } from '../../contracts/grpc-wire/status.ts';
import { CircuitOpenError, PolicyTimeoutError } from '../../contracts/resiliency.ts';
import {
  type InvokeRequest as InvokeMessage,
  InvokeResponseSchema,
  HTTPExtension_Verb as Verb,
} from '../../generated/dapr/proto/common/v1/common_pb.ts';
import { InvokeServiceRequestSchema } from '../../generated/dapr/proto/runtime/v1/invoke_pb.ts';
import { StatusSchema } from '../../generated/google/rpc/status_pb.ts';
import { metadataOfTrace } from '../../grpc-client/trace-metadata.ts';
import { statusOfHttpFailure } from '../status.ts';
import { type Operations, type ServiceDeps, unary } from './method.ts';

const NOTHING = new Uint8Array(0);
/** Names by number. */
const VERBS = Object.entries(Verb).reduce<string[]>((names, [name, verb]) => {
  names[verb] = name;
  return names;
}, []);
const CONTENT_TYPE = 'dapr-content-type';
/** Names that the call itself has taken over, or that would confuse an HTTP callee. */
const NOT_FORWARDED = new Set([
  'content-type',
  'content-length',
  'traceparent',
  'tracestate',
  'baggage',
  'grpc-trace-bin',
]);
const NOT_RETURNED = new Set([
  'traceparent',
  'tracestate',
  'grpc-trace-bin',
  'destination-app-id',
  'dapr-http-status',
]);

/** The invocation. */
export function invokeOperations({ blocks: { invoke } }: ServiceDeps): Operations<'invoke'> {
  return {
    invoke: unary(InvokeServiceRequestSchema, InvokeResponseSchema, async ({ id, message }, call) => {
      const response = await invoke.invoke({ id }, requestOf(message, call), call).catch((error: Error) => {
        // Over gRPC a policy's own verdict is not told as a failed invocation.
        const { cause } = error;
        throw cause instanceof PolicyTimeoutError || cause instanceof CircuitOpenError ? cause : error;
      });
      const bytes = await readBody(response.body);
      call.addHeaders(returnedHeaders(response, call));
      const failure = response.grpc
        ? grpcFailure(response)
        : statusOfHttpFailure(response.status, textOf(bytes));
      if (response.grpc) call.addTrailers(returnedTrailers(response, call));
      if (failure !== undefined) throw failure;
      return {
        data: { typeUrl: response.dataTypeUrl ?? '', value: bytes },
        contentType: response.contentType ?? '',
      };
    }),
  };
}

function requestOf(message: InvokeMessage | undefined, call: GrpcCall): InvokeRequest {
  const dataTypeUrl = message?.data?.typeUrl ?? '';
  const contentType = message?.contentType ?? '';
  const plainMethod = message?.method ?? '';
  return {
    method: escaped(plainMethod),
    plainMethod,
    verb: message?.httpExtension === undefined ? '' : (VERBS[message.httpExtension.verb] ?? 'POST'),
    query: message?.httpExtension?.querystring ?? '',
    headers: forwarded(call.metadata),
    body: bytesBody(message?.data?.value ?? NOTHING),
    ...(contentType === '' ? {} : { contentType }),
    ...(dataTypeUrl === '' ? {} : { dataTypeUrl }),
  };
}

const ESCAPE = /(%[0-9A-Fa-f]{2})/;
const PLAIN_METHOD = /^[A-Za-z0-9\-_~./]*$/;

/** A method arrives as plain text here; the block takes it escaped and without leading slash. */
function escaped(method: string): string {
  const text = method.replace(/^\/+/, '');
  if (PLAIN_METHOD.test(text)) return text;
  // What is escaped already stays as it is: an HTTP app gets the text as a URL.
  const parts = text.split(ESCAPE);
  return parts
    .map((part, at) => (at % 2 === 1 ? part : part.split('/').map(encodeURIComponent).join('/')))
    .join('');
}

function forwarded(metadata: HeaderList): HeaderList {
  return metadata
    .filter(([name]) => !NOT_FORWARDED.has(name))
    .map(([name, value]) => [daprPrefixed(name), value] as const);
}

function returnedHeaders(response: InvokeResponse, call: GrpcCall): HeaderList {
  const headers: (readonly [string, string])[] = [];
  for (const [given, value] of response.headers) {
    const name = given.toLowerCase();
    if (NOT_RETURNED.has(name)) continue;
    const shown = isPermanentHeader(name) && !response.grpc ? `dapr-${name}` : name;
    // A gRPC callee's binary metadata is base64 already; an HTTP header cannot be trusted to be.
    if (isBinaryName(shown) && !response.grpc) continue;
    headers.push([shown, value]);
  }
  if (
    !response.grpc &&
    response.contentType !== undefined &&
    headerValue(headers, CONTENT_TYPE) === undefined
  ) {
    headers.push([CONTENT_TYPE, response.contentType]);
  }
  const traceparent = response.grpc ? undefined : headerValue(response.headers, 'traceparent');
  // The server has put the baggage on the answer already.
  headers.push(
    ...metadataOfTrace(traceparent === undefined ? { ...call.span.context, baggage: '' } : { traceparent }),
  );
  if (!response.grpc) headers.push(['dapr-http-status', String(response.status)]);
  return headers;
}

/** Dapr puts the trace on both ends of a gRPC app's answer. */
function returnedTrailers({ trailers = [] }: InvokeResponse, call: GrpcCall): HeaderList {
  const own = trailers.filter(([name]) => !NOT_RETURNED.has(name.toLowerCase()));
  return [...own, ...metadataOfTrace({ ...call.span.context, baggage: '' })];
}

function grpcFailure(response: InvokeResponse): GrpcStatusError | undefined {
  if (response.status === GrpcCode.OK) return undefined;
  const { status: code, message = '', statusDetails = [] } = response;
  const details = statusDetails.map((bytes) => fromBinary(AnySchema, bytes));
  const encoded =
    details.length === 0
      ? undefined
      : toBinary(StatusSchema, create(StatusSchema, { code, message, details }));
  return new GrpcStatusError(code, message, { details: encoded });
}

function textOf(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8');
}
