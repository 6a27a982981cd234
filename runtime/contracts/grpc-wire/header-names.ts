/** Names of HTTP headers and gRPC metadata that must not meet the transport's own: they travel behind `dapr-`. */

const PERMANENT = new Set([
  'accept',
  'accept-charset',
  'accept-language',
  'accept-ranges',
  'connection',
  'keep-alive',
  'proxy-connection',
  'transfer-encoding',
  'upgrade',
  'cache-control',
  'content-type',
  'content-length',
  'cookie',
  'date',
  'expect',
  'from',
  'host',
  'if-match',
  'if-modified-since',
  'if-none-match',
  'if-schedule-tag-match',
  'if-unmodified-since',
  'max-forwards',
  'origin',
  'pragma',
  'referer',
  'via',
  'warning',
]);

/** Whether a header has a meaning of its own in HTTP (gRPC reference, section 5.2). */
export function isPermanentHeader(name: string): boolean {
  return PERMANENT.has(name);
}

/** Metadata name as others see it: pseudo headers and `grpc-…` get the prefix `dapr-`. */
export function daprPrefixed(name: string): string {
  if (name.startsWith(':')) return `dapr-${name.slice(1)}`;
  return name.startsWith('grpc-') ? `dapr-${name}` : name;
}
