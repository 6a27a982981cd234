/**
 * Which headers of an invocation travel on (HTTP reference, sections 10.2 and 10.4). One pass, shared by the calling
 * side, the app channel and calls to outside hosts.
 */

import type { HeaderList } from '../../contracts/app-channel.ts';
import { HOP_BY_HOP } from '../../contracts/hop-by-hop.ts';

const NOT_DELIVERED = new Set([
  ...HOP_BY_HOP,
  'host',
  'content-type',
  'content-length',
  'dapr-app-id',
  'destination-app-id',
]);
const NOT_ANSWERED = new Set([...HOP_BY_HOP, 'content-type', 'content-length']);

/** Headers that say who calls whom; a caller may not choose them. */
export const CALLER_APP_ID = 'dapr-caller-app-id';
export const CALLER_NAMESPACE = 'dapr-caller-namespace';
export const CALLEE_APP_ID = 'dapr-callee-app-id';

const NOT_SENT_TO_PEER = new Set([
  ...HOP_BY_HOP,
  'host',
  'dapr-app-id',
  'destination-app-id',
  CALLER_APP_ID,
  CALLER_NAMESPACE,
  CALLEE_APP_ID,
]);

/** Names listed in `Connection` headers, lower case; `undefined` when there are none beyond the standard words. */
function namedByConnection(headers: HeaderList): Set<string> | undefined {
  let named: Set<string> | undefined;
  for (const [name, value] of headers) {
    if (name.length !== 10 || name.toLowerCase() !== 'connection') continue;
    for (const token of value.split(',')) {
      const word = token.trim().toLowerCase();
      if (word === '' || word === 'keep-alive' || word === 'close') continue;
      named ??= new Set();
      named.add(word);
    }
  }
  return named;
}

function pick(headers: HeaderList, dropped: ReadonlySet<string>): (readonly [string, string])[] {
  const named = namedByConnection(headers);
  const kept: (readonly [string, string])[] = [];
  for (const header of headers) {
    const lower = header[0].toLowerCase();
    if (dropped.has(lower) || named?.has(lower) === true) continue;
    kept.push(header);
  }
  return kept;
}

/** What the calling sidecar keeps of the caller's headers before it adds its own. */
export function peerRequestHeaders(headers: HeaderList): (readonly [string, string])[] {
  return pick(headers, NOT_SENT_TO_PEER);
}

/** What an HTTP app answered, without the headers that the next hop makes itself. */
export function responseHeaders(headers: HeaderList): (readonly [string, string])[] {
  return pick(headers, NOT_ANSWERED);
}

/**
 * Headers of a request to an HTTP app or outside host. Binary gRPC metadata stay behind and reserved gRPC names get
 * the prefix that Dapr gives them; content type and framing are the transport's.
 */
export function httpRequestHeaders(
  headers: HeaderList,
): (readonly [name: string, value: string, lower: string])[] {
  const named = namedByConnection(headers);
  const kept: (readonly [string, string, string])[] = [];
  let traceparent = false;
  let tracestate = -1;
  for (const [name, value] of headers) {
    const lower = name.toLowerCase();
    if (
      NOT_DELIVERED.has(lower) ||
      lower.endsWith('-bin') ||
      lower.charCodeAt(0) === 0x3a ||
      named?.has(lower) === true
    ) {
      continue;
    }
    if (lower === 'traceparent') traceparent = true;
    else if (lower === 'tracestate') tracestate = kept.length;
    if (lower.startsWith('grpc-')) kept.push([`dapr-${lower}`, value, `dapr-${lower}`]);
    else kept.push([name, value, lower]);
  }
  // State without a trace says nothing.
  return tracestate < 0 || traceparent ? kept : kept.filter(([, , lower]) => lower !== 'tracestate');
}
