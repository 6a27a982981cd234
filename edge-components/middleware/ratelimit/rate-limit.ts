/** 429 for remote addresses that ask too often (components reference, section 9), with the headers that Dapr sends. */

import { isIPv6 } from 'node:net';
import type { Clock } from '../../../runtime/contracts/clock.ts';
import type { HttpMiddleware, PipelineRequest } from '../../../runtime/contracts/http-middleware.ts';
import { textResponse } from '../../drivers/http/text-response.ts';
import { createTokenBuckets } from './token-buckets.ts';

export function createRateLimit(perSecond: number, clock: Clock): HttpMiddleware {
  const buckets = createTokenBuckets(perSecond, clock);
  return {
    init: async () => {},
    close: async () => {},
    handle: async (request, next) => {
      const { taken, left } = buckets.take(addressOf(request));
      const headers = limitHeaders(perSecond, left, request);
      if (!taken) return textResponse(429, 'You have reached maximum request limit.', headers);
      const answer = await next(request);
      return { ...answer, headers: { ...headers, ...answer.headers } };
    },
  };
}

function limitHeaders(
  perSecond: number,
  left: number,
  request: PipelineRequest,
): Readonly<Record<string, string>> {
  const forwarded = header(request, 'x-forwarded-for');
  return {
    'x-rate-limit-limit': perSecond.toFixed(2),
    'x-rate-limit-duration': '1',
    ...(forwarded.trim() === '' ? {} : { 'x-rate-limit-request-forwarded-for': forwarded }),
    'x-rate-limit-request-remote-addr': request.remoteAddress,
    'ratelimit-limit': String(Math.round(perSecond)),
    'ratelimit-reset': '1',
    'ratelimit-remaining': String(left),
  };
}

function header(request: PipelineRequest, name: string): string {
  const value = request.headers[name];
  return typeof value === 'string' ? value : (value?.[0] ?? '');
}

/** What a proxy in front says, else the peer of the connection. An IPv6 customer has a /64: that is the key. */
function addressOf(request: PipelineRequest): string {
  const forwarded = header(request, 'x-forwarded-for').split(',').at(-1)?.trim() ?? '';
  const given = forwarded === '' ? header(request, 'x-real-ip').trim() : forwarded;
  const address = given === '' ? withoutPort(request.remoteAddress) : given;
  return isIPv6(address) ? network64(address) : address;
}

function withoutPort(address: string): string {
  const bracketed = /^\[([^\]]*)\](?::\d+)?$/.exec(address);
  if (bracketed !== null) return bracketed[1] ?? '';
  return /^[^:]*:\d+$/.test(address) ? address.slice(0, address.lastIndexOf(':')) : address;
}

/** The first four groups of an IPv6 address. */
function network64(address: string): string {
  const plain = (address.split('%')[0] ?? '').replace(/\d+\.\d+\.\d+\.\d+$/, '0:0');
  const [head = '', tail] = plain.split('::');
  const first = head === '' ? [] : head.split(':');
  const last = tail === undefined || tail === '' ? [] : tail.split(':');
  const zeros =
    tail === undefined ? [] : new Array<string>(Math.max(0, 8 - first.length - last.length)).fill('0');
  const groups = [...first, ...zeros, ...last].map((group) => Number.parseInt(group, 16).toString(16));
  return `${groups.slice(0, 4).join(':')}::/64`;
}
