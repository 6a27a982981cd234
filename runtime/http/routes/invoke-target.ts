/** Who is called and by which method (Dapr HTTP reference, section 10.1): header, Basic credentials, path, in this order. */

import type { ApiRequest } from '../api-request.ts';
import { decodeBytes, decodeText, escapeBytes } from '../path.ts';

export interface CalledMethod {
  /** App id, name of an HTTPEndpoint, or URL. */
  readonly id: string;
  /** Escaped, without leading slash; slashes and dots as the caller wrote them. */
  readonly method: string;
}

const PREFIX = '/v1.0/invoke/';
/** The prefix as it may look before cleaning. A URL inside the path must keep its `//`, so the raw path is read. */
const LOOSE_PREFIX = /^\/+v1\.0\/+invoke\/+/;
const SEPARATOR = '/method/';
const NEEDS_CARE = /[%\x7f-\xff]/;
const BASIC_USER = 'dapr-app-id';

/** The target of a request, or `undefined` when it names none. */
export function calledMethod(request: ApiRequest): CalledMethod | undefined {
  const id = request.header('dapr-app-id') || basicAppId(request.header('authorization'));
  if (id !== '') return { id: decodeHeader(id), method: escaped(request.rawPath).replace(/^\/+/, '') };
  return fromPath(request.rawPath);
}

/** Header values arrive one character a byte. */
const decodeHeader = (value: string): string =>
  /[\x80-\xff]/.test(value) ? Buffer.from(value, 'latin1').toString('utf8') : value;

/** A path with canonical escapes: decoded once, what must be escaped escaped again. */
const escaped = (path: string): string => (NEEDS_CARE.test(path) ? escapeBytes(decodeBytes(path)) : path);

function basicAppId(authorization: string): string {
  if (!authorization.startsWith('Basic ')) return '';
  const pair = Buffer.from(authorization.slice(6), 'base64').toString('utf8').split(':');
  return pair.length === 2 && pair[0]?.toLowerCase() === BASIC_USER ? (pair[1] ?? '') : '';
}

function fromPath(rawPath: string): CalledMethod | undefined {
  const careful = NEEDS_CARE.test(rawPath);
  const path = careful ? decodeBytes(rawPath) : rawPath;
  const start =
    path.startsWith(PREFIX) && path.charCodeAt(PREFIX.length) !== 0x2f
      ? PREFIX.length
      : (LOOSE_PREFIX.exec(path)?.[0].length ?? -1);
  if (start < 0) return undefined;
  const separator = path.indexOf(SEPARATOR, start);
  if (separator <= start) return undefined;
  const method = path.slice(separator + SEPARATOR.length);
  return { id: decodeText(path.slice(start, separator)), method: careful ? escapeBytes(method) : method };
}
