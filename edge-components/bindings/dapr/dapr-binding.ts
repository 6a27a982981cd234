/**
 * An output binding whose far side is another Dapr sidecar's /v1.0 API, with the spool in between: an invocation is
 * answered once the message is on disk, and delivered in order whenever the far side is there.
 *
 * The message id (UUID v7) travels with every attempt: as the CloudEvent id when the path is a publish, as the header
 * `skerry-message-id` always, so that a receiver can drop the repeat that follows a lost answer.
 */

import type { Binding, BindingRequest, BindingResponse } from '../../../runtime/contracts/binding.ts';
import type { ComponentDeps } from '../../../runtime/contracts/component.ts';
import type { SpoolMessage, StoredMessage } from '../../../runtime/contracts/spool.ts';
import { createFarSidecar, type FarCall } from '../../drivers/dapr-api/far-sidecar.ts';
import { type BulkRoute, createForwarder } from '../../drivers/dapr-api/forwarder.ts';
import type { DaprBindingMetadata } from './metadata.ts';

/** Request metadata that is for this side only. */
const OWN_METADATA = new Set(['priority', 'contentType']);

export function createDaprBinding(metadata: DaprBindingMetadata, deps: ComponentDeps): Binding {
  const far = createFarSidecar(metadata, deps);
  const path = (metadata.path === '' ? `bindings/${far.remoteName}` : metadata.path).replace(/^\/+/, '');
  const isPublish = path.startsWith('publish/');
  const isBinding = path.startsWith('bindings/');

  const request = (message: StoredMessage): Omit<FarCall, 'signal'> => {
    const { operation = 'create', contentType = 'application/json', ...rest } = message.headers;
    const itemMetadata = requestMetadata(rest);
    return {
      method: 'POST',
      path: `v1.0/${path}`,
      ...(isPublish ? { query: publishQuery(message.id, itemMetadata) } : {}),
      headers: {
        'content-type': isBinding ? 'application/json' : contentType,
        'skerry-message-id': message.id,
      },
      body: isBinding ? bindingBody(operation, message.payload, itemMetadata) : message.payload,
    };
  };
  const bulk: BulkRoute = {
    target: path.slice('publish/'.length),
    metadata: ({ headers }) => publishMetadata(requestMetadata(headers)),
  };
  const forwarder = createForwarder(far, metadata, deps, request, isPublish ? bulk : undefined);

  return {
    operations: metadata.operations,
    init: async () => {
      await far.open();
      await forwarder.open();
    },
    invoke: async (request): Promise<BindingResponse> => {
      const id = await forwarder.append(toMessage(request, metadata.keyFrom));
      return { metadata: { messageId: id } };
    },
    close: async () => {
      await forwarder.close();
      far.close();
    },
  };
}

/** The metadata of the invocation, kept among the headers of its message under `m.`. */
function requestMetadata(headers: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
  const metadata: Record<string, string> = {};
  for (const [name, value] of Object.entries(headers))
    if (name.startsWith('m.')) metadata[name.slice(2)] = value;
  return metadata;
}

/** The order key is the metadata item named by `keyFrom`, else `partitionKey`; without one all messages are in order. */
function toMessage(request: BindingRequest, keyFrom: string): SpoolMessage {
  const { traceparent, tracestate, baggage, ...metadata } = request.metadata;
  const priority = Number(metadata['priority'] ?? '4');
  const headers: Record<string, string> = {
    operation: request.operation,
    contentType: metadata['contentType'] ?? 'application/json',
  };
  for (const [name, value] of Object.entries(metadata)) headers[`m.${name}`] = value;
  return {
    key: metadata[keyFrom === '' ? 'partitionKey' : keyFrom] ?? '',
    priority: Number.isInteger(priority) && priority >= 0 && priority <= 9 ? priority : 4,
    payload: request.data,
    headers,
  };
}

/** `{operation, data, metadata}` with the caller's JSON text spliced in as it is. */
function bindingBody(
  operation: string,
  data: Uint8Array,
  metadata: Readonly<Record<string, string>>,
): Uint8Array {
  const head = `{"operation":${JSON.stringify(operation)},"metadata":${JSON.stringify(metadata)},"data":`;
  return Buffer.concat([Buffer.from(head), jsonText(data), Buffer.from('}')]);
}

function jsonText(data: Uint8Array): Uint8Array {
  const text = Buffer.from(data).toString('utf8');
  try {
    JSON.parse(text);
    return data;
  } catch {
    return Buffer.from(JSON.stringify(text));
  }
}

/** The message id becomes the CloudEvent id unless the caller gave one; the rest of the metadata goes along. */
function publishQuery(id: string, metadata: Readonly<Record<string, string>>): URLSearchParams {
  const query = new URLSearchParams({ 'metadata.cloudevent.id': id });
  for (const [name, value] of Object.entries(publishMetadata(metadata))) query.set(`metadata.${name}`, value);
  return query;
}

function publishMetadata(metadata: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
  return Object.fromEntries(Object.entries(metadata).filter(([name]) => !OWN_METADATA.has(name)));
}
