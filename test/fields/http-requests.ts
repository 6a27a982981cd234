/** A valid request of every HTTP route of the operations table, and the same with one fault each. */

import { type HttpRoute, OPERATIONS, type Operation } from '../../runtime/contracts/operations.ts';
import { faultyBodies, type Json } from './faults.ts';

export interface FieldRequest {
  /** Operation, place and fault: the key of the recorded answer. */
  readonly name: string;
  readonly method: string;
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer | undefined;
}

interface Sample {
  readonly params?: Readonly<Record<string, string>>;
  readonly body?: Json;
  /** Query members, each with values of which none may do harm. */
  readonly query?: Readonly<Record<string, readonly string[]>>;
  readonly headers?: Readonly<Record<string, readonly string[]>>;
}

const KEYS = ['', 'a||b', '%00', '%ff', 'a%2Fb', '..', 'x'.repeat(3000), '%20', '%F0%9F%98%80'];
const METADATA = { 'metadata.ttlInSeconds': ['', 'soon', '-1', '-5', '1.5', '1e3', '99999999999999999999'] };
const OPTIONS = {
  concurrency: ['', 'first', 'FIRST-WRITE', 'first-write&concurrency=x'],
  consistency: ['', 'weak'],
};
const STATE_ITEM = {
  key: 'k',
  value: 1,
  etag: '1',
  metadata: { a: 'b' },
  options: { concurrency: 'last-write', consistency: 'strong' },
};

const SAMPLES: Readonly<Record<string, Sample>> = {
  stateSave: { params: { store: 'state' }, body: [STATE_ITEM] },
  stateGet: {
    params: { store: 'state', key: 'k' },
    query: { ...METADATA, consistency: OPTIONS.consistency, 'metadata.': ['x'] },
  },
  stateDelete: {
    params: { store: 'state', key: 'k' },
    query: { ...METADATA, ...OPTIONS },
    headers: { 'if-match': ['', '"1"', '*', 'x'.repeat(500)] },
  },
  stateBulkGet: {
    params: { store: 'state' },
    body: { keys: ['k', 'other'], parallelism: 2 },
    query: METADATA,
  },
  stateTransaction: {
    params: { store: 'state' },
    body: {
      operations: [
        { operation: 'upsert', request: STATE_ITEM },
        { operation: 'delete', request: { key: 'gone' } },
      ],
      metadata: { a: 'b' },
    },
  },
  stateQuery: {
    params: { store: 'state' },
    body: { filter: { EQ: { a: 1 } }, sort: [{ key: 'a', order: 'ASC' }], page: { limit: 2, token: '' } },
  },
  publish: {
    params: { pubsub: 'pubsub', topic: 't' },
    body: {
      specversion: '1.0',
      id: '1',
      type: 't',
      source: 's',
      data: { a: 1 },
      datacontenttype: 'application/json',
      time: '2024-01-01T00:00:00Z',
    },
    query: { ...METADATA, 'metadata.rawPayload': ['', 'maybe', 'true'] },
    headers: {
      'content-type': [
        '',
        'nonsense',
        'text/plain',
        'application/cloudevents+json',
        'application/octet-stream',
      ],
    },
  },
  publishBulk: {
    params: { pubsub: 'pubsub', topic: 't' },
    body: [{ entryId: '1', event: { a: 1 }, contentType: 'application/json', metadata: { a: 'b' } }],
    query: METADATA,
  },
  bindingInvoke: {
    params: { name: 'files' },
    body: { operation: 'create', data: 'x', metadata: { fileName: 'f' } },
  },
  invoke: { params: { target: 'nobody/method/m' } },
  secretGet: { params: { store: 'secrets', key: 'key' }, query: { 'metadata.version_id': ['', 'x'] } },
  secretBulkGet: { params: { store: 'secrets' } },
  configurationGet: {
    params: { store: 'configuration' },
    query: { key: ['', 'a', 'x'.repeat(3000), 'a&key=a'] },
  },
  configurationSubscribe: { params: { store: 'configuration' }, query: { key: ['', 'a'] } },
  configurationUnsubscribe: { params: { store: 'configuration', id: 'x' } },
  lockTry: { params: { store: 'lock' }, body: { resourceId: 'r', lockOwner: 'o', expiryInSeconds: 5 } },
  lockUnlock: { params: { store: 'lock' }, body: { resourceId: 'r', lockOwner: 'o' } },
  cryptoEncrypt: {
    params: { name: 'crypto' },
    body: 'text',
    headers: {
      'dapr-key-name': ['', 'nowhere', 'key'],
      'dapr-key-wrap-algorithm': ['', 'ROT13', 'A256KW'],
      'dapr-omit-decryption-key-name': ['', 'maybe'],
      'dapr-data-encryption-cipher': ['', 'ROT13'],
      'dapr-decryption-key-name': [''],
    },
  },
  cryptoDecrypt: {
    params: { name: 'crypto' },
    body: 'text',
    headers: { 'dapr-key-name': ['', 'nowhere', 'key'] },
  },
  converse: {
    params: { name: 'echo' },
    body: {
      inputs: [{ content: 'hi', role: 'user', scrubPII: false }],
      temperature: 0.5,
      contextId: 'c',
      scrubPII: false,
      metadata: { a: 'b' },
    },
  },
  converseAlpha2: {
    params: { name: 'echo' },
    body: {
      inputs: [{ messages: [{ ofUser: { name: 'n', content: [{ text: 'hi' }] } }], scrubPii: false }],
      temperature: 0.5,
      contextId: 'c',
      toolChoice: 'auto',
      metadata: { a: 'b' },
    },
  },
  jobSchedule: {
    params: { name: 'j' },
    body: {
      schedule: '@every 1m',
      dueTime: '10s',
      repeats: 2,
      ttl: '10m',
      overwrite: true,
      data: { a: 1 },
      failurePolicy: { constant: { interval: '1s', maxRetries: 2 } },
    },
  },
  jobGet: { params: { name: 'j' } },
  jobDelete: { params: { name: 'j' } },
  metadataSet: { params: { key: 'k' }, body: 'value' },
  actorInvoke: { params: { type: 't', id: 'i', method: 'm' }, body: { a: 1 } },
  actorStateTransaction: {
    params: { type: 't', id: 'i' },
    body: [{ operation: 'upsert', request: { key: 'k', value: 1, metadata: { ttlInSeconds: '1' } } }],
  },
  actorStateGet: { params: { type: 't', id: 'i', key: 'k' } },
  actorReminderRegister: {
    params: { type: 't', id: 'i', name: 'n' },
    body: { dueTime: '1s', period: '1s', ttl: '1m', data: 'x' },
  },
  actorTimerRegister: {
    params: { type: 't', id: 'i', name: 'n' },
    body: { dueTime: '1s', period: '1s', ttl: '1m', callback: 'c', data: 'x' },
  },
  workflowStart: { params: { component: 'dapr', workflow: 'w' }, body: { a: 1 } },
  workflowRaiseEvent: { params: { component: 'dapr', instance: 'i', event: 'e' }, body: { a: 1 } },
  spoolMessages: {
    query: {
      limit: ['', 'many', '-1', '1.5', '99999999'],
      state: ['', 'x'],
      queue: ['', 'x'],
      after: ['', 'x'],
      content: ['maybe'],
    },
  },
  spoolFind: { params: { id: 'x' } },
  spoolRetry: { params: { id: 'x' }, query: { queue: ['', 'x'] } },
  spoolDrop: { params: { id: 'x' } },
};

