/** Bodies that must be sent or handed out more than once. */

import type { Body, InvokeRequest, InvokeResponse } from '../../contracts/app-channel.ts';
import { bytesBody, readBody } from '../../contracts/body.ts';

async function read(body: Body): Promise<Body> {
  return bytesBody(await readBody(body));
}

/** The response with its body complete in memory. */
export async function wholeBody(response: InvokeResponse): Promise<InvokeResponse> {
  return response.body.bytes === undefined ? { ...response, body: await read(response.body) } : response;
}

/** Ends a body that nobody wants to read. */
export async function dropBody({ body }: InvokeResponse): Promise<void> {
  if (body.bytes !== undefined) return;
  try {
    for await (const _chunk of body.stream()) break;
  } catch {
    // It ended in another way.
  }
}

/**
 * A request that can be repeated, when its length is known; one of unknown length is streamed and stays as it is (HTTP
 * reference, section 10.5).
 */
export async function replayableRequest(request: InvokeRequest): Promise<InvokeRequest> {
  if (request.body.bytes !== undefined || request.body.length === undefined) return request;
  return { ...request, body: await read(request.body) };
}

/** The request with its body complete in memory. */
export async function wholeRequest(request: InvokeRequest): Promise<InvokeRequest> {
  return request.body.bytes === undefined ? { ...request, body: await read(request.body) } : request;
}

const always = (): boolean => true;

/** The request, and whether it could be sent again: its body is whole, or nobody has begun to read it. */
export function watchBody(request: InvokeRequest): { readonly request: InvokeRequest; untouched(): boolean } {
  const { body } = request;
  if (body.bytes !== undefined) return { request, untouched: always };
  let begun = false;
  const watched: Body = {
    ...(body.length === undefined ? {} : { length: body.length }),
    stream: () => {
      begun = true;
      return body.stream();
    },
  };
  return { request: { ...request, body: watched }, untouched: () => !begun };
}
