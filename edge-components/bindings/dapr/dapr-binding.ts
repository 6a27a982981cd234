/**
 * An output binding whose far side is another Dapr sidecar's /v1.0 API, with the spool in between: an invocation is
 * answered once the message is on disk, and delivered in order whenever the far side is there.
 *
 * The message id (UUID v7) travels with every attempt: as the CloudEvent id when the path is a publish, as the header
 * `skerry-message-id` always, so that a receiver can drop the repeat that follows a lost answer.
 */

import type { Binding, BindingRequest, BindingResponse } from '../../../runtime/contracts/binding.ts';
import type { ComponentDeps } from '../../../runtime/contracts/component.ts';
import { errorText } from '../../../runtime/contracts/error.ts';
import type { DeliveryOutcome, Spool, StoredMessage } from '../../../runtime/contracts/spool.ts';
import { createLinkProbe } from '../../drivers/dapr-api/link-probe.ts';
import { createHttpClient, type HttpAnswer } from '../../drivers/http/request.ts';
import type { DaprBindingMetadata } from './metadata.ts';

const MAX_ANSWER_BYTES = 64 * 1024;
const PROBE_LIMIT_MS = 3000;
/** Answers that say this message can never be taken, whatever the link does. */
const POISON_STATUSES = new Set([400, 413, 415, 422]);

/** A far sidecar that lacks the component says 400 too: that is no fault of the message, and may be mended. */
const NOT_SET_UP = /"errorCode":"ERR_\w+_NOT_(?:CONFIGURED|FOUND)"/;
/** Request metadata that is for this side only. */
const OWN_METADATA = new Set(['priority', 'contentType']);

export function createDaprBinding(metadata: DaprBindingMetadata, deps: ComponentDeps): Binding {
  const path = (metadata.path === '' ? `bindings/${deps.componentName}` : metadata.path).replace(/^\/+/, '');
  const target = `${metadata.baseUrl.replace(/\/+$/, '')}/v1.0/${path}`;
  const isPublish = path.startsWith('publish/');
  const isBinding = path.startsWith('bindings/');
  const client = createHttpClient({
    ...(metadata.caCert === undefined ? {} : { ca: metadata.caCert }),
    ...(metadata.clientCert === undefined ? {} : { cert: metadata.clientCert }),
    ...(metadata.clientKey === undefined ? {} : { key: metadata.clientKey }),
  });
  let spool: Spool | undefined;
  const link = createLinkProbe({
    clock: deps.clock,
    ask: async (signal) => {
      const limit = AbortSignal.any([signal, AbortSignal.timeout(PROBE_LIMIT_MS)]);
      const url = `${metadata.baseUrl.replace(/\/+$/, '')}/v1.0/healthz/outbound`;
      const answer = await client.call({ method: 'GET', url, headers: {}, signal: limit, maxAnswerBytes: 0 });
      return answer.status >= 200 && answer.status < 300;
    },
    back: () => {
      deps.log.info(`${deps.componentName}: ${metadata.baseUrl} answers again`);
      spool?.wake();
    },
  });

  const deliver = async (message: StoredMessage, signal: AbortSignal): Promise<DeliveryOutcome> => {
    const { operation = 'create', contentType = 'application/json', ...rest } = message.headers;
    const itemMetadata = requestMetadata(rest);
    const body = isBinding ? bindingBody(operation, message.payload, itemMetadata) : message.payload;
    const query = isPublish ? publishQuery(message.id, itemMetadata) : '';
    try {
      const answer = await client.call({
        method: 'POST',
        url: `${target}${query}`,
        headers: {
          'content-type': isBinding ? 'application/json' : contentType,
          'skerry-message-id': message.id,
          ...(metadata.apiToken === undefined ? {} : { 'dapr-api-token': metadata.apiToken }),
        },
        body,
        signal: AbortSignal.any([signal, AbortSignal.timeout(metadata.timeout)]),
        maxAnswerBytes: MAX_ANSWER_BYTES,
      });
      return outcomeOf(answer);
    } catch (error) {
      link.lost();
      return { retry: errorText(error) };
    }
  };

  return {
    operations: metadata.operations,
    init: async () => {
      spool = await deps.spools.open({
        name: `${deps.appId}/${deps.componentName}`,
        maxMessages: metadata.queueMaxMessages,
        maxBytes: metadata.queueMaxBytes,
        whenFull: metadata.queueWhenFull,
        ttlMs: metadata.queueTTL,
      });
      spool.drain(deliver);
    },
    invoke: async (request): Promise<BindingResponse> => {
      if (spool === undefined) throw new Error(`binding ${deps.componentName} is closed`);
      const id = await spool.append(toMessage(request, metadata.keyFrom));
      return { metadata: { messageId: id } };
    },
    close: async () => {
      link.close();
      await spool?.close();
      spool = undefined;
      client.close();
    },
  };
}

function outcomeOf(answer: HttpAnswer): DeliveryOutcome {
  if (answer.status >= 200 && answer.status < 300) return 'delivered';
  const text = Buffer.from(answer.body).toString('utf8').slice(0, 200);
  const reason = `${answer.status} ${text}`.trim();
  return POISON_STATUSES.has(answer.status) && !NOT_SET_UP.test(text) ? { park: reason } : { retry: reason };
}

/** The metadata of the invocation, kept among the headers of its message under `m.`. */
function requestMetadata(headers: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
  const metadata: Record<string, string> = {};
  for (const [name, value] of Object.entries(headers))
    if (name.startsWith('m.')) metadata[name.slice(2)] = value;
  return metadata;
}

/** The order key is the metadata item named by `keyFrom`, else `partitionKey`; without one all messages are in order. */
function toMessage(request: BindingRequest, keyFrom: string): Parameters<Spool['append']>[0] {
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
function publishQuery(id: string, metadata: Readonly<Record<string, string>>): string {
  const query = new URLSearchParams({ 'metadata.cloudevent.id': id });
  for (const [name, value] of Object.entries(metadata))
    if (!OWN_METADATA.has(name)) query.set(`metadata.${name}`, value);
  return `?${query}`;
}
