/**
 * `appHttpPipeline`: middleware around every request to an HTTP app. Without middleware a request goes straight to the
 * transport; with it, request and response take the shape that middleware knows and come back.
 */

import { EMPTY_BODY, streamBody } from '../contracts/body.ts';
import type {
  HttpMiddleware,
  PipelineNext,
  PipelineRequest,
  PipelineResponse,
} from '../contracts/http-middleware.ts';
import type { HttpTransport, TransportRequest, TransportResponse } from '../http-client/transport.ts';

type Fields = Readonly<Record<string, string | readonly string[]>>;

/** `transport` behind the handlers of the moment, outermost first; their framing headers are ignored. */
export function behindPipeline(
  transport: HttpTransport,
  current: () => readonly HttpMiddleware[],
  remoteAddress: string,
): HttpTransport {
  return {
    async send(request, signal, settled) {
      const handlers = current();
      if (handlers.length === 0) return transport.send(request, signal, settled);
      let reached = false;
      const last: PipelineNext = async (changed) => {
        reached = true;
        return toPipelineResponse(await transport.send(toTransportRequest(changed), signal, settled));
      };
      const run = handlers.reduceRight<PipelineNext>(
        (next, handler) => (step) => handler.handle(step, next),
        last,
      );
      try {
        return toTransportResponse(await run(toPipelineRequest(request, remoteAddress)));
      } finally {
        if (!reached) settled?.();
      }
    },
    close: () => transport.close(),
  };
}

function toPipelineRequest(request: TransportRequest, remoteAddress: string): PipelineRequest {
  const mark = request.path.indexOf('?');
  return {
    method: request.verb,
    path: mark < 0 ? request.path : request.path.slice(0, mark),
    query: mark < 0 ? '' : request.path.slice(mark + 1),
    headers: toFields(request.headers),
    remoteAddress,
    body: request.body.stream(),
  };
}

const BODILESS = new Set(['GET', 'HEAD', 'DELETE', 'OPTIONS', 'TRACE']);

function toTransportRequest(request: PipelineRequest): TransportRequest {
  const length = single(request.headers['content-length']);
  const empty =
    length === undefined &&
    BODILESS.has(request.method) &&
    single(request.headers['transfer-encoding']) === undefined;
  return {
    verb: request.method,
    path: request.query === '' ? request.path : `${request.path}?${request.query}`,
    headers: toFlat(request.headers),
    // A step may have changed the body, so its old length says nothing any more.
    body: empty ? EMPTY_BODY : streamBody(request.body),
  };
}

function toPipelineResponse(response: TransportResponse): PipelineResponse {
  return { status: response.status, headers: toFields(response.headers), body: response.body.stream() };
}

function toTransportResponse(response: PipelineResponse): TransportResponse {
  return { status: response.status, headers: toFlat(response.headers), body: streamBody(response.body) };
}

function toFields(flat: readonly string[]): Fields {
  const fields: Record<string, string | string[]> = Object.create(null);
  for (let i = 0; i + 1 < flat.length; i += 2) {
    const name = (flat[i] as string).toLowerCase();
    const value = flat[i + 1] as string;
    const earlier = fields[name];
    fields[name] = earlier === undefined ? value : [...(Array.isArray(earlier) ? earlier : [earlier]), value];
  }
  return fields;
}

function toFlat(fields: Fields): string[] {
  const flat: string[] = [];
  for (const [name, value] of Object.entries(fields)) {
    if (name === 'content-length' || name === 'transfer-encoding' || name === 'host') continue;
    for (const one of typeof value === 'string' ? [value] : value) flat.push(name, one);
  }
  return flat;
}

function single(value: string | readonly string[] | undefined): string | undefined {
  return typeof value === 'string' ? value : value?.[0];
}
