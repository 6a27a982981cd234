/**
 * What a handler answers: a plain value, written to the socket in one place (`send.ts`), so that middleware and tests
 * can look at it. Header lists are flat (`name, value, name, value`), the form that node:http writes fastest.
 */

import type { StringMap } from '../contracts/blocks.ts';

export interface Reply {
  readonly status: number;
  /** Flat list of names and values; names may repeat. */
  readonly headers: readonly string[];
  /** Whole bodies get a `Content-Length`; streams are sent chunk by chunk. */
  readonly body?: string | Uint8Array | AsyncIterable<Uint8Array>;
  /** Length of a streamed body when it is known beforehand. */
  readonly length?: number;
  /** Sends the head of a stream before its first chunk (event streams). */
  readonly eager?: boolean;
  /** Runs once the exchange is over: the answer is sent, or the client is gone. */
  readonly afterSent?: () => void;
}

export const JSON_TYPE = 'application/json';
const JSON_HEADERS: readonly string[] = ['Content-Type', JSON_TYPE];
const PLAIN_HEADERS: readonly string[] = [
  'Content-Type',
  'text/plain; charset=utf-8',
  'X-Content-Type-Options',
  'nosniff',
];

/** 204: empty body, no content type. */
export const NO_CONTENT: Reply = { status: 204, headers: [] };

/** A JSON text (or bytes that are sent as JSON whatever they are). */
export function jsonReply(status: number, body: string | Uint8Array): Reply {
  return { status, headers: JSON_HEADERS, body };
}

/** Plain text in the form of Go's `http.Error`. */
export function plainReply(status: number, text: string): Reply {
  return { status, headers: PLAIN_HEADERS, body: `${text}\n` };
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: these are what must not reach the wire
const CONTROL = /[\x00-\x08\x0a-\x1f\x7f]/g;
const SAFE_BYTES = /^[\t\x20-\x7e\x80-\xff]*$/;
const SAFE_TEXT = /^[\t\x20-\x7e]*$/;
const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;

/** A header value received one character a byte, safe to send on. */
export function headerBytes(value: string): string {
  return SAFE_BYTES.test(value) ? value : headerText(value);
}

/** A text as HTTP/1 can carry it: its UTF-8 bytes one character each, control characters as spaces. */
export function headerText(value: string): string {
  if (SAFE_TEXT.test(value)) return value;
  return Buffer.from(value, 'utf8').toString('latin1').replace(CONTROL, ' ');
}

/** Response metadata as `metadata.<name>` headers; names that are no header names are left out. */
export function metadataHeaders(metadata: StringMap | undefined): string[] {
  const headers: string[] = [];
  if (metadata === undefined) return headers;
  for (const name of Object.keys(metadata)) {
    if (TOKEN.test(name)) headers.push(`metadata.${name}`, headerText(metadata[name] ?? ''));
  }
  return headers;
}

/** Whether a flat header list has `lowerName`. */
export function hasHeader(headers: readonly string[], lowerName: string): boolean {
  for (let i = 0; i < headers.length; i += 2) {
    const name = headers[i] as string;
    if (name.length === lowerName.length && name.toLowerCase() === lowerName) return true;
  }
  return false;
}
