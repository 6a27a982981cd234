/**
 * Invocation over HTTP and by `InvokeService`: the app sees the same request; its answer reaches an HTTP caller as it
 * is and a gRPC caller as message or status (HTTP reference 10, gRPC reference 2.1).
 */

import t from 'tap';
import type { HeaderList, InvokeRequest, InvokeResponse } from '../../runtime/contracts/app-channel.ts';
import { bytesBody } from '../../runtime/contracts/body.ts';
import { PeerError } from '../../runtime/contracts/peer.ts';
import type { SpoolMessage } from '../../runtime/contracts/spool.ts';
import {
  InvokeResponseSchema,
  HTTPExtension_Verb as Verb,
} from '../../runtime/generated/dapr/proto/common/v1/common_pb.ts';
import { InvokeServiceRequestSchema } from '../../runtime/generated/dapr/proto/runtime/v1/invoke_pb.ts';
import { failure, type HttpOutcome, type ParityCase, type ParityRequest, runCases } from './support/cases.ts';
import { grpcOutcome, utf8 } from './support/grpc-call.ts';
import { startParity } from './support/rig.ts';

/** What the app was asked, without what belongs to one of the protocols. */
interface Seen {
  readonly method: string;
  readonly verb: string;
  readonly query: string;
  readonly contentType: string;
  readonly own: readonly (readonly [string, string])[];
  readonly body: string;
}
let seen: Seen | undefined;
let answer: Partial<InvokeResponse> = {};
let healthy = true;

async function app(request: InvokeRequest): Promise<InvokeResponse> {
  const { method, verb, query, contentType = '', headers, body } = request;
  const own = headers
    .map(([name, value]) => [name.toLowerCase(), value] as const)
    .filter(([name]) => name.startsWith('x-'));
  seen = { method, verb, query, contentType, own, body: utf8(body.bytes ?? new Uint8Array()) };
  return { status: 200, grpc: false, headers: [], body: bytesBody(new Uint8Array()), ...answer };
}

let room = true;
async function queue({ payload, headers }: SpoolMessage): Promise<string> {
  if (!room) throw new Error('the queue app/invoke is full');
  const { method = '', verb = '', query = '', contentType = '' } = headers;
  const own = JSON.parse(headers['headers'] ?? '[]') as HeaderList;
  await app({ method, verb, query, contentType, headers: own, body: bytesBody(payload) });
  return '0190-7';
}

const rig = await startParity(t, {
  queue,
  app: { protocol: 'http', invoke: app },
  invoke: {
    appHealth: {
      get healthy() {
        return healthy;
      },
    },
    resolver: () => ({
      init: async () => {},
      close: async () => {},
      register: async () => ({ close: async () => {} }),
      resolve: async ({ appId }) => {
        if (appId === 'nobody') throw new Error("couldn't find service: nobody");
        return `${appId}:1`;
      },
    }),
    peers: {
      call: async () => {
        throw new PeerError(7, 'access control policy has denied access to id: app');
      },
      close: async () => {},
    },
  },
});

interface Invoke {
  readonly id?: string;
  /** Plain text, as gRPC callers write it. */
  readonly method?: string;
  readonly verb?: Exclude<keyof typeof Verb, 'NONE'>;
  readonly query?: string;
  readonly contentType?: string;
  readonly headers?: Record<string, string>;
  readonly body?: string;
}

function invoke(request: Invoke): ParityRequest {
  const {
    id = 'app',
    method = 'm',
    verb = 'POST',
    query = '',
    contentType = '',
    headers,
    body = '',
  } = request;
  return {
    http: async (): Promise<HttpOutcome> => {
      const path = `/v1.0/invoke/${id}/method/${method.split('/').map(encodeURIComponent).join('/')}`;
      const reply = await rig.http.send({
        method: verb,
        path: query === '' ? path : `${path}?${query}`,
        headers: { ...headers, ...(contentType === '' ? {} : { 'content-type': contentType }) },
        ...(body === '' ? {} : { body }),
      });
      const { status, text } = reply;
      if (seen === undefined) return { status, ...JSON.parse(text) };
      const {
        'content-type': type,
        'x-answer': answered,
        'skerry-message-id': mark = answered,
      } = reply.headers;
      return { status, value: { asked: seen, got: { body: text, type, mark } } };
    },
    grpc: () =>
      grpcOutcome(
        rig.grpc,
        'InvokeService',
        [InvokeServiceRequestSchema, InvokeResponseSchema],
        {
          id,
          message: {
            method,
            contentType,
            data: { value: Buffer.from(body) },
            httpExtension: { verb: Verb[verb], querystring: query },
          },
        },
        ({ data, contentType }, { headers }) => {
          const mark = (headers?.get('skerry-message-id')[0] ?? headers?.get('x-answer')[0])?.toString();
          return {
            asked: seen,
            got: { body: utf8(data?.value ?? new Uint8Array()), type: contentType, mark },
          };
        },
        headers,
      ),
  };
}

