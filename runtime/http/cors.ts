/** Cross-origin requests (Dapr HTTP reference, section 3.3): off without `--allowed-origins`, no credentials. */

import type { ApiRequest } from './api-request.ts';
import type { Reply } from './respond.ts';

const METHODS = new Set(['HEAD', 'GET', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS']);
const VARY = ['Vary', 'Origin'];
const PREFLIGHT_VARY = [
  ...VARY,
  'Vary',
  'Access-Control-Request-Method',
  'Vary',
  'Access-Control-Request-Headers',
];

export interface Cors {
  /** The answer to a preflight request; `undefined` for every other request. */
  preflight(request: ApiRequest): Reply | undefined;
  /** Headers that an actual request adds to its answer. */
  headers(request: ApiRequest): readonly string[];
}

/** Name of a header in canonical form: `content-type` is `Content-Type`. */
const canonical = (name: string): string => name.toLowerCase().replace(/(^|-)[a-z]/g, (c) => c.toUpperCase());

function originTest(origins: readonly string[]): (origin: string) => boolean {
  const exact = new Set<string>();
  const wildcards: (readonly [prefix: string, suffix: string])[] = [];
  for (const entry of origins) {
    const origin = entry.trim().toLowerCase();
    const star = origin.indexOf('*');
    if (star < 0) exact.add(origin);
    else wildcards.push([origin.slice(0, star), origin.slice(star + 1)]);
  }
  return (given) => {
    const origin = given.toLowerCase();
    return (
      exact.has(origin) ||
      wildcards.some(
        ([prefix, suffix]) =>
          origin.length >= prefix.length + suffix.length &&
          origin.startsWith(prefix) &&
          origin.endsWith(suffix),
      )
    );
  };
}

/** Makes the rules of `--allowed-origins`; `undefined` when the flag is empty. */
export function createCors(allowedOrigins: string): Cors | undefined {
  if (allowedOrigins === '') return undefined;
  const all = allowedOrigins === '*';
  const isAllowed = all ? () => true : originTest(allowedOrigins.split(','));
  const allowOrigin = (origin: string): readonly string[] => [
    'Access-Control-Allow-Origin',
    all ? '*' : origin,
  ];
  return {
    preflight: (request) => {
      if (request.method !== 'OPTIONS') return undefined;
      const method = request.header('access-control-request-method').toUpperCase();
      if (method === '') return undefined;
      const origin = request.header('origin');
      if (origin === '' || !isAllowed(origin) || !METHODS.has(method))
        return { status: 200, headers: PREFLIGHT_VARY };
      const wanted = request
        .header('access-control-request-headers')
        .split(',')
        .map((name) => name.trim())
        .filter((name) => name !== '');
      return {
        status: 200,
        headers: [
          ...PREFLIGHT_VARY,
          ...allowOrigin(origin),
          'Access-Control-Allow-Methods',
          method,
          ...(wanted.length === 0 ? [] : ['Access-Control-Allow-Headers', wanted.map(canonical).join(', ')]),
        ],
      };
    },
    headers: (request) => {
      const origin = request.header('origin');
      return origin !== '' && isAllowed(origin) && METHODS.has(request.method)
        ? [...VARY, ...allowOrigin(origin)]
        : VARY;
    },
  };
}
