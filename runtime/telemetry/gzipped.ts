/** Compression of a batch (`OTEL_EXPORTER_OTLP_COMPRESSION`); zlib is loaded by the first one. */

import { promisify } from 'node:util';

export async function gzipped(body: Uint8Array): Promise<Uint8Array> {
  const zlib = await import('node:zlib');
  return promisify(zlib.gzip)(body);
}
