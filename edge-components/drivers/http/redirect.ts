/** Where a redirect leads: the next request, as Go's HTTP client would send it (RFC 9110, section 15.4). */

import type { HttpAnswer, HttpCall } from './request.ts';

const REDIRECTS = new Set([301, 302, 303, 307, 308]);
/** Headers that go with a body. */
const BODY_HEADERS: readonly string[] = ['content-type', 'content-length', 'content-encoding'];
/** Headers that belong to the origin they were made for. */
const ORIGIN_HEADERS: readonly string[] = ['authorization', 'cookie', 'cookie2', 'proxy-authorization'];

/** Where a redirecting answer points, or `undefined` when it is an answer like any other. */
function targetOf(call: HttpCall, answer: HttpAnswer): URL | undefined {
  if (!REDIRECTS.has(answer.status)) return undefined;
  const { location } = answer.headers;
  if (location === undefined || !URL.canParse(location, call.url)) return undefined;
  const target = new URL(location, call.url);
  return target.protocol === 'http:' || target.protocol === 'https:' ? target : undefined;
}

/** The request that `answer` asks for, or `undefined` when it is an answer like any other. */
export function followRedirect(call: HttpCall, answer: HttpAnswer): HttpCall | undefined {
  const target = targetOf(call, answer);
  if (target === undefined) return undefined;
  const keepsMethod = answer.status === 307 || answer.status === 308;
  const dropped = new Set<string>(keepsMethod ? [] : BODY_HEADERS);
  if (target.origin !== new URL(call.url).origin) {
    for (const name of [...ORIGIN_HEADERS, ...(call.secretHeaders ?? [])]) dropped.add(name);
  }
  const { body, ...rest } = call;
  return {
    ...rest,
    url: target.href,
    method: keepsMethod || call.method === 'HEAD' ? call.method : 'GET',
    headers: Object.fromEntries(
      Object.entries(call.headers).filter(([name]) => !dropped.has(name.toLowerCase())),
    ),
    ...(keepsMethod && body !== undefined ? { body } : {}),
  };
}
