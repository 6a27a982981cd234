/** What Dapr tells about an HTTP API call in its span: name, attributes and status (Dapr's tracing middleware). */

import { STATUS_CODES } from 'node:http';
import type { Span } from '../contracts/trace.ts';
import type { ApiRequest } from './api-request.ts';
import { pathText } from './path.ts';
import { calledMethod } from './routes/invoke-target.ts';

const TOKEN = 'dapr-api-token';

/** Describes the span of an answered request; only worth calling when it is recorded. */
export function describeRequest(span: Span, request: ApiRequest, status: number): void {
  const set = (name: string, value: string | undefined): void => {
    if (value !== undefined && value !== '') span.setAttribute(name, value);
  };
  const { headers, incoming } = request;
  for (const name in headers) {
    // Callers mark what they want to see in the trace; the token is no such thing.
    if (!name.startsWith('dapr-') || name === TOKEN) continue;
    const value = headers[name];
    set(name, Array.isArray(value) ? value.at(-1) : value);
  }
  const path = pathText(request.rawPath);
  if (path !== request.rawPath) span.rename?.(path);
  describeOperation(span, request, path, set);
  set('dapr.protocol', 'http');
  set('dapr.api', `${request.method} ${path}`);
  set('dapr.status_code', String(status));
  set('http.request.method', request.method);
  set('url.full', incoming.url);
  // Dapr names the caller's end here.
  const { remoteAddress, remotePort } = incoming.socket;
  set('server.address', remoteAddress?.replace(/^::ffff:/, ''));
  set('server.port', remotePort === undefined ? undefined : String(remotePort));
}

function describeOperation(
  span: Span,
  request: ApiRequest,
  path: string,
  set: (name: string, value: string | undefined) => void,
): void {
  const { operation } = request;
  const database = (system: string, name: string): void => {
    set('db.system', system);
    set('db.connection_string', system);
    set('db.statement', `${request.method} ${path}`);
    set('db.name', name);
  };
  if (operation.startsWith('state')) database('state', request.param(0));
  else if (operation.startsWith('secret')) database('secrets', request.param(0));
  else if (operation === 'bindingInvoke') database('bindings', request.param(0));
  else if (operation === 'publish' || operation === 'publishBulk') {
    set('messaging.system', 'pubsub');
    set('messaging.destination.name', request.param(1));
  } else if (operation === 'invoke') {
    const target = calledMethod(request);
    if (target === undefined) return;
    set('rpc.service', 'ServiceInvocation');
    set('net.peer.name', target.id);
    span.rename?.(`CallLocal/${target.id}/${pathText(target.method)}`);
  }
}

/** Status text of a failed call, or `undefined`. */
export function failureOfStatus(status: number): string | undefined {
  return status >= 400 ? `Code(${status}): ${STATUS_CODES[status] ?? 'Unknown'}` : undefined;
}
