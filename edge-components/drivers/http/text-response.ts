/** Answers that a middleware gives itself: a status and a short text. */

import type { PipelineResponse } from '../../../runtime/contracts/http-middleware.ts';

/** A plain-text answer. */
export function textResponse(
  status: number,
  text: string,
  headers: Readonly<Record<string, string>> = {},
): PipelineResponse {
  return {
    status,
    headers: { ...headers, 'content-type': 'text/plain; charset=utf-8' },
    body: (async function* () {
      yield Buffer.from(text, 'utf8');
    })(),
  };
}
