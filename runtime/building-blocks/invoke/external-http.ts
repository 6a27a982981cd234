/** What the invoke block asks of an HTTP client for calls outside the mesh; implemented in `runtime/peer`. */

import type { HeaderList, InvokeRequest, InvokeResponse } from '../../contracts/app-channel.ts';
import type { CallContext } from '../../contracts/call-context.ts';

/** An HTTPEndpoint resource with its secrets resolved. */
export interface ResolvedEndpoint {
  readonly name: string;
  readonly baseUrl: string;
  /** `spec.headers`; set last, they win over the request's. */
  readonly headers: HeaderList;
  readonly tls?: { readonly rootCa?: string; readonly certificate?: string; readonly privateKey?: string };
}

export interface ExternalTarget {
  readonly baseUrl: string;
  readonly headers: HeaderList;
  readonly tls?: ResolvedEndpoint['tls'];
  /** Redirects are followed for endpoints, handed back for plain URLs (HTTP reference, section 10.4). */
  readonly followRedirects: boolean;
  /** Plain URLs get the app token, because in Dapr they share the app's channel (section 3.2). */
  readonly sendAppToken: boolean;
}

export interface ExternalHttp {
  /** Any status resolves; only transport failures reject, with the text that clients see. */
  call(
    target: ExternalTarget,
    request: InvokeRequest,
    call: Pick<CallContext, 'signal' | 'span'>,
  ): Promise<InvokeResponse>;
  close(): Promise<void>;
}
