import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { AnySchema } from '@bufbuild/protobuf/wkt';
import t from 'tap';
import type { InvokeRequest, InvokeResponse } from '../../../../runtime/contracts/app-channel.ts';
import { bytesBody } from '../../../../runtime/contracts/body.ts';
import { runtimeError } from '../../../../runtime/contracts/error.ts';
import { CircuitOpenError, PolicyTimeoutError } from '../../../../runtime/contracts/resiliency.ts';
import {
  HTTPExtension_Verb,
  InvokeResponseSchema,
} from '../../../../runtime/generated/dapr/proto/common/v1/common_pb.ts';
import { InvokeServiceRequestSchema } from '../../../../runtime/generated/dapr/proto/runtime/v1/invoke_pb.ts';
import { StatusSchema } from '../../../../runtime/generated/google/rpc/status_pb.ts';
import { daprCall } from '../../../support/dapr-calls.ts';
import { startDapr } from '../../../support/fake-blocks.ts';

interface Test {
  teardown(run: () => unknown): void;
}
const TRACEPARENT = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
const body = (text: string) => bytesBody(Buffer.from(text));

/** Calls through a block that answers `response`. */
async function invoke(
  t: Test,
  response: Partial<InvokeResponse>,
  message: object,
  metadata: Record<string, string> = {},
) {
  const seen: { id?: string; request?: InvokeRequest } = {};
  const server = await startDapr(t, {
    invoke: {
      invoke: async ({ id }, request) => {
        Object.assign(seen, { id, request });
        return { status: 200, grpc: false, headers: [], body: body(''), ...response };
      },
    },
  });
  const answer = await daprCall(
    server,
    'InvokeService',
    InvokeServiceRequestSchema,
    InvokeResponseSchema,
    { id: 'app2', message },
    metadata,
  );
  return { answer, ...seen };
}

t.test('the request', async (t) => {
  const { id, request } = await invoke(
    t,
    {},
    {
      method: '/a b/c',
      data: { value: Buffer.from('x') },
      contentType: 'text/plain',
      httpExtension: { verb: HTTPExtension_Verb.PUT, querystring: 'q=1' },
    },
    { 'x-mine': 'm', traceparent: 'dropped' },
  );
  t.match(request, {
    method: 'a%20b/c',
    verb: 'PUT',
    query: 'q=1',
    contentType: 'text/plain',
    body: { bytes: Buffer.from('x') },
  });
  t.equal(id, 'app2');
  const headers = new Map(request?.headers);
  t.match(
    headers,
    new Map([
      ['x-mine', 'm'],
      ['dapr-authority', /127/],
    ] as [string, unknown][]),
  );
  t.notOk(headers.has('traceparent') || headers.has('content-type'));
});

t.test(
  'a method is a URL for HTTP apps and a text for gRPC apps; the query is passed on as it is',
  async (t) => {
    const { request } = await invoke(
      t,
      { status: 200 },
      { method: '/a%2Fb/c d%', httpExtension: { verb: 1, querystring: '?q' } },
    );
    t.match(request, { method: 'a%2Fb/c%20d%25', plainMethod: '/a%2Fb/c d%', query: '?q' });
  },
);

t.test('a packed message keeps its type, and its content type', async (t) => {
  const typeUrl = 'type.googleapis.com/x.Y';
  const { answer, request } = await invoke(
    t,
    { grpc: true, status: 0, dataTypeUrl: typeUrl, contentType: 'a/b', body: body('p') },
    { method: 'm', contentType: 'c/d', data: { typeUrl, value: Buffer.from('p') } },
  );
  t.match(request, { dataTypeUrl: typeUrl, contentType: 'c/d', verb: '' });
  t.match(answer.message, { contentType: 'a/b', data: { typeUrl, value: Buffer.from('p') } });
});

t.test('the answer of an HTTP app', async (t) => {
  const { answer } = await invoke(
    t,
    {
      headers: [
        ['X-App', 'yes'],
        ['Date', 'now'],
        ['Content-Length', '2'],
        ['traceparent', '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'],
      ],
      contentType: 'application/json',
      body: body('{}'),
    },
    { method: 'm' },
  );
  t.match(answer, {
    code: 0,
    message: { contentType: 'application/json', data: { value: Buffer.from('{}') } },
  });
  const header = (name: string) => answer.headers?.get(name)[0];
  t.equal(header('x-app'), 'yes');
  t.equal(header('dapr-date'), 'now');
  t.equal(header('dapr-content-type'), 'application/json');
  t.equal(header('dapr-http-status'), '200');
  t.match(
    header('grpc-trace-bin'),
    Buffer.from('00000af7651916cd43dd8448eb211c80319c01b7ad6b71692033310201', 'hex'),
  );
});

t.test('a failed HTTP app becomes a status', async (t) => {
  const { answer } = await invoke(t, { status: 404, body: body('nope') }, { method: 'm' });
  t.match(answer, { code: 5, text: 'Not Found' });
  t.same(answer.headers?.get('dapr-http-status'), ['404']);
});

t.test('a failed gRPC app: code, text, details and trailers pass', async (t) => {
  const detail = toBinary(AnySchema, create(AnySchema, { typeUrl: 'x/y', value: Buffer.from('d') }));
  const { answer } = await invoke(
    t,
    { grpc: true, status: 9, message: 'no', trailers: [['x-tail', '1']], statusDetails: [detail] },
    { method: 'm' },
  );
  t.match(answer, { code: 9, text: 'no' });
  t.same(answer.trailers.get('x-tail'), ['1']);
  const traced = await invoke(t, { grpc: true, status: 0 }, { method: 'm' }, { traceparent: TRACEPARENT });
  t.same(traced.answer.trailers.get('traceparent'), [TRACEPARENT], 'the trace is at both ends of the answer');
  const [bytes] = answer.trailers.get('grpc-status-details-bin');
  t.match(fromBinary(StatusSchema, bytes as Buffer), {
    code: 9,
    message: 'no',
    details: [{ typeUrl: 'x/y', value: Buffer.from('d') }],
  });
});

t.test('the verdict of a policy is told as it is, other failures as failed invocations', async (t) => {
  const failing = async (cause: Error) => {
    const server = await startDapr(t, {
      invoke: {
        invoke: () =>
          Promise.reject(runtimeError('directInvoke', { appId: 'a', error: cause.message }, { cause })),
      },
    });
    const request = { id: 'a', message: { method: 'm' } };
    return daprCall(server, 'InvokeService', InvokeServiceRequestSchema, InvokeResponseSchema, request);
  };
  t.match(await failing(new PolicyTimeoutError()), { code: 4, text: 'context deadline exceeded' });
  t.match(await failing(new CircuitOpenError('circuit breaker is open')), {
    code: 2,
    text: 'circuit breaker is open',
  });
  t.match(await failing(new Error('gone')), { code: 13, text: 'failed to invoke, id: a, err: gone' });
});
