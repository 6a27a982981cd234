/** Output bindings over HTTP and over gRPC (HTTP reference 9.1, gRPC reference 2.5). */

import t from 'tap';
import { BindingError, type BindingRequest } from '../../runtime/contracts/binding.ts';
import {
  InvokeBindingRequestSchema,
  InvokeBindingResponseSchema,
} from '../../runtime/generated/dapr/proto/runtime/v1/binding_pb.ts';
import { loaded } from '../support/block-rig.ts';
import { daprCall } from '../support/dapr-calls.ts';
import { failure, httpOutcome, type ParityCase, type ParityRequest, runCases } from './support/cases.ts';
import { grpcOutcome, utf8 } from './support/grpc-call.ts';
import { metadataHeaders } from './support/http-client.ts';
import { startParity } from './support/rig.ts';

let seen: unknown;

/** Answers by operation, and keeps what it was asked. */
const echo = loaded('bindings', 'echo', {
  operations: ['create', 'silent', 'empty', 'fail'],
  invoke: async ({ operation, data, metadata }: BindingRequest) => {
    const { traceparent, mine } = metadata;
    seen = { operation, data: utf8(data), mine, traceparent };
    if (operation === 'silent') return undefined;
    if (operation === 'empty') return { metadata: { marked: 'yes' } };
    if (operation === 'fail')
      throw new BindingError('the far side said 503', { metadata: { statuscode: '503' } });
    return { data, metadata: { marked: 'yes' } };
  },
});
const inputOnly = loaded('bindings', 'input', {
  operations: [],
  read: async () => ({ close: async () => {} }),
});
const rig = await startParity(t, { components: () => [echo, inputOnly] });

interface Invoke {
  readonly name?: string;
  readonly operation?: string;
  /** JSON text. */
  readonly json?: string;
  readonly metadata?: Record<string, string>;
  readonly traceparent?: string;
}

function invoke(request: Invoke): ParityRequest {
  const { name = 'echo', operation = 'create', json, metadata = {}, traceparent } = request;
  const trace: Record<string, string> = traceparent === undefined ? {} : { traceparent };
  return {
    http: () => {
      const rest = JSON.stringify({ operation, metadata });
      const body = json === undefined ? rest : `${rest.slice(0, -1)},"data":${json}}`;
      return httpOutcome(
        rig.http.send({ method: 'POST', path: `/v1.0/bindings/${name}`, headers: trace, body }),
        (answer) => ({ asked: seen, data: answer.text, metadata: metadataHeaders(answer) }),
      );
    },
    grpc: () =>
      grpcOutcome(
        rig.grpc,
        'InvokeBinding',
        [InvokeBindingRequestSchema, InvokeBindingResponseSchema],
        { name, operation, metadata, data: Buffer.from(json ?? '') },
        (message) => ({ asked: seen, data: utf8(message.data), metadata: message.metadata }),
        trace,
      ),
  };
}

const TRACE = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
const ZERO = '00-00000000000000000000000000000000-0000000000000000-00';
const asked = (more: object) => ({
  operation: 'create',
  data: '',
  mine: undefined,
  traceparent: ZERO,
  ...more,
});
const marked = { marked: 'yes' };
const failed = (name: string, text: string) =>
  failure(
    [500, 'ERR_INVOKE_OUTPUT_BINDING'],
    ['Internal', 'ERR_INVOKE_OUTPUT_BINDING'],
    `error invoking output binding ${name}: ${text}`,
  );

const cases: readonly ParityCase[] = [
  {
    name: 'data and metadata go in and come out',
    request: invoke({ json: '{"n":1}', metadata: { mine: 'm' } }),
    http: { status: 200 },
    grpc: { code: 'OK' },
    same: { asked: asked({ data: '{"n":1}', mine: 'm' }), data: '{"n":1}', metadata: marked },
  },
  {
    name: 'a text keeps its quotes',
    request: invoke({ json: '"text"' }),
    http: { status: 200 },
    grpc: { code: 'OK' },
    same: { asked: asked({ data: '"text"' }), data: '"text"', metadata: marked },
  },
  {
    name: 'no data is null over HTTP and nothing over gRPC',
    request: invoke({}),
    http: { status: 200, value: { asked: asked({ data: 'null' }), data: 'null', metadata: marked } },
    grpc: { code: 'OK', value: { asked: asked({ data: '' }), data: '', metadata: marked } },
  },
  {
    name: 'the trace of the call',
    request: invoke({ json: '1', traceparent: TRACE }),
    http: { status: 200 },
    grpc: { code: 'OK' },
    same: { asked: asked({ data: '1', traceparent: TRACE }), data: '1', metadata: marked },
  },
  {
    name: 'an answer without data',
    request: invoke({ operation: 'empty', json: '1' }),
    http: { status: 200 },
    grpc: { code: 'OK' },
    same: { asked: asked({ operation: 'empty', data: '1' }), data: '', metadata: marked },
  },
  {
    name: 'no answer',
    request: invoke({ operation: 'silent', json: '1' }),
    http: { status: 204 },
    grpc: { code: 'OK' },
    same: { asked: asked({ operation: 'silent', data: '1' }), data: '', metadata: {} },
  },
  {
    name: 'an unknown binding',
    request: invoke({ name: 'nope' }),
    ...failed('nope', "couldn't find output binding nope"),
  },
  {
    name: 'a binding that only reads',
    request: invoke({ name: 'input' }),
    ...failed('input', "couldn't find output binding input"),
  },
  {
    name: 'no operation',
    request: invoke({ operation: '' }),
    ...failed('echo', 'operation field is missing from request'),
  },
  {
    name: 'an operation that the binding does not have',
    request: invoke({ operation: 'erase' }),
    ...failed(
      'echo',
      'binding echo does not support operation erase. supported operations:create silent empty fail',
    ),
  },
  {
    name: 'a component that fails',
    request: invoke({ operation: 'fail', json: '1' }),
    ...failed('echo', 'the far side said 503'),
  },
];

runCases(t, cases, () => {
  seen = undefined;
});

t.test('metadata of an answer are headers on both, of a failure too', async (t) => {
  for (const [operation, name, value] of [
    ['create', 'metadata.marked', 'yes'],
    ['fail', 'metadata.statuscode', '503'],
  ] as const) {
    const body = JSON.stringify({ operation });
    const sent = await rig.http.send({ method: 'POST', path: '/v1.0/bindings/echo', body });
    t.equal(sent.headers[name], value, `${operation} over HTTP`);
    const schemas = [InvokeBindingRequestSchema, InvokeBindingResponseSchema] as const;
    const called = await daprCall(rig.grpc, 'InvokeBinding', ...schemas, { name: 'echo', operation });
    t.strictSame(called.headers?.get(name), [value], `${operation} over gRPC`);
  }
});
