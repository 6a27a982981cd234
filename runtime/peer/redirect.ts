/** Which request follows a redirect, by the rules that Go's HTTP client keeps. */

import { EMPTY_BODY } from '../contracts/body.ts';
import { flatHeader } from '../http-client/exchange.ts';
import type { TransportRequest, TransportResponse } from '../http-client/transport.ts';

/** A request with the URL that it goes to. */
export interface Step extends TransportRequest {
  readonly url: URL;
}

/** 307 and 308 ask for the body once more, and in Dapr a body is read once: they are handed out. */
const REDIRECTS = new Set([301, 302, 303]);
const BODY_HEADERS = new Set(['content-type', 'content-encoding', 'content-language', 'content-location']);
/** Not for another host. */
const PRIVATE_HEADERS = new Set([
  'authorization',
  'www-authenticate',
  'cookie',
  'cookie2',
  'proxy-authorization',
  'proxy-authenticate',
]);

/** The next request, or `undefined` when the answer is to be handed out. */
export function nextStep(response: TransportResponse, step: Step): Step | undefined {
  const { status } = response;
  if (!REDIRECTS.has(status)) return undefined;
  const url = locationOf(response, step);
  if (url === undefined) return undefined;
  const path = `${url.pathname}${url.search}`;
  const headers = mayKnow(url.hostname, step.url.hostname)
    ? step.headers
    : without(step.headers, PRIVATE_HEADERS);
  const verb = step.verb === 'HEAD' ? 'HEAD' : 'GET';
  return { url, path, verb, headers: without(headers, BODY_HEADERS), body: EMPTY_BODY };
}

function locationOf(response: TransportResponse, step: Step): URL | undefined {
  const location = flatHeader(response.headers, 'location');
  if (location === undefined || !URL.canParse(location, `${step.url.origin}${step.path}`)) return undefined;
  const url = new URL(location, `${step.url.origin}${step.path}`);
  return url.protocol === 'http:' || url.protocol === 'https:' ? url : undefined;
}

/** Whether a host may see what was meant for `first`: the same host, or one below it. */
function mayKnow(host: string, first: string): boolean {
  return host === first || host.endsWith(`.${first}`);
}

function without(headers: readonly string[], names: ReadonlySet<string>): string[] {
  return headers.filter((_, i) => !names.has((headers[i & ~1] as string).toLowerCase()));
}
