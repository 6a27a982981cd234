/** Small operations on flat header lists and on the encoding that a client asked for by itself. */

import { pipeline } from 'node:stream';
import { createGunzip } from 'node:zlib';
import type { HeaderList } from '../contracts/app-channel.ts';
import { streamBody } from '../contracts/body.ts';
import { flatHeader } from './exchange.ts';
import type { TransportResponse } from './transport.ts';

/** A flat list as pairs. */
export function pairs(flat: readonly string[]): HeaderList {
  const list: [string, string][] = [];
  for (let i = 0; i + 1 < flat.length; i += 2) list.push([flat[i] as string, flat[i + 1] as string]);
  return list;
}

/** Whether a client may ask for gzip on its own account, as Go's does: no encoding or range asked for, and not HEAD. */
export function mayAskForGzip(verb: string, headers: readonly string[]): boolean {
  return (
    verb !== 'HEAD' &&
    flatHeader(headers, 'accept-encoding') === undefined &&
    flatHeader(headers, 'range') === undefined
  );
}

/** Undoes `Content-Encoding: gzip` of an answer whose encoding the client itself had asked for. */
export function gunzipResponse(response: TransportResponse): TransportResponse {
  if (
    flatHeader(response.headers, 'content-encoding')?.toLowerCase() !== 'gzip' ||
    response.body.length === 0
  )
    return response;
  const headers: string[] = [];
  for (let i = 0; i + 1 < response.headers.length; i += 2) {
    const name = response.headers[i] as string;
    if (/^content-(encoding|length)$/i.test(name)) continue;
    headers.push(name, response.headers[i + 1] as string);
  }
  const unzip = createGunzip();
  // An error of either side ends the other; the reader of `unzip` sees it.
  pipeline(response.body.stream(), unzip, () => {});
  return { status: response.status, headers, body: streamBody(unzip) };
}
