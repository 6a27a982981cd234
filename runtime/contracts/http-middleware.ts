/** A step of `httpPipeline` (API server) or `appHttpPipeline` (calls to the HTTP app). */

import type { ComponentInstance } from './component.ts';

/** A request as middleware sees it; a step may pass on a changed copy. */
export interface PipelineRequest {
  readonly method: string;
  /** Escaped path without query. */
  readonly path: string;
  /** Query string without `?`. */
  readonly query: string;
  /** Lower-case names; repeated headers keep all values. */
  readonly headers: Readonly<Record<string, string | readonly string[]>>;
  readonly remoteAddress: string;
  /** Body as a stream of chunks; a step that reads it must pass on a replacement. */
  readonly body: AsyncIterable<Uint8Array>;
}

export interface PipelineResponse {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | readonly string[]>>;
  readonly body: AsyncIterable<Uint8Array>;
}

export type PipelineNext = (request: PipelineRequest) => Promise<PipelineResponse>;

export interface HttpMiddleware extends ComponentInstance {
  handle(request: PipelineRequest, next: PipelineNext): Promise<PipelineResponse>;
}