/** Refused whatever they are asked. */
const DULL = /^subtle/;
/** Would end the process, or wait for an app. */
const LEFT_OUT = new Set(['shutdown', 'health', 'healthOutbound']);

const TYPE = { 'content-type': 'application/json' };

function requestsOf(operation: string, route: HttpRoute, first: boolean): readonly FieldRequest[] {
  const { params = {}, body, query = {}, headers = {} } = SAMPLES[operation] ?? {};
  const method = route.methods[0] === '*' ? 'GET' : (route.methods[0] ?? 'GET');
  const pathWith = (name: string, value: string): string =>
    route.path.replace(/[:*](\w+)/g, (_, found: string) => (found === name ? value : (params[found] ?? 'p')));
  const path = pathWith('', '');
  const valid = body === undefined ? undefined : Buffer.from(JSON.stringify(body));
  const label = first ? operation : `${operation} ${route.path.split('/')[1]}`;
  const one = (what: string, over: Partial<FieldRequest> = {}): FieldRequest => ({
    name: `${label} | ${what}`,
    method,
    path,
    headers: body === undefined ? {} : TYPE,
    body: valid,
    ...over,
  });
  const all = [one('valid')];
  // Another path to the same handler.
  if (!first || DULL.test(operation)) return all;
  for (const name of route.path.match(/(?<=[:*])\w+/g) ?? [])
    for (const value of ['nowhere', ...KEYS])
      all.push(
        one(`${name}: ${value.length > 40 ? 'long' : JSON.stringify(value)}`, {
          path: pathWith(name, value),
        }),
      );
  for (const [name, values] of Object.entries(query))
    for (const value of values)
      all.push(one(`?${name}=${value.length > 40 ? 'long' : value}`, { path: `${path}?${name}=${value}` }));
  for (const [name, values] of Object.entries(headers))
    for (const value of values)
      all.push(
        one(`${name}: ${value.length > 40 ? 'long' : value}`, { headers: { ...TYPE, [name]: value } }),
      );
  if (body !== undefined)
    for (const faulty of faultyBodies(body)) all.push(one(faulty.name, { body: faulty.body }));
  return all;
}

/** All of them, in the order of the table. */
export function httpRequests(): readonly FieldRequest[] {
  return Object.entries(OPERATIONS as Record<string, Operation>)
    .filter(([operation]) => !LEFT_OUT.has(operation))
    .flatMap(([operation, { http }]) =>
      http.flatMap((route, index) => requestsOf(operation, route, index === 0)),
    );
}
