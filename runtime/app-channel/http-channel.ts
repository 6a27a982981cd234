/**
 * The app channel over HTTP (HTTP reference, section 5): everything the runtime asks of an app that speaks HTTP/1.1
 * (with or without TLS) or cleartext HTTP/2. Redirects are handed back, bodies stream, header names keep their case.
 */

import { httpRequestHeaders, responseHeaders } from '../building-blocks/invoke/forward-headers.ts';
import { escapePath } from '../building-blocks/invoke/method-path.ts';
import type {
  AppChannel,
  AppConfiguration,
  BulkTopicDelivery,
  DeliveryResult,
  HeaderList,
  InvokeRequest,
  InvokeResponse,
  TopicDelivery,
} from '../contracts/app-channel.ts';
import { headerValue } from '../contracts/blocks.ts';
import { bytesBody, EMPTY_BODY, readBody } from '../contracts/body.ts';
import type { CallContext } from '../contracts/call-context.ts';
import type { Clock } from '../contracts/clock.ts';
import { CLOUD_EVENTS_JSON, DEFAULT_BULK_EVENT_TYPE } from '../contracts/cloud-event.ts';
import { errorText } from '../contracts/error.ts';
import type { Logger } from '../contracts/logger.ts';
import { type TraceContext, ZERO_TRACEPARENT } from '../contracts/trace.ts';
import { flatHeader } from '../http-client/exchange.ts';
import { pairs } from '../http-client/flat-headers.ts';
import { headerText, textHeader } from '../http-client/transport.ts';
import { AppStatusError } from './app-status-error.ts';
import { bindingReply } from './binding-reply.ts';
import { DROP, resultOfReply, resultsOfBulkReply, retry, UNKNOWN_ROUTE } from './event-reply.ts';
import { addTrace, createHttpCaller, type HttpCallerOptions } from './http-caller.ts';
import { parseSubscriptions } from './programmatic-subscriptions.ts';

export interface HttpChannelOptions extends HttpCallerOptions {
  readonly appId: string;
  readonly clock: Clock;
  readonly log: Logger;
}

const JSON_TYPE = 'application/json';
const PROTOBUF = 'application/x-protobuf';
const PROBE_LIMIT_MS = 3000;
/** Answers to events and questions are small; one that is not must not fill the memory. */
const REPLY_LIMIT_BYTES = 16 * 1024 * 1024;

