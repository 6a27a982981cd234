/** One request of the API as handlers see it, and the call context that goes with it into the blocks. */

import type { IncomingHttpHeaders, IncomingMessage } from 'node:http';
import type { StringMap } from '../contracts/blocks.ts';
import type { CallContext } from '../contracts/call-context.ts';
import type { Logger } from '../contracts/logger.ts';
import type { Span } from '../contracts/trace.ts';
import type { RequestBody } from './body.ts';
import { parseQuery } from './path.ts';
import type { Reply } from './respond.ts';

/** Context of one call. The signal is made when somebody asks for it: most calls end before anybody does. */
export class HttpCall implements CallContext {
  readonly protocol = 'http';
  readonly span: Span;
  readonly log: Logger;
  #controller: AbortController | undefined;
  #reason: Error | undefined;

  constructor(span: Span, log: Logger) {
    this.span = span;
    this.log = log;
  }

  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController();
      if (this.#reason !== undefined) this.#controller.abort(this.#reason);
    }
    return this.#controller.signal;
  }

  get aborted(): boolean {
    return this.#reason !== undefined;
  }

  abort(reason: Error): void {
    if (this.#reason !== undefined) return;
    this.#reason = reason;
    this.#controller?.abort(reason);
  }
}

const NO_METADATA: StringMap = Object.freeze({});
const METADATA = 'metadata.';

export interface ApiRequestParts {
  readonly method: string;
  /** Escaped path as received. */
  readonly rawPath: string;
  /** Escaped and cleaned. */
  readonly path: string;
  readonly query: string;
  readonly headers: IncomingHttpHeaders;
  /** Flat list of names and values as received. */
  readonly rawHeaders: readonly string[];
  readonly body: RequestBody;
  readonly call: HttpCall;
  readonly incoming: IncomingMessage;
}

/** A request on its way to a handler. */
export class ApiRequest {
  readonly method: string;
  readonly rawPath: string;
  readonly path: string;
  readonly query: string;
  readonly headers: IncomingHttpHeaders;
  readonly rawHeaders: readonly string[];
  readonly body: RequestBody;
  readonly call: HttpCall;
  readonly incoming: IncomingMessage;
  /** Path parameters in order, decoded. Set by the router. */
  params: readonly string[] = [];
  /** Operation that answers, for the API log. Set by the router. */
  operation = '';

  constructor(parts: ApiRequestParts) {
    this.method = parts.method;
    this.rawPath = parts.rawPath;
    this.path = parts.path;
    this.query = parts.query;
    this.headers = parts.headers;
    this.rawHeaders = parts.rawHeaders;
    this.body = parts.body;
    this.call = parts.call;
    this.incoming = parts.incoming;
  }

  param(index: number): string {
    return this.params[index] ?? '';
  }

  /** First value of a header; empty when absent. */
  header(lowerName: string): string {
    const value = this.headers[lowerName];
    if (value === undefined) return '';
    return typeof value === 'string' ? value : (value[0] ?? '');
  }

  /** First value of a query parameter; `undefined` when absent. */
  queryValue(name: string): string | undefined {
    return parseQuery(this.query).find(([key]) => key === name)?.[1];
  }

  queryValues(name: string): readonly string[] {
    return parseQuery(this.query)
      .filter(([key]) => key === name)
      .map(([, value]) => value);
  }

  /** `metadata.*` query parameters without the prefix; the first value wins. */
  metadata(): StringMap {
    if (this.query === '') return NO_METADATA;
    let found: Record<string, string> | undefined;
    for (const [name, value] of parseQuery(this.query)) {
      if (!name.startsWith(METADATA)) continue;
      found ??= {};
      const key = name.slice(METADATA.length);
      if (!Object.hasOwn(found, key)) found[key] = value;
    }
    return found ?? NO_METADATA;
  }
}

export type HttpHandler = (request: ApiRequest) => Promise<Reply> | Reply;
