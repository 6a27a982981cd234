/** Addresses of gRPC servers as people write them. */

import type { ConnectionOptions } from 'node:tls';
import type { GrpcClientOptions } from './client.ts';

/** `host:port`, or `https://host:port` for TLS; `http://`, `dns:` and a slash at the end are taken off. */
export function parseGrpcAddress(
  text: string,
  tls: ConnectionOptions = {},
): Pick<GrpcClientOptions, 'target' | 'tls'> {
  const target = text.replace(/^(?:https?:\/\/|dns:(?:\/\/\/)?)/i, '').replace(/\/+$/, '');
  return /^https:\/\//i.test(text) ? { target, tls: { ...tls, minVersion: 'TLSv1.2' } } : { target };
}
