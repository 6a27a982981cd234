/**
 * A request to the sidecar beside the relay, and its answer, as one message each: first line, header lines, an empty line, the
 * body. The shape of HTTP/1, so that heads compress together with bodies; bounded and checked on both sides.
 */

import type { RelayedAnswer } from '../contracts/relayed-sidecar.ts';
import { SIDECAR_HTTP_PATH, SIDECAR_SUBSCRIBE_PATH } from './protocol.ts';

export interface SidecarRequest {
  readonly method: string;
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Uint8Array;
}

/** What the head of a message may take on top of the body's limit. */
export const MAX_HEAD_BYTES = 64 * 1024;

/** Largest message of a call on `path`: a body of `limit` bytes has a head before it on its way to the sidecar. */
export function messageLimit(path: string, limit: number): number {
  return path === SIDECAR_HTTP_PATH || path === SIDECAR_SUBSCRIBE_PATH ? limit + MAX_HEAD_BYTES : limit;
}

const MAX_FIELDS = 128;
const LINE = /^([!#$%&'*+.^_`|~0-9a-z-]+): (.*)$/;
const METHOD = /^(?:GET|HEAD|POST|PUT|PATCH|DELETE|OPTIONS)$/;
/** Neither a line's end nor another control character (RFC 9110, section 5.5). */
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
const UNSAFE = /[\0-\x08\x0a-\x1f\x7f]/;
const NOTHING = new Uint8Array(0);

export function encodeRequest(request: Omit<SidecarRequest, 'body'>, body: Uint8Array = NOTHING): Buffer {
  return encode(`${request.method} ${request.path}`, request.headers, body);
}

/** Throws on what is no request. */
export function decodeRequest(message: Uint8Array): SidecarRequest {
  const { first, headers, body } = decode(message);
  const cut = first.indexOf(' ');
  const method = first.slice(0, cut);
  const path = first.slice(cut + 1);
  if (!METHOD.test(method) || !/^\/[\x21-\x7e]*$/.test(path))
    throw new Error('malformed first line of a request');
  return { method, path, headers, body };
}

export function encodeAnswer({ status, headers, body }: RelayedAnswer): Buffer {
  return encode(String(status), headers, body);
}

/** What the link or the relay itself answers, in Dapr's form of an error. */
export function errorAnswer(status: number, errorCode: string, message: string): RelayedAnswer {
  return {
    status,
    headers: { 'content-type': 'application/json' },
    body: Buffer.from(JSON.stringify({ errorCode, message })),
  };
}

/** Throws on what is no answer. */
export function decodeAnswerMessage(message: Uint8Array): RelayedAnswer {
  const { first, headers, body } = decode(message);
  if (!/^[1-5]\d\d$/.test(first)) throw new Error('malformed first line of an answer');
  return { status: Number(first), headers, body };
}

function encode(first: string, headers: Readonly<Record<string, string>>, body: Uint8Array): Buffer {
  let head = first;
  for (const [name, value] of Object.entries(headers)) {
    if (UNSAFE.test(value)) throw new Error(`the header ${name} has a control character`);
    head += `\n${name.toLowerCase()}: ${value}`;
  }
  const bytes = Buffer.from(`${head}\n\n`);
  if (bytes.length > MAX_HEAD_BYTES) throw new Error(`the headers are larger than ${MAX_HEAD_BYTES} bytes`);
  return Buffer.concat([bytes, body]);
}

function decode(message: Uint8Array): {
  readonly first: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Uint8Array;
} {
  const bytes = Buffer.from(message.buffer, message.byteOffset, message.byteLength);
  const end = bytes.subarray(0, MAX_HEAD_BYTES).indexOf('\n\n');
  if (end < 0) throw new Error('a message without the end of its head');
  const [first = '', ...lines] = bytes.toString('utf8', 0, end).split('\n');
  if (lines.length > MAX_FIELDS) throw new Error(`more than ${MAX_FIELDS} headers`);
  const headers: Record<string, string> = Object.create(null) as Record<string, string>;
  for (const line of lines) {
    const [, name, value = ''] = LINE.exec(line) ?? [];
    if (name === undefined || UNSAFE.test(value)) throw new Error('malformed header');
    headers[name] = value;
  }
  return { first, headers, body: bytes.subarray(end + 2) };
}
