/**
 * Another sidecar's /v1.0 API as components use it: one place for its address, token, TLS, limits and errors. Works
 * against an unmodified daprd; only outbound connections, or the link of this node to its relay (`baseUrl: relay:`).
 */

import type { ComponentDeps } from '../../../runtime/contracts/component.ts';
import { errorText } from '../../../runtime/contracts/error.ts';
import { RELAY_URL, type RelayedSidecar } from '../../../runtime/contracts/relayed-sidecar.ts';
import type { RemoteEndpoint } from '../../../runtime/contracts/remote-endpoint.ts';
import {
  type ClientTls,
  createHttpClient,
  type HttpAnswer,
  type HttpCall,
  type HttpClient,
} from '../http/request.ts';
import type { ConnectionItems } from './connection-items.ts';

/** Nobody answered: the link or the far sidecar is down. */
export class LinkDownError extends Error {
  override readonly name = 'LinkDownError';
}

/** The far sidecar answered with an error; `errorCode` is Dapr's (`ERR_STATE_STORE_NOT_FOUND`), empty when it gave none. */
export class FarSidecarError extends Error {
  override readonly name = 'FarSidecarError';
  readonly status: number;
  readonly errorCode: string;
  constructor(status: number, errorCode: string, message: string) {
    super(message);
    this.status = status;
    this.errorCode = errorCode;
  }
}

/** The far side is in trouble, as opposed to one that answered no: nobody is there, or a gateway in between says so. */
export function isOutage(error: unknown): boolean {
  return error instanceof LinkDownError || (error instanceof FarSidecarError && error.status >= 502);
}

export interface FarCall {
  readonly method: 'GET' | 'POST' | 'PUT' | 'DELETE';
  /** Parts below the host, encoded here: `['v1.0', 'state', store, key]`; a text is taken as it is. */
  readonly path: readonly string[] | string;
  readonly query?: URLSearchParams;
  readonly headers?: Readonly<Record<string, string>>;
  /** JSON unless `headers` say otherwise. */
  readonly body?: Uint8Array | string;
  readonly signal: AbortSignal;
  /** A connection that is made for this request. */
  readonly ownConnection?: boolean;
}

export interface FarCredentials {
  readonly headers: Readonly<Record<string, string>>;
  readonly tls: ClientTls;
}

export interface FarSidecar {
  /** The component's name over there. */
  readonly remoteName: string;
  /** Finds the address; rejects when neither an endpoint nor a URL is given, or the endpoint does not exist. */
  open(): Promise<void>;
  /** Its address; empty before `open`. */
  readonly baseUrl: string;
  /** What a gRPC connection to the same sidecar needs too; only after `open`. */
  readonly credentials: FarCredentials;
  /** The sidecar beside the relay, where the address says so; only after `open`. */
  readonly relayed: RelayedSidecar | undefined;
  /** Calls `run` whenever the link of this node to its relay is up again; never where the sidecar is reached without one. */
  onUp(run: () => void): void;
  /** The answer whatever its status; rejects with `LinkDownError` when there is none. */
  ask(call: FarCall): Promise<HttpAnswer>;
  /** Like `ask`; a status of 400 and above rejects with `FarSidecarError`. */
  call(call: FarCall): Promise<HttpAnswer>;
  close(): void;
}

/** The largest answer that is taken: what Dapr's own default for a request body is. */
const MAX_ANSWER_BYTES = 4 * 1024 * 1024;

export function createFarSidecar(
  items: ConnectionItems,
  deps: Pick<ComponentDeps, 'endpoint' | 'componentName' | 'relayedSidecar'>,
): FarSidecar {
  const onUp = new Set<() => void>();
  let relayed: RelayedSidecar | undefined;
  let following: { stop(): void } | undefined;
  let client: HttpClient | undefined;
  let base = '';
  let credentials: FarCredentials = { headers: {}, tls: {} };

  const endpointOf = async (): Promise<RemoteEndpoint | undefined> => {
    const endpoint = items.endpointName === '' ? undefined : await deps.endpoint(items.endpointName);
    if (items.endpointName !== '' && endpoint === undefined) {
      throw new Error(
        `metadata item 'endpointName': there is no HTTPEndpoint resource named '${items.endpointName}'`,
      );
    }
    return endpoint;
  };
  const openRelayed = async (where: string): Promise<void> => {
    relayed = await deps.relayedSidecar?.();
    if (relayed === undefined) {
      throw new Error(
        `${where}: this node has no link to a relay (skerry enroll makes one, --relay=off keeps it down)`,
      );
    }
    following = relayed.onUp(() => {
      for (const run of onUp) run();
    });
    client = overRelay(relayed);
  };

  const open = async (): Promise<void> => {
    const endpoint = await endpointOf();
    const url = endpoint?.baseUrl ?? items.baseUrl;
    if (url === undefined) {
      throw new Error("metadata item 'endpointName': the name of an HTTPEndpoint (or 'baseUrl') is required");
    }
    base = url.replace(/\/+$/, '');
    if (RELAY_URL.test(url)) {
      const where = endpoint === undefined ? 'metadata item' : `HTTPEndpoint '${endpoint.name}':`;
      return await openRelayed(`${where} baseUrl '${url}'`);
    }
    credentials = credentialsOf(items, endpoint);
    client = createHttpClient(credentials.tls);
  };

  const send = async (client: HttpClient, call: FarCall): Promise<HttpAnswer> => {
    const limit = AbortSignal.timeout(items.timeout);
    try {
      return await client.call({
        ...requestOf(base, credentials.headers, call),
        signal: AbortSignal.any([call.signal, limit]),
        maxAnswerBytes: MAX_ANSWER_BYTES,
        ownConnection: call.ownConnection,
      });
    } catch (error) {
      if (call.signal.aborted) throw call.signal.reason;
      const why = limit.aborted ? `no answer within ${items.timeout} ms` : errorText(error);
      throw new LinkDownError(`the sidecar at ${base} cannot be reached: ${why}`, { cause: error });
    }
  };
  const ask = async (call: FarCall): Promise<HttpAnswer> => {
    if (client === undefined) throw new Error(`component ${deps.componentName} is closed`);
    const answer = await send(client, call);
    if (answer.truncated) throw new Error(`the answer of ${base} is larger than ${MAX_ANSWER_BYTES} bytes`);
    return answer;
  };

  return {
    remoteName: items.remoteName === '' ? deps.componentName : items.remoteName,
    open,
    get baseUrl() {
      return base;
    },
    get credentials() {
      return credentials;
    },
    get relayed() {
      return relayed;
    },
    onUp: (run) => void onUp.add(run),
    ask,
    call: async (call) => {
      const answer = await ask(call);
      if (answer.status >= 400) throw farError(answer);
      return answer;
    },
    close: () => {
      following?.stop();
      client?.close();
      client = undefined;
    },
  };
}

