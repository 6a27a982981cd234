/**
 * Requests of nodes as the sidecar beside the relay gets them: with its token and the true names of node and app, without what
 * only goes from hop to hop, and without anything that a node might say of itself in their place.
 */

import { bytesBody, readBody } from '../contracts/body.ts';
import type { Clock } from '../contracts/clock.ts';
import { createHttp1Transport } from '../http-client/http1-transport.ts';
import { type HttpTransport, headerText } from '../http-client/transport.ts';
import type { AskSidecar } from './sidecar-door.ts';

export const NODE_HEADER = 'skerry-node';
export const APP_HEADER = 'skerry-app-id';

/** Of a request, besides those of an invocation. */
const PASSED = new Set([
  'accept',
  'baggage',
  'content-type',
  'if-match',
  'skerry-message-id',
  'traceparent',
  'tracestate',
]);
const HOPS = new Set([
  'connection',
  'content-length',
  'date',
  'expect',
  'host',
  'keep-alive',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
]);
const OWN = /^(?:dapr-|skerry-|proxy-)/;
/** Of an answer: nobody needs them behind the link. */
const UNNEEDED = /^(?:proxy-|traceparent$|tracestate$|baggage$|grpc-trace-bin$|server$)/;
const NAME = /^[!#$%&'*+.^_`|~0-9a-z-]+$/;
const DIAL_LIMIT_MS = 5000;

export interface SidecarHttpOptions {
  readonly url: string;
  readonly token: () => string;
  readonly maxAnswerBytes: number;
  readonly clock: Clock;
}

export function createSidecarHttp(options: SidecarHttpOptions): { readonly ask: AskSidecar; close(): void } {
  const { protocol, hostname, port, pathname } = new URL(options.url);
  const secure = protocol === 'https:';
  const transport: HttpTransport = createHttp1Transport({
    host: hostname.replace(/^\[|\]$/g, ''),
    port: Number(port === '' ? (secure ? 443 : 80) : port),
    ...(secure ? { tls: { verify: true } } : {}),
    dialLimit: { ms: DIAL_LIMIT_MS, clock: options.clock },
    clock: options.clock,
  });
  const base = pathname.replace(/\/+$/, '');
  return {
    close: () => transport.close(),
    ask: async ({ method, headers, body }, { operation, path }, { node, appId }, signal) => {
      const flat: string[] = [];
      for (const [name, value] of Object.entries(headers)) {
        const passes = operation === 'invoke' ? !HOPS.has(name) && !OWN.test(name) : false;
        if (passes || PASSED.has(name)) flat.push(name, headerText(value));
      }
      flat.push(NODE_HEADER, node, APP_HEADER, headerText(appId));
      const token = options.token();
      if (token !== '') flat.push('dapr-api-token', token);
      const answer = await transport.send(
        { verb: method, path: `${base}${path}`, headers: flat, body: bytesBody(body) },
        signal,
      );
      return {
        status: answer.status,
        headers: passedBack(answer.headers),
        body: await readBody(answer.body, options.maxAnswerBytes),
      };
    },
  };
}

function passedBack(flat: readonly string[]): Readonly<Record<string, string>> {
  const headers: Record<string, string> = {};
  for (let at = 0; at + 1 < flat.length; at += 2) {
    const name = (flat[at] as string).toLowerCase();
    if (HOPS.has(name) || UNNEEDED.test(name) || !NAME.test(name)) continue;
    const value = flat[at + 1] as string;
    headers[name] = headers[name] === undefined ? value : `${headers[name]}, ${value}`;
  }
  return headers;
}
