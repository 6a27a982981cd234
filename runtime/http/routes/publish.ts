/** Publish and bulk publish over HTTP (Dapr HTTP reference, section 7). */

import type { BulkPublishEntry, PublishBlock, StringMap } from '../../contracts/blocks.ts';
import { errorText, runtimeError } from '../../contracts/error.ts';
import { goJson, jsonText } from '../../contracts/go-json.ts';
import { grpcCodeName } from '../../contracts/grpc-code.ts';
import type { ApiRequest } from '../api-request.ts';
import { asText, asTextMap, FieldError, jsonType, parseJson, pickMembers } from '../json-fields.ts';
import { JSON_TYPE, metadataHeaders, NO_CONTENT, type Reply } from '../respond.ts';
import type { HttpHandlers } from '../router.ts';

const ENTRY = ['entryid', 'event', 'contenttype', 'metadata'] as const;
const BASE64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/;
const MISMATCH = 'error: mismatch between contentType and event';

export function publishHandlers(
  publish: PublishBlock,
  appId: string,
): Pick<HttpHandlers, 'publish' | 'publishBulk'> {
  return {
    publish: async (request) => {
      const pubsub = request.param(0);
      const topic = request.param(1);
      const metadata = request.metadata();
      publish.check(pubsub, topic, metadata);
      let data: Uint8Array;
      try {
        data = await request.body.bytes();
      } catch (error) {
        const text = errorText(error);
        throw runtimeError(
          'pubsubPublish',
          { topic, pubsub, error: text },
          { cause: error, info: { error: text, topic } },
        );
      }
      await publish.publish(
        { pubsubName: pubsub, topic, data, contentType: request.header('content-type'), metadata },
        request.call,
      );
      return NO_CONTENT;
    },
    publishBulk: (request) => publishBulk(publish, appId, request),
  };
}

async function publishBulk(publish: PublishBlock, appId: string, request: ApiRequest): Promise<Reply> {
  const pubsub = request.param(0);
  const topic = request.param(1);
  const metadata = request.metadata();
  publish.check(pubsub, topic, metadata);
  const entries = await decodeEntries(request, { pubsub, topic, appId }, metadata);
  const { failedEntries, error } = await publish.bulkPublish(pubsub, topic, entries, metadata, request.call);
  if (failedEntries.length === 0 && error === undefined) return NO_CONTENT;
  const failure = runtimeError('pubsubPublish', {
    topic,
    pubsub,
    error: error ?? failedEntries[0]?.error ?? '',
  });
  const listed = failedEntries.map(
    ({ entryId, error: text }) =>
      `{"entryId":${jsonText(entryId)}${text === '' ? '' : `,"error":${jsonText(text)}`}}`,
  );
  const body = `{"failedEntries":[${listed.join(',')}],"errorCode":"${failure.errorCode}"}`;
  const text = `api error: code = ${grpcCodeName(failure.grpcCode)} desc = ${failure.message}`;
  return {
    status: failure.httpStatus,
    headers: ['Content-Type', JSON_TYPE, ...metadataHeaders({ responseData: body, error: text })],
    body,
  };
}

interface Target {
  readonly pubsub: string;
  readonly topic: string;
  readonly appId: string;
}

async function decodeEntries(
  request: ApiRequest,
  target: Target,
  metadata: StringMap,
): Promise<readonly BulkPublishEntry[]> {
  const { pubsub, topic, appId } = target;
  let given: readonly Partial<Record<(typeof ENTRY)[number], unknown>>[];
  let types: readonly { id: string; contentType: string; own: StringMap | undefined }[];
  try {
    given = entriesOf(parseJson(await request.body.bytes())).map((entry, index) =>
      pickMembers(entry, index, ENTRY),
    );
    types = given.map((entry) => ({
      id: asText(entry.entryid, 'entryId') ?? '',
      contentType: asText(entry.contenttype, 'contentType') ?? '',
      own:
        entry.metadata === undefined || entry.metadata === null
          ? undefined
          : asTextMap(entry.metadata, 'metadata'),
    }));
  } catch (error) {
    throw runtimeError(
      'pubsubUnmarshalEvents',
      { topic, pubsub, error: errorText(error) },
      { cause: error, info: { appID: appId } },
    );
  }
  const seen = new Set<string>();
  return types.map(({ id, contentType, own }, index): BulkPublishEntry => {
    const event = eventBytes(given[index]?.event, contentType);
    if (typeof event === 'string') {
      throw runtimeError(
        'pubsubEnvelope',
        { topic, pubsub, error: event },
        { info: { appID: appId, error: event } },
      );
    }
    if (id === '' || seen.has(id)) {
      const error = 'entryId is duplicated or not present for entry';
      throw runtimeError('pubsubMarshalEvents', { topic, pubsub, error }, { info: { appID: appId, error } });
    }
    seen.add(id);
    return {
      entryId: id,
      event,
      contentType,
      ...(own === undefined ? {} : { metadata: { ...metadata, ...own } }),
    };
  });
}

/** The list that a bulk request is; clients of Dapr see what its decoder calls one. */
function entriesOf(body: unknown): readonly unknown[] {
  if (body === null || Array.isArray(body)) return body ?? [];
  throw new FieldError(
    `json: cannot unmarshal ${jsonType(body).replace('boolean', 'bool')} into Go value of type []http.bulkPublishMessageEntry`,
  );
}

/** Bytes of an event by its content type, or the text of what is wrong with it. */
function eventBytes(event: unknown, contentType: string): Uint8Array | string {
  const type = (contentType.split(';')[0] ?? '').trim().toLowerCase();
  if (type === 'application/octet-stream') {
    if (typeof event !== 'string') return MISMATCH;
    return BASE64.test(event)
      ? Buffer.from(event, 'base64')
      : 'error: unable to decode base64 application/octet-stream data: illegal base64 data';
  }
  if (type.startsWith('text/') || type === 'application/xml') {
    return typeof event === 'string' ? Buffer.from(event, 'utf8') : MISMATCH;
  }
  if (type === 'application/json' || type === 'application/cloudevents+json')
    return Buffer.from(goJson(event), 'utf8');
  return MISMATCH;
}
