/** An app of a node as its link sees it. */

import type { IncomingHttpHeaders, ServerHttp2Stream } from 'node:http2';
import type { SpiffeId } from '../contracts/spiffe.ts';

/** Takes one call that came over the link; `callerId` is who calls as the relay knows it. */
export type ServeLinkStream = (
  stream: ServerHttp2Stream,
  fields: IncomingHttpHeaders,
  rawHeaders: readonly string[],
  callerId: SpiffeId | undefined,
) => void;

/** One app of this node that can be called through the relay. */
export interface LinkedApp {
  readonly appId: string;
  readonly namespace: string;
  readonly serve: ServeLinkStream;
}
