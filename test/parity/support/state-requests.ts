/** State requests in neutral words, ready for HTTP and for gRPC. */

import {
  DeleteStateRequestSchema,
  ExecuteStateTransactionRequestSchema,
  GetBulkStateRequestSchema,
  GetBulkStateResponseSchema,
  GetStateRequestSchema,
  GetStateResponseSchema,
  QueryStateRequestSchema,
  QueryStateResponseSchema,
  SaveStateRequestSchema,
} from '../../../runtime/generated/dapr/proto/runtime/v1/state_pb.ts';
import { httpOutcome, type ParityRequest } from './cases.ts';
import { grpcCommand, grpcOutcome, utf8 } from './grpc-call.ts';
import { metadataHeaders, metadataQuery } from './http-client.ts';
import type { ParityRig } from './rig.ts';

type StringMap = Readonly<Record<string, string>>;

export interface Item {
  readonly key: string;
  /** JSON text, spelled as HTTP stores it. */
  readonly json?: string;
  readonly etag?: string;
  readonly concurrency?: 'first-write' | 'last-write';
  readonly metadata?: StringMap;
}

export interface StateRequests {
  get(key: string, store?: string): ParityRequest;
  bulkGet(keys: readonly string[], store?: string): ParityRequest;
  save(items: readonly Item[], store?: string): ParityRequest;
  delete(item: Item, store?: string): ParityRequest;
  transaction(operations: readonly (readonly [string, Item])[], store?: string): ParityRequest;
  query(body: string, store?: string): ParityRequest;
}

/** The value of a write is what the store holds afterwards under its keys. */
export function stateRequests({ blocks, call, http, grpc }: ParityRig): StateRequests {
  const post = (path: string, body: string) => http.send({ method: 'POST', path, body });
  const stored = async (storeName: string, items: readonly Item[]): Promise<StringMap> => {
    const found: Record<string, string> = {};
    for (const { key } of items) {
      const answer = await blocks.state.get(storeName, key, { consistency: '', metadata: {} }, call);
      found[key] = answer === undefined ? 'nothing' : utf8(answer.value);
    }
    return found;
  };

  return {
    get: (key, storeName = 'store') => ({
      http: () =>
        httpOutcome(http.send({ path: statePath(storeName, key) }), (answer) =>
          answer.status === 204
            ? 'nothing'
            : { data: answer.text, etag: answer.headers['etag'], metadata: metadataHeaders(answer) },
        ),
      grpc: () =>
        grpcOutcome(
          grpc,
          'GetState',
          [GetStateRequestSchema, GetStateResponseSchema],
          { storeName, key },
          ({ data, etag, metadata }) =>
            data.length === 0 && etag === ''
              ? 'nothing'
              : { data: utf8(data), etag, metadata: lower(metadata) },
        ),
    }),
    bulkGet: (keys, storeName = 'store') => ({
      http: () =>
        httpOutcome(post(`/v1.0/state/${storeName}/bulk`, JSON.stringify({ keys })), ({ text }) =>
          (JSON.parse(text) as { data?: unknown }[]).map(({ data, ...entry }) =>
            data === undefined ? entry : { ...entry, data: JSON.stringify(data) },
          ),
        ),
      grpc: () =>
        grpcOutcome(
          grpc,
          'GetBulkState',
          [GetBulkStateRequestSchema, GetBulkStateResponseSchema],
          { storeName, keys: [...keys] },
          ({ items }) => items.map(({ data, ...entry }) => filled({ ...entry, data: utf8(data) })),
        ),
    }),
    save: (items, storeName = 'store') => ({
      http: () =>
        httpOutcome(post(`/v1.0/state/${storeName}`, `[${items.map(itemJson).join(',')}]`), () =>
          stored(storeName, items),
        ),
      grpc: () =>
        grpcCommand(
          grpc,
          'SaveState',
          SaveStateRequestSchema,
          { storeName, states: items.map(itemMessage) },
          () => stored(storeName, items),
        ),
    }),
    delete: (item, storeName = 'store') => ({
      http: () => {
        const query = metadataQuery(item.metadata, { concurrency: item.concurrency });
        const headers = item.etag === undefined ? {} : { 'if-match': item.etag };
        const path = `${statePath(storeName, item.key)}${query}`;
        return httpOutcome(http.send({ method: 'DELETE', path, headers }), () => stored(storeName, [item]));
      },
      grpc: () =>
        grpcCommand(grpc, 'DeleteState', DeleteStateRequestSchema, { storeName, ...keyed(item) }, () =>
          stored(storeName, [item]),
        ),
    }),
    transaction: (operations, storeName = 'store') => {
      const items = operations.map(([, item]) => item);
      const bodies = operations.map(
        ([operation, item]) => `{"operation":${JSON.stringify(operation)},"request":${itemJson(item)}}`,
      );
      const messages = operations.map(([operationType, item]) => ({
        operationType,
        request: itemMessage(item),
      }));
      return {
        http: () =>
          httpOutcome(
            post(`/v1.0/state/${storeName}/transaction`, `{"operations":[${bodies.join(',')}]}`),
            () => stored(storeName, items),
          ),
        grpc: () =>
          grpcCommand(
            grpc,
            'ExecuteStateTransaction',
            ExecuteStateTransactionRequestSchema,
            { storeName, operations: messages },
            () => stored(storeName, items),
          ),
      };
    },
    query: (query, storeName = 'store') => ({
      http: () => httpOutcome(post(`/v1.0-alpha1/state/${storeName}/query`, query)),
      grpc: () =>
        grpcOutcome(grpc, 'QueryStateAlpha1', [QueryStateRequestSchema, QueryStateResponseSchema], {
          storeName,
          query,
        }),
    }),
  };
}

const statePath = (store: string, key: string): string => `/v1.0/state/${store}/${encodeURIComponent(key)}`;

function itemJson({ key, json, etag, concurrency, metadata }: Item): string {
  const rest = JSON.stringify({
    key,
    etag,
    metadata,
    ...(concurrency === undefined ? {} : { options: { concurrency } }),
  });
  return json === undefined ? rest : `${rest.slice(0, -1)},"value":${json}}`;
}

const CONCURRENCY = { 'first-write': 1, 'last-write': 2 } as const;

function keyed({ key, etag, concurrency, metadata = {} }: Item) {
  return {
    key,
    metadata,
    ...(etag === undefined ? {} : { etag: { value: etag } }),
    ...(concurrency === undefined ? {} : { options: { concurrency: CONCURRENCY[concurrency] } }),
  };
}

const itemMessage = (item: Item) => ({ ...keyed(item), value: Buffer.from(item.json ?? '') });

/** HTTP headers have no case. */
const lower = (metadata: StringMap): StringMap =>
  Object.fromEntries(Object.entries(metadata).map(([name, value]) => [name.toLowerCase(), value]));

/** Members that HTTP would show. */
function filled({ $typeName: _type, ...members }: Readonly<Record<string, unknown>>): object {
  return Object.fromEntries(
    Object.entries(members).filter(([, value]) =>
      typeof value === 'object' && value !== null ? Object.keys(value).length > 0 : value !== '',
    ),
  );
}
