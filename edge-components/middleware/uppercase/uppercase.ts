/** Upper-cases the text of bodies, character by character, as Go's `unicode.ToUpper` does. */

import type { HttpMiddleware } from '../../../runtime/contracts/http-middleware.ts';

export type Direction = 'request' | 'response' | 'both';

export function createUppercase(direction: Direction): HttpMiddleware {
  const request = direction !== 'response';
  const response = direction !== 'request';
  return {
    init: async () => {},
    close: async () => {},
    handle: async (given, next) => {
      const answer = await next(request ? { ...given, body: upperCase(given.body) } : given);
      return response ? { ...answer, body: upperCase(answer.body) } : answer;
    },
  };
}

/** Characters that would become several (`ß`) stay. */
function upperText(text: string): string {
  const upper = text.toUpperCase();
  if (upper.length === text.length) return upper;
  let result = '';
  for (const character of text) {
    const changed = character.toUpperCase();
    result += changed.length === character.length ? changed : character;
  }
  return result;
}

async function* upperCase(body: AsyncIterable<Uint8Array>): AsyncIterable<Uint8Array> {
  // A character may be cut by the end of a chunk: the decoder keeps its beginning for the next one.
  const decoder = new TextDecoder('utf-8', { ignoreBOM: true });
  for await (const chunk of body) {
    const text = upperText(decoder.decode(chunk, { stream: true }));
    if (text !== '') yield Buffer.from(text, 'utf8');
  }
  const rest = upperText(decoder.decode());
  if (rest !== '') yield Buffer.from(rest, 'utf8');
}
