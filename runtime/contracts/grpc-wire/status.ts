/**
 * The outcome of a gRPC call as it travels in trailers: `grpc-status`, percent-encoded `grpc-message`, and
 * `grpc-status-details-bin` (an encoded google.rpc.Status, kept as bytes here).
 */

import type { HeaderList } from '../app-channel.ts';
import { GrpcCode } from '../grpc-code.ts';
import { decodeBinaryValue, encodeBinaryValue } from './metadata.ts';

export interface GrpcStatus {
  readonly code: number;
  readonly message: string;
  /** Encoded google.rpc.Status. */
  readonly details?: Uint8Array | undefined;
}

/** A call that ended with another code than OK; both sides of the transport throw and accept it. */
export class GrpcStatusError extends Error {
  override readonly name = 'GrpcStatusError';
  readonly code: number;
  /** Encoded google.rpc.Status, as received or to be sent. */
  readonly details: Uint8Array | undefined;
  /** Trailing metadata that came with the status. */
  readonly trailers: HeaderList;
  /** Header metadata that came before it. */
  readonly headers: HeaderList;
  constructor(
    code: number,
    message: string,
    options: {
      details?: Uint8Array | undefined;
      trailers?: HeaderList;
      headers?: HeaderList;
      cause?: unknown;
    } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.details = options.details;
    this.trailers = options.trailers ?? [];
    this.headers = options.headers ?? [];
  }
}

/** Percent-encodes the UTF-8 bytes outside printable ASCII, and `%` itself. */
export function encodeGrpcMessage(text: string): string {
  let plain = true;
  for (let at = 0; at < text.length && plain; at += 1) {
    const unit = text.charCodeAt(at);
    plain = unit >= 0x20 && unit <= 0x7e && unit !== 0x25;
  }
  if (plain) return text;
  let encoded = '';
  for (const byte of Buffer.from(text, 'utf8')) {
    encoded +=
      byte >= 0x20 && byte <= 0x7e && byte !== 0x25
        ? String.fromCharCode(byte)
        : `%${byte.toString(16).toUpperCase().padStart(2, '0')}`;
  }
  return encoded;
}

const HEX_PAIR = /^[0-9a-fA-F]{2}$/;

/** The reverse; a broken escape stays as it is, as the protocol asks. */
export function decodeGrpcMessage(text: string): string {
  if (!text.includes('%')) return text;
  const bytes: number[] = [];
  for (let at = 0; at < text.length; at += 1) {
    const hex = text.slice(at + 1, at + 3);
    if (text.charCodeAt(at) === 0x25 && HEX_PAIR.test(hex)) {
      bytes.push(Number.parseInt(hex, 16));
      at += 2;
    } else {
      bytes.push(...Buffer.from(text[at] as string, 'utf8'));
    }
  }
  return Buffer.from(bytes).toString('utf8');
}

/** HTTP/2 stacks refuse a header block beyond 64 KiB, and the whole answer would be lost with it. */
const MAX_MESSAGE_CHARACTERS = 16 * 1024;
const MAX_DETAILS_BYTES = 24 * 1024;

/** `grpc-message` of a text; one that is too long ends early. */
function carriedMessage(message: string): string {
  let rest = message;
  let encoded = encodeGrpcMessage(rest);
  while (encoded.length > MAX_MESSAGE_CHARACTERS) {
    const share = Math.min(0.9, MAX_MESSAGE_CHARACTERS / encoded.length);
    rest = `${rest.slice(0, Math.floor(rest.length * share) - 3).toWellFormed()}...`;
    encoded = encodeGrpcMessage(rest);
  }
  return encoded;
}

/** Trailer fields of a status. */
export function trailersOfStatus(status: GrpcStatus): Record<string, string | string[]> {
  const trailers: Record<string, string | string[]> = { 'grpc-status': String(status.code) };
  if (status.message !== '') trailers['grpc-message'] = carriedMessage(status.message);
  const size = status.details?.byteLength ?? 0;
  if (status.details !== undefined && size > 0 && size <= MAX_DETAILS_BYTES) {
    trailers['grpc-status-details-bin'] = encodeBinaryValue(status.details);
  }
  return trailers;
}

/** Status in a received header block, or `undefined` when it has none. */
export function statusOfTrailers(
  fields: Readonly<Record<string, string | string[] | number | undefined>>,
): GrpcStatus | undefined {
  const code = single(fields['grpc-status']);
  if (code === undefined) return undefined;
  const parsed = /^\d{1,9}$/.test(code) ? Number(code) : GrpcCode.Unknown;
  const details = single(fields['grpc-status-details-bin']);
  return {
    code: parsed,
    message: decodeGrpcMessage(single(fields['grpc-message']) ?? ''),
    ...(details === undefined ? {} : { details: decodeBinaryValue(details) }),
  };
}

function single(value: string | string[] | number | undefined): string | undefined {
  const first = Array.isArray(value) ? value[0] : value;
  return first === undefined ? undefined : String(first);
}

const CODE_OF_HTTP: Readonly<Record<number, number>> = {
  400: GrpcCode.Internal,
  401: GrpcCode.Unauthenticated,
  403: GrpcCode.PermissionDenied,
  404: GrpcCode.Unimplemented,
  429: GrpcCode.Unavailable,
  502: GrpcCode.Unavailable,
  503: GrpcCode.Unavailable,
  504: GrpcCode.Unavailable,
};

/** What an answer without `grpc-status` means, by its HTTP status (gRPC: HTTP to gRPC status code mapping). */
export function codeOfHttpStatus(status: number): number {
  return CODE_OF_HTTP[status] ?? GrpcCode.Unknown;
}

const CODE_OF_RESET: Readonly<Record<number, number>> = {
  7: GrpcCode.Unavailable,
  8: GrpcCode.Canceled,
  11: GrpcCode.ResourceExhausted,
  12: GrpcCode.PermissionDenied,
};

/** What an HTTP/2 reset code means for the call (gRPC over HTTP/2, Errors). */
export function codeOfReset(errorCode: number): number {
  return CODE_OF_RESET[errorCode] ?? GrpcCode.Internal;
}
