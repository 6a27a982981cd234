/** What Dapr tells about a gRPC API call in its span: name and attributes (Dapr's tracing interceptors). */

import type { HeaderList } from '../contracts/app-channel.ts';
import type { Span } from '../contracts/trace.ts';

const DAPR = '/dapr.proto.runtime.v1.Dapr/';
const TOKEN = 'dapr-api-token';

/** Marks of every call; a proxied one has nothing but what its caller wants to see. */
export function describeCall(span: Span, path: string, metadata: HeaderList, proxied: boolean): void {
  const seen = new Set<string>();
  for (const [name, value] of metadata) {
    if (!name.startsWith('dapr-') || name.endsWith('-bin') || name === TOKEN || seen.has(name)) continue;
    seen.add(name);
    if (value !== '') span.setAttribute(name, value);
  }
  if (proxied) return;
  span.setAttribute('dapr.protocol', 'grpc');
  span.setAttribute('dapr.api', path);
}

type Message = Readonly<Record<string, unknown>>;

function text(value: unknown): string {
  return typeof value === 'string' ? value : '';
}

function database(span: Span, path: string, system: string, name: unknown): void {
  span.setAttribute('rpc.service', 'Dapr');
  span.setAttribute('db.system', system);
  span.setAttribute('db.connection_string', system);
  span.setAttribute('db.statement', path);
  if (text(name) !== '') span.setAttribute('db.name', text(name));
}

function messaging(span: Span, topic: unknown): void {
  span.setAttribute('rpc.service', 'Dapr');
  span.setAttribute('messaging.system', 'pubsub');
  if (text(topic) !== '') span.setAttribute('messaging.destination.name', text(topic));
}

type Describe = (span: Span, path: string, message: Message) => void;

const state: Describe = (span, path, message) => database(span, path, 'state', message['storeName']);
const publish: Describe = (span, _path, message) => messaging(span, message['topic']);
const converse: Describe = (span, _path, message) => {
  if (text(message['name']) !== '') span.setAttribute('rpc.system', text(message['name']));
};

const DESCRIBED: ReadonlyMap<string, Describe> = new Map([
  [`${DAPR}GetState`, state],
  [`${DAPR}SaveState`, state],
  [`${DAPR}DeleteState`, state],
  [`${DAPR}GetSecret`, (span, path, message) => database(span, path, 'secrets', message['storeName'])],
  [`${DAPR}InvokeBinding`, (span, path, message) => database(span, path, 'bindings', message['name'])],
  [`${DAPR}PublishEvent`, publish],
  [`${DAPR}BulkPublishEvent`, publish],
  [`${DAPR}BulkPublishEventAlpha1`, publish],
  [`${DAPR}ConverseAlpha1`, converse],
  [`${DAPR}ConverseAlpha2`, converse],
  [
    `${DAPR}InvokeService`,
    (span, _path, message) => {
      const id = text(message['id']);
      const method = text((message['message'] as Message | undefined)?.['method']);
      span.setAttribute('rpc.service', 'ServiceInvocation');
      if (id !== '') span.setAttribute('net.peer.name', id);
      span.rename?.(`CallLocal/${id}/${method}`);
    },
  ],
]);

/** Marks that come from the request of a method of the Dapr service. */
export function describeMessage(span: Span, path: string, request: unknown): void {
  if (typeof request === 'object' && request !== null) DESCRIBED.get(path)?.(span, path, request as Message);
}