/** Makes the channel of one HTTP app; it connects with the first call. */
export function createHttpChannel(options: HttpChannelOptions): AppChannel {
  const caller = createHttpCaller(options);
  const { log } = options;

  const post = async (
    path: string,
    headers: string[],
    data: Uint8Array,
    signal: AbortSignal,
    verb = 'POST',
  ): Promise<{ status: number; body: Uint8Array }> => {
    const response = await caller.call({ verb, path: rooted(path), headers, body: bytesBody(data) }, signal);
    return { status: response.status, body: await readBody(response.body, REPLY_LIMIT_BYTES) };
  };

  const ask = async (path: string, signal: AbortSignal): Promise<{ status: number; body: Uint8Array }> => {
    const headers = ['Content-Type', JSON_TYPE, 'Dapr-App-Id', options.appId];
    const response = await caller.call({ verb: 'GET', path, headers, body: EMPTY_BODY }, signal);
    return { status: response.status, body: await readBody(response.body, REPLY_LIMIT_BYTES) };
  };

  return {
    protocol: options.protocol,

    async invoke(request, call) {
      const query = request.query === '' ? '' : `?${request.query}`;
      const response = await caller.call(
        {
          verb: request.verb,
          path: `/${request.method}${query}`,
          headers: invokeHeaders(request, call),
          body: request.body,
          gzip: true,
          metricPath: request.method,
        },
        call.signal,
      );
      const contentType = flatHeader(response.headers, 'content-type');
      const answer: InvokeResponse = {
        status: response.status,
        grpc: false,
        headers: responseHeaders(pairs(response.headers)),
        body: response.body,
        ...(contentType === undefined ? {} : { contentType }),
      };
      return answer;
    },

    async configuration(signal) {
      const { status, body } = await ask('/dapr/config', signal);
      if (status !== 200) return undefined;
      const parsed = parseJson(body, log, '/dapr/config');
      return typeof parsed === 'object' && parsed !== null && !Array.isArray(parsed)
        ? (parsed as AppConfiguration)
        : undefined;
    },

    async subscriptions(signal) {
      const { status, body } = await ask('/dapr/subscribe', signal);
      if (status === 200) return parseSubscriptions(parseJson(body, log, '/dapr/subscribe'), log);
      if (status === 404) return [];
      // A server error may pass, so the question can be asked again; any other status is an answer.
      if (status >= 500)
        throw new Error(`app returned http status code ${status} from subscription endpoint`);
      log.error(`app returned http status code ${status} from subscription endpoint`);
      return [];
    },

    async wantsBinding(_name, route, signal) {
      const limited = withLimit(options.clock, PROBE_LIMIT_MS, signal);
      try {
        const { status } = await post(
          route,
          ['Content-Type', JSON_TYPE],
          EMPTY_BODY.bytes as Uint8Array,
          limited.signal,
          'OPTIONS',
        );
        return isSuccess(status) || status === 405;
      } finally {
        limited.done();
      }
    },

    async deliverBinding(_name, route, event, trace, signal) {
      const { status, body } = await post(
        route,
        eventHeaders(JSON_TYPE, event.metadata, trace),
        event.data,
        signal,
      );
      if (isSuccess(status)) return bindingReply(body, status);
      throw new AppStatusError(
        `fails to send binding event to http app channel, status code: ${status} body: ${excerpt(body)}`,
        { httpStatus: status },
      );
    },

    async deliverEvent(delivery, signal) {
      const headers = eventHeaders(CLOUD_EVENTS_JSON, pubsubMetadata(delivery), delivery.trace);
      const { status, body } = await post(delivery.path, headers, delivery.data, signal);
      return eventResult(delivery, status, body, log);
    },

    async deliverBulk(delivery, signal) {
      const metadata = pubsubMetadata(delivery);
      const headers = eventHeaders(JSON_TYPE, metadata, delivery.trace);
      const { status, body } = await post(delivery.path, headers, bulkBody(delivery, metadata), signal);
      return bulkResults(delivery, status, body, log);
    },

    async deliverConfiguration(store, key, subscriptionId, items, signal) {
      const data = Buffer.from(JSON.stringify({ id: subscriptionId, items }), 'utf8');
      const path = `/configuration/${escapePath(store)}/${escapePath(key)}`;
      const { status, body } = await post(path, ['Content-Type', JSON_TYPE], data, signal);
      if (status === 200) return;
      throw new Error(
        `error sending configuration update to app: status code ${status}, body: ${excerpt(body)}`,
      );
    },

    async probe(path, signal) {
      const response = await caller.call(
        { verb: 'GET', path: rooted(path), headers: [], body: EMPTY_BODY, probe: true },
        signal,
      );
      await readBody(response.body, REPLY_LIMIT_BYTES);
      return isSuccess(response.status);
    },

    async close() {
      caller.close();
    },
  };
}

function invokeHeaders(request: InvokeRequest, call: Pick<CallContext, 'span'>): string[] {
  const trace = call.span.context;
  const replaced = replacedByTrace(trace, request.headers);
  const headers: string[] = [];
  let traceparent = false;
  let baggage = false;
  for (const [name, value, lower] of httpRequestHeaders(request.headers)) {
    if (replaced.has(lower)) continue;
    traceparent ||= lower === 'traceparent';
    baggage ||= lower === 'baggage';
    headers.push(name, headerText(value));
  }
  // A packed message is what it is, whatever the caller calls it.
  const contentType = request.dataTypeUrl === undefined ? request.contentType : PROTOBUF;
  if (contentType !== undefined && contentType !== '') headers.push('Content-Type', headerText(contentType));
  addTrace(headers, trace, { traceparent, baggage });
  return headers;
}

const BOTH = new Set(['traceparent', 'tracestate']);
const PARENT = new Set(['traceparent']);
const STATE = new Set(['tracestate']);
const NEITHER: ReadonlySet<string> = new Set();

/** Trace headers of the caller that give way to those of the span; an all-zero span replaces no `traceparent`. */
function replacedByTrace(
  { traceparent, tracestate }: TraceContext,
  headers: HeaderList,
): ReadonlySet<string> {
  const stateless = tracestate === undefined || tracestate === '';
  if (traceparent === undefined || traceparent === ZERO_TRACEPARENT) return stateless ? NEITHER : STATE;
  // From a daprd the state of a trace comes as a header of the request only.
  return stateless && isOfTrace(headers, traceparent) ? PARENT : BOTH;
}

/** Whether the headers belong to the trace of `traceparent`. */
function isOfTrace(headers: HeaderList, traceparent: string): boolean {
  const own = headerValue(headers, 'traceparent');
  return (
    own !== undefined && own.slice(TRACE_ID_AT, TRACE_ID_END) === traceparent.slice(TRACE_ID_AT, TRACE_ID_END)
  );
}

const TRACE_ID_AT = 3;
const TRACE_ID_END = 35;

