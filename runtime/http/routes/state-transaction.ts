/** The body of a state transaction (Dapr HTTP reference, section 6.6). */

import type { StateTransactionOperation, StringMap } from '../../contracts/blocks.ts';
import { errorText, runtimeError } from '../../contracts/error.ts';
import type { ApiRequest } from '../api-request.ts';
import { asList, asText, asTextMap, parseJson, pickMembers } from '../json-fields.ts';
import { decodeOptions, mergedMetadata, stateValue } from './state-fields.ts';

const OPERATION = ['operation', 'request'] as const;
const REQUEST = ['key', 'value', 'etag', 'metadata', 'options', 'contenttype'] as const;

export interface DecodedTransaction {
  readonly operations: readonly StateTransactionOperation[];
  /** Metadata of the transaction as a whole; those of the query reach every operation too. */
  readonly metadata: StringMap;
}

export async function decodeTransaction(request: ApiRequest): Promise<DecodedTransaction> {
  const query = request.metadata();
  let given: readonly unknown[];
  let metadata: StringMap;
  try {
    const body = pickMembers(parseJson(await request.body.bytes()), 'body', ['operations', 'metadata']);
    given = asList(body.operations, 'operations');
    metadata = mergedMetadata(asTextMap(body.metadata, 'metadata'), query);
  } catch (error) {
    throw runtimeError('malformedRequest', { error: errorText(error) }, { cause: error });
  }
  return { operations: given.map((operation) => decodeOperation(operation, query)), metadata };
}

function decodeOperation(given: unknown, query: StringMap): StateTransactionOperation {
  let operation: string;
  let decoded: { readonly item: Parameters<typeof upsert>[0]; readonly contentType: string | undefined };
  try {
    const parts = pickMembers(given, 'operations', OPERATION);
    operation = asText(parts.operation, 'operation') ?? '';
    if (operation !== 'upsert' && operation !== 'delete')
      throw runtimeError('stateOperationNotSupported', { operation });
    decoded = decodeRequest(parts.request, query);
  } catch (error) {
    if (error instanceof Error && error.name === 'RuntimeError') throw error;
    throw runtimeError('malformedRequest', { error: errorText(error) }, { cause: error });
  }
  if (operation === 'upsert') return upsert(decoded.item, decoded.contentType);
  const { value: _value, ...item } = decoded.item;
  return { operation: 'delete', item };
}

function upsert(
  item: Extract<StateTransactionOperation, { operation: 'upsert' }>['item'],
  contentType: string | undefined,
): StateTransactionOperation {
  return { operation: 'upsert', item, ...(contentType === undefined ? {} : { contentType }) };
}

function decodeRequest(
  given: unknown,
  query: StringMap,
): { item: Parameters<typeof upsert>[0]; contentType: string | undefined } {
  const { key, value, etag, metadata, options, contenttype } = pickMembers(given, 'request', REQUEST);
  const tag = asText(etag, 'etag');
  return {
    item: {
      key: asText(key, 'key') ?? '',
      value: stateValue(value),
      options: decodeOptions(options),
      metadata: mergedMetadata(asTextMap(metadata, 'metadata'), query),
      ...(tag === undefined ? {} : { etag: tag }),
    },
    contentType: asText(contenttype, 'contentType'),
  };
}
