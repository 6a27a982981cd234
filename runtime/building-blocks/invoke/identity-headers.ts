/**
 * Headers that a calling sidecar adds (HTTP reference, section 10.2): where the call comes from and who calls whom.
 * Forwarding headers go behind the caller's own; identity headers replace them, so that nobody can pose as another app.
 */

import { isIPv6 } from 'node:net';
import type { HeaderList } from '../../contracts/app-channel.ts';
import type { SpiffeId } from '../../contracts/spiffe.ts';
import { CALLEE_APP_ID, CALLER_APP_ID, CALLER_NAMESPACE, peerRequestHeaders } from './forward-headers.ts';

export interface CallerIdentity {
  readonly appId: string;
  readonly namespace: string;
  /** Empty when unknown. */
  readonly hostAddress: string;
  readonly hostName: string;
}

/** Makes the function that turns a caller's headers into those of the call to `calleeAppId`. */
export function createPeerHeaders(
  caller: CallerIdentity,
): (headers: HeaderList, calleeAppId: string) => HeaderList {
  const always: (readonly [string, string])[] = [];
  const { hostAddress, hostName } = caller;
  const shown = isIPv6(hostAddress) ? `"[${hostAddress}]"` : hostAddress;
  const forwarded: string[] = [];
  if (hostAddress !== '') {
    always.push(['X-Forwarded-For', hostAddress]);
    forwarded.push(`for=${shown};by=${shown}`);
  }
  if (hostName !== '') {
    always.push(['X-Forwarded-Host', hostName]);
    forwarded.push(`host=${hostName}`);
  }
  always.push(['Forwarded', forwarded.join(';')]);
  always.push([CALLER_APP_ID, caller.appId], [CALLER_NAMESPACE, caller.namespace]);
  return (headers, calleeAppId) => {
    const sent = peerRequestHeaders(headers);
    for (const header of always) sent.push(header);
    sent.push([CALLEE_APP_ID, calleeAppId]);
    return sent;
  };
}

/** The headers of a received call with the caller that its certificate names, whatever the request says. */
export function withCaller(headers: HeaderList, { workload }: SpiffeId): (readonly [string, string])[] {
  const stamped: (readonly [string, string])[] = [];
  for (const header of headers) {
    const lower = header[0].toLowerCase();
    if (lower !== CALLER_APP_ID && lower !== CALLER_NAMESPACE) stamped.push(header);
  }
  if (workload !== undefined)
    stamped.push([CALLER_APP_ID, workload.appId], [CALLER_NAMESPACE, workload.namespace]);
  return stamped;
}
