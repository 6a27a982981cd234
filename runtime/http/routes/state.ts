/** State API over HTTP (Dapr HTTP reference, section 6). */

import type { BulkStateAnswer, StateBlock, StateItem, StringMap } from '../../contracts/blocks.ts';
import { errorText, runtimeError } from '../../contracts/error.ts';
import { goJson, jsonText } from '../../contracts/go-json.ts';
import type { StateQueryItem, StateQueryResult } from '../../contracts/state-store.ts';
import type { ApiRequest } from '../api-request.ts';
import { asInteger, asList, asText, asTextMap, parseJson, pickMembers } from '../json-fields.ts';
import { headerText, JSON_TYPE, jsonReply, metadataHeaders, NO_CONTENT, type Reply } from '../respond.ts';
import type { HttpHandlers } from '../router.ts';
import { decodeOptions, mergedMetadata, stateValue } from './state-fields.ts';
import { decodeTransaction } from './state-transaction.ts';

type StateHandlers = Pick<
  HttpHandlers,
  'stateSave' | 'stateGet' | 'stateDelete' | 'stateBulkGet' | 'stateTransaction' | 'stateQuery'
>;

const NO_BYTES = new Uint8Array(0);
const NO_METADATA: StringMap = {};
const ITEM = ['key', 'value', 'etag', 'metadata', 'options', 'contenttype'] as const;

export function stateHandlers(state: StateBlock): StateHandlers {
  return {
    stateSave: async (request) => {
      const store = request.param(0);
      state.requireStore(store);
      const metadata = request.metadata();
      let items: readonly StateItem[];
      try {
        items = asList(parseJson(await request.body.bytes()), 'body').map((item, index) =>
          decodeItem(item, index, metadata),
        );
      } catch (error) {
        throw runtimeError('malformedText', { error: errorText(error) }, { cause: error });
      }
      await state.save(store, items, request.call);
      return NO_CONTENT;
    },
    stateGet: async (request) => {
      const options = {
        consistency: request.query === '' ? '' : (request.queryValue('consistency') ?? ''),
        metadata: request.metadata(),
      };
      const answer = await state.get(request.param(0), request.param(1), options, request.call);
      if (answer === undefined || answer.value.byteLength === 0) return NO_CONTENT;
      const headers = ['Content-Type', JSON_TYPE];
      if (answer.etag !== undefined) headers.push('ETag', headerText(answer.etag));
      headers.push(...metadataHeaders(answer.metadata));
      return { status: 200, headers, body: answer.value };
    },
    stateDelete: async (request) => {
      const etag = request.headers['if-match'];
      const item = {
        key: request.param(1),
        options: {
          concurrency: request.queryValue('concurrency') ?? '',
          consistency: request.queryValue('consistency') ?? '',
        },
        metadata: request.metadata(),
        ...(etag === undefined ? {} : { etag }),
      };
      await state.delete(request.param(0), item, request.call);
      return NO_CONTENT;
    },
    stateBulkGet: (request) => bulkGet(state, request),
    stateTransaction: async (request) => {
      const store = request.param(0);
      state.requireStore(store);
      const { operations, metadata } = await decodeTransaction(request);
      await state.transact(store, operations, metadata, request.call);
      return NO_CONTENT;
    },
    stateQuery: async (request) => {
      const body = await request.body.bytes().catch(() => NO_BYTES);
      return queryReply(await state.query(request.param(0), body, request.metadata(), request.call));
    },
  };
}

function decodeItem(given: unknown, index: number, query: StringMap): StateItem {
  const { key, value, etag, metadata, options, contenttype } = pickMembers(given, index, ITEM);
  const tag = asText(etag, 'etag');
  let own = metadata === undefined ? NO_METADATA : asTextMap(metadata, 'metadata');
  const contentType = asText(contenttype, 'contentType');
  if (contentType !== undefined && own['contentType'] === undefined) own = { ...own, contentType };
  return {
    key: asText(key, 'key') ?? '',
    value: stateValue(value),
    options: decodeOptions(options),
    metadata: mergedMetadata(own, query),
    ...(tag === undefined ? {} : { etag: tag }),
  };
}

async function bulkGet(state: StateBlock, request: ApiRequest): Promise<Reply> {
  const store = request.param(0);
  state.requireStore(store);
  let keys: readonly string[];
  let options: { parallelism: number; metadata: StringMap };
  try {
    const body = pickMembers(parseJson(await request.body.bytes()), 'body', [
      'keys',
      'parallelism',
      'metadata',
    ]);
    keys = asList(body.keys, 'keys').map((key) => asText(key, 'keys') ?? '');
    options = {
      parallelism: asInteger(body.parallelism, 'parallelism') ?? 0,
      metadata: mergedMetadata(asTextMap(body.metadata, 'metadata'), request.metadata()),
    };
  } catch (error) {
    throw runtimeError('malformedRequest', { error: errorText(error) }, { cause: error });
  }
  const answers = keys.length === 0 ? [] : await state.bulkGet(store, keys, options, request.call);
  return jsonReply(200, `[${answers.map(bulkEntry).join(',')}]`);
}

/** One entry; a value that is no JSON cannot be shown here and becomes the entry's error. */
function bulkEntry(answer: BulkStateAnswer): string {
  let text = `{"key":${jsonText(answer.key)}`;
  let error = answer.error ?? '';
  if (answer.value !== undefined && answer.value.byteLength > 0) {
    const data = Buffer.from(answer.value).toString('utf8');
    if (isJson(data)) text += `,"data":${data}`;
    else if (error === '') error = 'the stored value is not JSON';
  }
  if (answer.etag !== undefined) text += `,"etag":${jsonText(answer.etag)}`;
  if (answer.metadata !== undefined && Object.keys(answer.metadata).length > 0)
    text += `,"metadata":${goJson(answer.metadata)}`;
  return `${text}${error === '' ? '' : `,"error":${jsonText(error)}`}}`;
}

function queryReply({ items, token, metadata }: StateQueryResult): Reply {
  if (items.length === 0) return NO_CONTENT;
  const more = [
    ...(token === '' ? [] : [`"token":${jsonText(token)}`]),
    ...(Object.keys(metadata).length === 0 ? [] : [`"metadata":${goJson(metadata)}`]),
  ];
  const results = `"results":[${items.map(queryEntry).join(',')}]`;
  return jsonReply(200, `{${[results, ...more].join(',')}}`);
}

function queryEntry({ key, value, etag = '', error: given = '' }: StateQueryItem): string {
  const data = value.byteLength === 0 ? 'null' : Buffer.from(value).toString('utf8');
  const shown = isJson(data);
  const error = shown || given !== '' ? given : 'the stored value is not JSON';
  return [
    `{"key":${jsonText(key)},"data":${shown ? data : 'null'}`,
    ...(etag === '' ? [] : [`"etag":${jsonText(etag)}`]),
    `${error === '' ? '' : `"error":${jsonText(error)}`}`,
  ]
    .filter((part) => part !== '')
    .join(',')
    .concat('}');
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}