const answering = (given: Partial<InvokeResponse>) => (): void => {
  answer = given;
};
const reset = (): void => {
  seen = undefined;
  answer = {};
  healthy = true;
  room = true;
};
const asked = (more: Partial<Seen> = {}): Seen => ({
  method: 'm',
  verb: 'POST',
  query: '',
  contentType: '',
  own: [],
  body: '',
  ...more,
});
const text = (status: number, body: string, contentType = 'text/plain'): Partial<InvokeResponse> => ({
  status,
  contentType,
  headers: [['X-Answer', 'yes']],
  body: bytesBody(Buffer.from(body)),
});
const got = (body: string, type = 'text/plain') => ({ body, type, mark: 'yes' });
/** A failure that the app itself answers: HTTP passes it on, gRPC makes it a status. */
const appFailure = (status: number, code: string, reason: string): ParityCase => ({
  name: `the app answers ${status}`,
  given: answering(text(status, 'no')),
  request: invoke({}),
  http: { status, value: { asked: asked(), got: got('no') } },
  grpc: { code, reason, message: reason },
});
const refused = (id: string, text: string) =>
  failure([500, 'ERR_DIRECT_INVOKE'], ['Internal'], `failed to invoke, id: ${id}, err: ${text}`);

const cases: readonly ParityCase[] = [
  {
    name: 'a call that may wait',
    request: invoke({
      id: 'away',
      method: 'pay',
      verb: 'PUT',
      query: 'q=1',
      contentType: 'application/json',
      headers: { 'skerry-queue': 'true', 'x-mine': 'm' },
      body: '{"a":1}',
    }),
    http: { status: 202 },
    grpc: { code: 'OK' },
    same: {
      asked: asked({
        method: 'pay',
        verb: 'PUT',
        query: 'q=1',
        contentType: 'application/json',
        own: [['x-mine', 'm']],
        body: '{"a":1}',
      }),
      got: { body: '{"id":"0190-7"}\n', type: 'application/json', mark: '0190-7' },
    },
  },
  {
    name: 'a call that may wait, and no room for it',
    given: () => {
      room = false;
    },
    request: invoke({ headers: { 'skerry-queue': 'true' } }),
    ...failure(
      [500, 'ERR_DIRECT_INVOKE'],
      ['Internal'],
      'failed to invoke, id: app, err: the queue app/invoke is full',
    ),
  },
  {
    name: 'a call that does not ask for it does not wait',
    given: answering(text(200, 'ok')),
    request: invoke({ headers: { 'skerry-queue': 'false' } }),
    http: { status: 200 },
    grpc: { code: 'OK' },
    same: { asked: asked(), got: got('ok') },
  },
  {
    name: 'everything that a request has',
    given: answering(text(200, '{"b":2}', 'application/json')),
    request: invoke({
      method: 'a/b',
      verb: 'PUT',
      query: 'q=1&r=%20x&q=2',
      contentType: 'application/json',
      headers: { 'x-mine': 'm' },
      body: '{"a":1}',
    }),
    http: { status: 200 },
    grpc: { code: 'OK' },
    same: {
      asked: asked({
        method: 'a/b',
        verb: 'PUT',
        query: 'q=1&r=%20x&q=2',
        contentType: 'application/json',
        own: [['x-mine', 'm']],
        body: '{"a":1}',
      }),
      got: got('{"b":2}', 'application/json'),
    },
  },
  ...(['GET', 'DELETE', 'PATCH', 'OPTIONS'] as const).map(
    (verb): ParityCase => ({
      name: `the verb ${verb}`,
      given: answering(text(200, 'ok')),
      request: invoke({ verb }),
      http: { status: 200 },
      grpc: { code: 'OK' },
      same: { asked: asked({ verb }), got: got('ok') },
    }),
  ),
  {
    name: 'a method with characters that a URL escapes',
    given: answering(text(200, 'ok')),
    request: invoke({ method: 'a b/ä' }),
    http: { status: 200 },
    grpc: { code: 'OK' },
    same: { asked: asked({ method: 'a%20b/%C3%A4' }), got: got('ok') },
  },
  {
    name: 'a method with dot segments',
    given: answering(text(200, 'ok')),
    request: invoke({ method: 'a/../b/./c' }),
    http: { status: 200 },
    grpc: { code: 'OK' },
    same: { asked: asked({ method: 'b/c' }), got: got('ok') },
  },
  {
    name: 'a success other than 200 is a gRPC success',
    given: answering(text(201, 'made')),
    request: invoke({}),
    http: { status: 201 },
    grpc: { code: 'OK' },
    same: { asked: asked(), got: got('made') },
  },
  appFailure(302, 'Unknown', 'Found'),
  appFailure(400, 'Internal', 'Bad Request'),
  appFailure(403, 'PermissionDenied', 'Forbidden'),
  appFailure(404, 'NotFound', 'Not Found'),
  appFailure(409, 'AlreadyExists', 'Conflict'),
  appFailure(500, 'Unknown', 'Internal Server Error'),
  appFailure(503, 'Unavailable', 'Service Unavailable'),
  {
    name: 'a gRPC app that succeeds',
    given: answering({ ...text(0, 'ok'), grpc: true }),
    request: invoke({}),
    http: { status: 200 },
    grpc: { code: 'OK' },
    same: { asked: asked(), got: got('ok') },
  },
  {
    name: 'a gRPC app that fails keeps its code; HTTP sees the status as JSON',
    given: answering({ status: 5, grpc: true, message: 'no such order' }),
    request: invoke({}),
    http: {
      status: 404,
      value: {
        asked: asked(),
        got: {
          body: '{"code":5,"message":"no such order"}',
          type: 'text/plain; charset=utf-8',
          mark: undefined,
        },
      },
    },
    grpc: { code: 'NotFound', message: 'no such order' },
  },
  {
    name: 'an app that nobody knows',
    request: invoke({ id: 'nobody' }),
    ...refused('nobody', "couldn't find service: nobody"),
  },
  {
    name: 'an id with two dots',
    request: invoke({ id: 'a.b.c' }),
    ...refused('a.b.c', 'invalid app id a.b.c'),
  },
  {
    name: 'an app that is not healthy',
    given: () => {
      healthy = false;
    },
    request: invoke({}),
    ...refused('app', 'rpc error: code = Internal desc = app is not in a healthy state'),
  },
  {
    name: 'a method with a forbidden character',
    request: invoke({ method: 'a?b' }),
    ...refused(
      'app',
      'rpc error: code = InvalidArgument desc = invalid method: method contains forbidden character: "a?b"',
    ),
  },
  {
    name: 'a method with a control character',
    request: invoke({ method: 'a\u0001b' }),
    ...refused(
      'app',
      'rpc error: code = InvalidArgument desc = invalid method: method contains control character at position 1: "a\\x01b"',
    ),
  },
  {
    name: 'access control of the callee refuses; over gRPC every failed invocation is Internal',
    request: invoke({ id: 'far' }),
    ...failure(
      [403, 'ERR_DIRECT_INVOKE'],
      ['Internal'],
      'failed to invoke, id: far, err: rpc error: code = PermissionDenied desc = access control policy has denied access to id: app',
    ),
  },
];

runCases(t, cases, reset);

t.test('the gRPC caller learns the HTTP status and the text of the app', async (t) => {
  reset();
  answer = text(418, 'short and stout');
  const { details } = await invoke({}).grpc();
  t.match(details, [
    { metadata: { 'http.code': '418', 'http.error_message': 'short and stout' }, reason: "I'm a teapot" },
  ]);
});

t.test('without an app', async (t) => {
  const none = await startParity(t);
  const message = 'failed to invoke, id: app, err: cannot invoke local endpoint: app channel not initialized';
  const sent = await none.http.send({ path: '/v1.0/invoke/app/method/m' });
  t.strictSame([sent.status, JSON.parse(sent.text)], [500, { errorCode: 'ERR_DIRECT_INVOKE', message }]);
  const schemas = [InvokeServiceRequestSchema, InvokeResponseSchema] as const;
  const called = await grpcOutcome(none.grpc, 'InvokeService', schemas, {
    id: 'app',
    message: { method: 'm' },
  });
  t.strictSame(called, { code: 'Internal', message, details: [] });
});
