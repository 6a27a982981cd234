/** Invocations as `InternalInvokeRequest` and back (gRPC reference, section 5). */

import { methodFromWire, wireMethod } from '../building-blocks/invoke/method-path.ts';
import type { Body, InvokeRequest } from '../contracts/app-channel.ts';
import { headerValue } from '../contracts/blocks.ts';
import type { RequestChunk, WireRequest } from './stream-codec.ts';
import { fromWireMap, toWireMap } from './wire-headers.ts';

const VERB_NAMES: readonly string[] = [
  'NONE',
  'GET',
  'HEAD',
  'POST',
  'PUT',
  'DELETE',
  'CONNECT',
  'OPTIONS',
  'TRACE',
  'PATCH',
];
const CONTENT_TYPE = 'content-type';
const GRPC_TYPE = 'application/grpc';
const NOTHING = new Uint8Array(0);
/** `APIVersion.V1`. */
const VERSION_1 = 1;
/** `HTTPExtension.Verb.POST`. */
const POST = 3;
const MAY_HAVE_BODY = new Set([0, POST, 4, 6, 9]);

export interface WireTarget {
  readonly appId: string;
  /** The caller came over HTTP, so its headers are HTTP headers. */
  readonly http: boolean;
}

/** The request without its body. */
export function toWireRequest(
  request: InvokeRequest,
  target: WireTarget,
  data: Uint8Array = NOTHING,
): WireRequest {
  const metadata = toWireMap(request.headers, target.http);
  metadata['destination-app-id'] = { values: [target.appId] };
  // How the far side knows that these are gRPC's names already.
  if (!target.http) metadata[CONTENT_TYPE] = { values: [GRPC_TYPE] };
  const { length } = request.body;
  if (length !== undefined && length > 0 && headerValue(request.headers, 'content-length') === undefined) {
    metadata['Content-Length'] = { values: [String(length)] };
  }
  const verb = VERB_NAMES.indexOf(request.verb);
  return {
    ver: VERSION_1,
    metadata,
    message: {
      method: request.plainMethod ?? wireMethod(request.method),
      contentType: request.contentType ?? '',
      data: { typeUrl: request.dataTypeUrl ?? '', value: data },
      ...(request.verb === ''
        ? {}
        : { httpExtension: { verb: verb < 0 ? POST : verb, querystring: request.query } }),
    },
  };
}

/** First message of a stream: the request, and the first bytes of its body where there are any. */
export function leadingChunk(
  request: InvokeRequest,
  target: WireTarget,
  data: Uint8Array | undefined,
): RequestChunk {
  return {
    request: toWireRequest(request, target),
    payload: data === undefined || data.byteLength === 0 ? undefined : { data, seq: 0 },
  };
}

/** Following message of a stream. */
export function dataChunk(data: Uint8Array, seq: number): RequestChunk {
  return { payload: { data, seq } };
}

/** The invocation that a peer asks for, and who asks. */
export function fromWireRequest(
  request: WireRequest,
  body: Body,
): {
  readonly request: InvokeRequest;
  readonly caller: { readonly appId: string; readonly namespace: string };
} {
  const headers = fromWireMap(request.metadata);
  const { message } = request;
  const dataTypeUrl = message?.data?.typeUrl ?? '';
  const contentType = message?.contentType;
  const fromGrpc = headers.some(([name, value]) => name === CONTENT_TYPE && value.startsWith(GRPC_TYPE));
  return {
    request: {
      method: methodFromWire(message?.method ?? ''),
      ...(fromGrpc ? { plainMethod: message?.method ?? '' } : {}),
      verb: message?.httpExtension === undefined ? '' : (VERB_NAMES[message.httpExtension.verb] ?? 'POST'),
      query: message?.httpExtension?.querystring ?? '',
      headers,
      body,
      ...(contentType === undefined || contentType === '' ? {} : { contentType }),
      ...(dataTypeUrl === '' ? {} : { dataTypeUrl }),
    },
    caller: {
      appId: headerValue(headers, 'dapr-caller-app-id') ?? '',
      namespace: headerValue(headers, 'dapr-caller-namespace') ?? '',
    },
  };
}

/** Whether the verb of a request says that there is hardly a body: GET, HEAD, DELETE, OPTIONS, TRACE. */
export function rarelyHasBody({ message }: WireRequest): boolean {
  return !MAY_HAVE_BODY.has(message?.httpExtension?.verb ?? 0);
}

/** Length of the body that the caller announced; `undefined` when it did not. */
export function announcedLength(request: WireRequest): number | undefined {
  for (const name in request.metadata) {
    if (name.length !== 14 || name.toLowerCase() !== 'content-length') continue;
    const text = request.metadata[name]?.values[0] ?? '';
    return /^\d{1,15}$/.test(text) ? Number(text) : undefined;
  }
  return undefined;
}
