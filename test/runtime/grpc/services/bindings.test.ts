import t from 'tap';
import { runtimeError } from '../../../../runtime/contracts/error.ts';
import {
  InvokeBindingRequestSchema,
  InvokeBindingResponseSchema,
} from '../../../../runtime/generated/dapr/proto/runtime/v1/binding_pb.ts';
import { daprCall } from '../../../support/dapr-calls.ts';
import { startDapr } from '../../../support/fake-blocks.ts';

const call = (
  server: Parameters<typeof daprCall>[0],
  request: object,
  metadata: Record<string, string> = {},
) =>
  daprCall(
    server,
    'InvokeBinding',
    InvokeBindingRequestSchema,
    InvokeBindingResponseSchema,
    request,
    metadata,
  );

t.test('metadata of the call joins that of the request, without taking its place', async (t) => {
  let seen: Readonly<Record<string, string>> = {};
  const server = await startDapr(t, {
    bindings: {
      invoke: async (_name, request) => {
        seen = request.metadata;
        return { data: Buffer.from('out'), metadata: { statusCode: '200', 'X-B': 'yes' } };
      },
    },
  });
  const traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
  const answer = await call(
    server,
    { name: 'b', operation: 'create', metadata: { path: '/x', 'x-mine': 'request' } },
    { 'x-mine': 'call', 'x-other': 'o', traceparent },
  );
  t.match(answer.message, { data: Buffer.from('out'), metadata: { statusCode: '200', 'X-B': 'yes' } });
  t.same(answer.headers?.get('metadata.x-b'), ['yes']);
  t.match(seen, {
    path: '/x',
    'x-mine': 'request',
    'x-other': 'o',
    traceparent,
    'content-type': 'application/grpc',
    'dapr-authority': /127/,
    'dapr-grpc-accept-encoding': /gzip/,
  });
});

t.test('a component that answers nothing', async (t) => {
  const server = await startDapr(t, { bindings: { invoke: async () => undefined } });
  t.match(await call(server, { name: 'b', operation: 'create' }), { code: 0, message: { metadata: {} } });
});

t.test('a failure can tell more in header metadata', async (t) => {
  const server = await startDapr(t, {
    bindings: {
      invoke: () =>
        Promise.reject(
          runtimeError(
            'outputBinding',
            { binding: 'b', error: 'e' },
            { responseMetadata: { statusCode: '500' } },
          ),
        ),
    },
  });
  const answer = await call(server, { name: 'b', operation: 'create' });
  t.match(answer, { code: 13, text: 'error invoking output binding b: e' });
  t.same(answer.headers?.get('metadata.statuscode'), ['500']);
});