function credentialsOf(items: ConnectionItems, endpoint: RemoteEndpoint | undefined): FarCredentials {
  return {
    headers: {
      ...Object.fromEntries(endpoint?.headers ?? []),
      ...(items.apiToken === undefined ? {} : { 'dapr-api-token': items.apiToken }),
    },
    tls: {
      ...given('ca', items.caCert ?? endpoint?.tls?.rootCa),
      ...given('cert', items.clientCert ?? endpoint?.tls?.certificate),
      ...given('key', items.clientKey ?? endpoint?.tls?.privateKey),
    },
  };
}

/** Requests over the link of this node. */
function overRelay(relayed: RelayedSidecar): HttpClient {
  return {
    call: async ({ method, url, headers, body, signal, maxAnswerBytes }) => {
      const texts = Object.entries(headers).map(([name, value]) => [name, String(value)]);
      const answer = await relayed.request({
        method,
        path: url.slice(url.indexOf('/')),
        headers: Object.fromEntries(texts) as Readonly<Record<string, string>>,
        body,
        signal,
        maxAnswerBytes,
      });
      return { ...answer, statusText: '', truncated: false };
    },
    close: () => {},
  };
}

/** The request as the HTTP client takes it: parts encoded, JSON as the content type of a body without one. */
function requestOf(
  base: string,
  own: Readonly<Record<string, string>>,
  call: FarCall,
): Pick<HttpCall, 'method' | 'url' | 'headers' | 'body'> {
  const query = call.query === undefined || call.query.size === 0 ? '' : `?${call.query}`;
  const target = {
    method: call.method,
    url: `${base}/${typeof call.path === 'string' ? call.path : call.path.map(encodeURIComponent).join('/')}${query}`,
    headers: { ...own, ...call.headers },
  };
  if (call.body === undefined) return target;
  const body = typeof call.body === 'string' ? Buffer.from(call.body) : call.body;
  return { ...target, headers: { ...own, 'content-type': 'application/json', ...call.headers }, body };
}

/** What a failed answer says: Dapr's `{errorCode, message}` when it is one. */
export function farError(answer: HttpAnswer): FarSidecarError {
  const text = Buffer.from(answer.body).toString('utf8');
  try {
    const parsed: unknown = JSON.parse(text);
    if (typeof parsed === 'object' && parsed !== null && 'errorCode' in parsed) {
      const { errorCode, message } = parsed as { errorCode: unknown; message?: unknown };
      return new FarSidecarError(answer.status, String(errorCode), String(message ?? errorCode));
    }
  } catch {
    // Not JSON: a gateway in between, perhaps.
  }
  const line = text.trim().slice(0, 200);
  return new FarSidecarError(answer.status, '', `status ${answer.status}${line === '' ? '' : `: ${line}`}`);
}

/** The JSON of an answer; `undefined` for an empty one. */
export function farJson(answer: HttpAnswer, parse: (text: string) => unknown = JSON.parse): unknown {
  const text = Buffer.from(answer.body).toString('utf8');
  if (text === '') return undefined;
  try {
    return parse(text);
  } catch {
    throw new FarSidecarError(answer.status, '', 'the answer is not JSON');
  }
}

/** Request metadata as Dapr's query parameters `metadata.<name>`. */
export function metadataQuery(metadata: Readonly<Record<string, string>>): URLSearchParams {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(metadata)) query.set(`metadata.${name}`, value);
  return query;
}

function given<K extends string>(name: K, value: string | undefined): { readonly [key in K]?: string } {
  return (value === undefined ? {} : { [name]: value }) as { readonly [key in K]?: string };
}
