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
import { createFarSidecar, type FarCall, metadataQuery } from '../../drivers/dapr-api/far-sidecar.ts';
import { type BulkRoute, createForwarder } from '../../drivers/dapr-api/forwarder.ts';
import {
  orderKey,
  priorityOf,
  queuedHeaders,
  queuedMetadata,
  withoutItems,
} from '../../drivers/dapr-api/queued-message.ts';
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
    const itemMetadata = queuedMetadata(rest);
    return {
      method: 'POST',
      path: `v1.0/${path}`,
      // The message id becomes the CloudEvent id unless the caller gave one.
      ...(isPublish
        ? {
            query: metadataQuery({
              'cloudevent.id': message.id,
              ...withoutItems(itemMetadata, OWN_METADATA),
            }),
          }
        : {}),
      headers: {
        'content-type': isBinding ? 'application/json' : contentType,
        'skerry-message-id': message.id,
      },
      body: isBinding ? bindingBody(operation, message.payload, itemMetadata) : message.payload,
    };
  };
  const bulk: BulkRoute = {
    target: () => path.slice('publish/'.length),
    metadata: ({ id, headers }) => ({
      'cloudevent.id': id,
      ...withoutItems(queuedMetadata(headers), OWN_METADATA),
    }),
    maxMessages: 100,
    // A lost answer repeats one batch at most.
    maxBatches: 1,
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

/** Without an order key all messages are in order. */
function toMessage(request: BindingRequest, keyFrom: string): SpoolMessage {
  const { traceparent, tracestate, baggage, ...metadata } = request.metadata;
  const contentType = metadata['contentType'] ?? 'application/json';
  return {
    key: orderKey(metadata, keyFrom),
    priority: priorityOf(metadata),
    payload: request.data,
    headers: queuedHeaders({ operation: request.operation, contentType }, metadata),
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
