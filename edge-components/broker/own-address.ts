/** Which URLs mean this very broker, so that local components reach it without a socket. */

import type { Listener } from './listeners.ts';
import { type BrokerOptions, isLoopback, type ListenerKind, type ListenOptions } from './options.ts';

const KIND: Readonly<Record<string, ListenerKind>> = {
  'mqtt:': 'tcp',
  'tcp:': 'tcp',
  'mqtts:': 'tls',
  'tcps:': 'tls',
  'tls:': 'tls',
  'ssl:': 'tls',
  'ws:': 'ws',
  'wss:': 'wss',
};
const DEFAULT_PORT: Readonly<Record<ListenerKind, number>> = { tcp: 1883, tls: 8883, ws: 80, wss: 443 };
const ANY_HOST = new Set(['0.0.0.0', '::', '']);

/** True for `embedded:` and for the address of one of the broker's listeners, open or still to be opened. */
export function ownsUrl(url: string, options: BrokerOptions, open: readonly Listener[] | undefined): boolean {
  if (/^embedded:/i.test(url)) return true;
  if (!URL.canParse(url)) return false;
  const { protocol, hostname, port } = new URL(url);
  const kind = KIND[protocol];
  if (kind === undefined) return false;
  const listener: ListenOptions | undefined = open?.find((one) => one.kind === kind) ?? options[kind];
  const wanted = port === '' ? DEFAULT_PORT[kind] : Number(port);
  return listener !== undefined && wanted === listener.port && sameHost(hostname, listener.host);
}

function sameHost(hostname: string, listening: string): boolean {
  const host = hostname.replace(/^\[|\]$/g, '');
  return host === listening || (isLoopback(host) && (isLoopback(listening) || ANY_HOST.has(listening)));
}
