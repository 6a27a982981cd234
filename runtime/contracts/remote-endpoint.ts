/** Another service, as an `HTTPEndpoint` resource describes it, with its references resolved. */

import type { HeaderList } from './app-channel.ts';

export interface RemoteEndpoint {
  readonly name: string;
  readonly baseUrl: string;
  readonly headers: HeaderList;
  /** PEM texts. */
  readonly tls?: { readonly rootCa?: string; readonly certificate?: string; readonly privateKey?: string };
}