/** Event metadata as headers; the two that describe the body are the body's. */
function eventHeaders(
  contentType: string,
  metadata: Readonly<Record<string, string>>,
  trace: TraceContext,
): string[] {
  const headers = ['Content-Type', contentType];
  for (const name in metadata) {
    if (!HEADER_NAME.test(name) || SKIPPED_METADATA.test(name)) continue;
    headers.push(name, textHeader(metadata[name] as string));
  }
  addTrace(headers, trace);
  return headers;
}

const HEADER_NAME = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
const SKIPPED_METADATA =
  /^(?:content-type|content-length|transfer-encoding|connection|keep-alive|host|upgrade|te|trailer|traceparent|tracestate|dapr-api-token)$/i;

/** Broker metadata with the name of the component, which every delivery carries. */
function pubsubMetadata(delivery: {
  readonly metadata: Readonly<Record<string, string>>;
  readonly pubsubName: string;
}): Readonly<Record<string, string>> {
  for (const name in delivery.metadata)
    if (name.length === 10 && name.toLowerCase() === 'pubsubname') return delivery.metadata;
  return { ...delivery.metadata, pubsubName: delivery.pubsubName };
}

function eventResult(delivery: TopicDelivery, status: number, body: Uint8Array, log: Logger): DeliveryResult {
  const event = String(delivery.envelope['id'] ?? '');
  if (isSuccess(status)) {
    const result = resultOfReply(body, event);
    if (result.kind === 'drop')
      log.warn(`DROP status returned from app while processing pub/sub event ${event}`, {
        topic: delivery.topic,
      });
    return result;
  }
  if (status === 404) {
    log.error(
      `non-retriable error returned from app while processing pub/sub event ${event}: status code 404`,
      { topic: delivery.topic, path: delivery.path },
    );
    return UNKNOWN_ROUTE;
  }
  return retry(
    `retriable error returned from app while processing pub/sub event ${event}, topic: ${delivery.topic}, body: ${excerpt(body)}. status code returned: ${status}`,
    { httpStatus: status },
  );
}

const OCTET_STREAM = 'application/octet-stream';

function bulkBody(delivery: BulkTopicDelivery, metadata: Readonly<Record<string, string>>): Uint8Array {
  const entries = delivery.entries.map(({ entryId, event, contentType, metadata: own }) => ({
    entryId,
    event:
      event instanceof Uint8Array
        ? Buffer.from(event.buffer, event.byteOffset, event.byteLength).toString('base64')
        : event,
    metadata: own,
    // HTTP apps are told what an entry is even when the broker does not say.
    contentType: contentType || (event instanceof Uint8Array ? OCTET_STREAM : CLOUD_EVENTS_JSON),
  }));
  const envelope = {
    id: delivery.id,
    entries,
    metadata,
    pubsubname: delivery.pubsubName,
    topic: delivery.topic,
    type: DEFAULT_BULK_EVENT_TYPE,
  };
  return Buffer.from(JSON.stringify(envelope), 'utf8');
}

function bulkResults(
  delivery: BulkTopicDelivery,
  status: number,
  body: Uint8Array,
  log: Logger,
): DeliveryResult[] {
  const ids = delivery.entries.map((entry) => entry.entryId);
  if (isSuccess(status)) return resultsOfBulkReply(body, ids);
  if (status === 404) {
    log.error(
      `non-retriable error returned from app while processing bulk pub/sub event ${delivery.id}: status code 404`,
      { topic: delivery.topic, path: delivery.path },
    );
    return ids.map(() => DROP);
  }
  const text = `retriable error returned from app while processing bulk pub/sub event ${delivery.id}, topic: ${delivery.topic}, body: ${excerpt(body)}. status code returned: ${status}`;
  return ids.map(() => retry(text, { httpStatus: status }));
}

function isSuccess(status: number): boolean {
  return status >= 200 && status <= 299;
}

function rooted(path: string): string {
  const full = path.startsWith('/') ? path : `/${path}`;
  return PRINTABLE.test(full) ? full : encodeURI(full);
}

const PRINTABLE = /^[\x21-\x7e]*$/;

function excerpt(body: Uint8Array): string {
  return Buffer.from(body.buffer, body.byteOffset, Math.min(body.byteLength, 1024)).toString('utf8');
}

function parseJson(body: Uint8Array, log: Logger, what: string): unknown {
  try {
    return JSON.parse(Buffer.from(body.buffer, body.byteOffset, body.byteLength).toString('utf8'));
  } catch (cause) {
    log.error(`app answered ${what} with a body that is not JSON: ${errorText(cause)}`);
    return undefined;
  }
}

function withLimit(
  clock: Clock,
  limitMs: number,
  signal: AbortSignal,
): { readonly signal: AbortSignal; done(): void } {
  const limit = new AbortController();
  const timer = clock.startTimer(limitMs, () => limit.abort(new Error('context deadline exceeded')), true);
  return { signal: AbortSignal.any([signal, limit.signal]), done: () => timer.cancel() };
}
