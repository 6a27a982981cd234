/**
 * The answer of a relay on a stream that waited for a call: kind byte, then a head, an app's message, or the end. One gRPC
 * frame each, so that bytes are cut and held back as everywhere else.
 */

import type { AnswerEnd, AnswerHead } from './protocol.ts';
import { DATA, END, HEAD } from './protocol.ts';

export type AnswerFrame =
  | { readonly kind: typeof HEAD; readonly head: AnswerHead }
  | { readonly kind: typeof DATA; readonly message: Uint8Array }
  | { readonly kind: typeof END; readonly end: AnswerEnd };

export function encodeHead(head: AnswerHead): Uint8Array {
  return withKind(HEAD, Buffer.from(JSON.stringify(head)));
}

export function encodeData(message: Uint8Array): Uint8Array {
  return withKind(DATA, message);
}

/** Without a word: all went well. */
export function encodeEnd(end?: AnswerEnd): Uint8Array {
  return withKind(END, end === undefined ? Buffer.alloc(0) : Buffer.from(JSON.stringify(end)));
}

const WELL: AnswerEnd = { code: 0, message: '', trailers: [] };

/** Throws on what is no frame. */
export function decodeAnswer(bytes: Uint8Array): AnswerFrame {
  const rest = bytes.subarray(1);
  switch (bytes[0]) {
    case DATA:
      return { kind: DATA, message: rest };
    case HEAD:
      return { kind: HEAD, head: JSON.parse(Buffer.from(rest).toString()) as AnswerHead };
    case END:
      return {
        kind: END,
        end: rest.byteLength === 0 ? WELL : (JSON.parse(Buffer.from(rest).toString()) as AnswerEnd),
      };
    default:
      throw new Error(`unknown kind of answer: ${bytes[0]}`);
  }
}

function withKind(kind: number, bytes: Uint8Array): Uint8Array {
  const framed = new Uint8Array(bytes.byteLength + 1);
  framed[0] = kind;
  framed.set(bytes, 1);
  return framed;
}
