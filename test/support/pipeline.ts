/** Runs one middleware around a handler that keeps what reached it. */

import type {
  HttpMiddleware,
  PipelineRequest,
  PipelineResponse,
} from '../../runtime/contracts/http-middleware.ts';

export async function* chunks(...parts: readonly (string | Uint8Array)[]): AsyncIterable<Uint8Array> {
  for (const part of parts) yield typeof part === 'string' ? Buffer.from(part) : part;
}

export async function bodyText(body: AsyncIterable<Uint8Array>): Promise<string> {
  const parts: Uint8Array[] = [];
  for await (const part of body) parts.push(part);
  return Buffer.concat(parts).toString('utf8');
}

export interface PipelineRun {
  readonly status: number;
  readonly headers: PipelineResponse['headers'];
  readonly body: string;
  /** What came out on the other side; `undefined` when the middleware answered itself. */
  readonly reached: (Omit<PipelineRequest, 'body'> & { readonly text: string }) | undefined;
}

export async function throughMiddleware(
  middleware: HttpMiddleware,
  given: Partial<PipelineRequest> = {},
  answer: () => AsyncIterable<Uint8Array> = () => chunks('in'),
): Promise<PipelineRun> {
  let reached: PipelineRun['reached'];
  const response = await middleware.handle(
    {
      method: 'GET',
      path: '/',
      query: '',
      headers: {},
      remoteAddress: '127.0.0.1:40000',
      body: chunks(),
      ...given,
    },
    async ({ body, ...request }) => {
      reached = { ...request, text: await bodyText(body) };
      return { status: 200, headers: { 'content-type': 'text/plain' }, body: answer() };
    },
  );
  return { status: response.status, headers: response.headers, body: await bodyText(response.body), reached };
}
