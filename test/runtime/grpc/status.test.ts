import { createRegistry, fromBinary, toJson } from '@bufbuild/protobuf';
import t from 'tap';
import { runtimeError } from '../../../runtime/contracts/error.ts';
import { ERRORS, type ErrorKey } from '../../../runtime/contracts/error-table.ts';
import { type GrpcStatus, GrpcStatusError } from '../../../runtime/contracts/grpc-wire/status.ts';
import { CircuitOpenError, PolicyTimeoutError } from '../../../runtime/contracts/resiliency.ts';
import {
  BadRequestSchema,
  ErrorInfoSchema,
  HelpSchema,
  ResourceInfoSchema,
} from '../../../runtime/generated/google/rpc/error_details_pb.ts';
import { StatusSchema } from '../../../runtime/generated/google/rpc/status_pb.ts';
import { statusOfHttpFailure, statusOfRuntimeError, toGrpcStatus } from '../../../runtime/grpc/status.ts';
import { recordingLogger } from '../../support/recording-logger.ts';

const registry = createRegistry(BadRequestSchema, ErrorInfoSchema, HelpSchema, ResourceInfoSchema);
const ERROR_INFO = 'type.googleapis.com/google.rpc.ErrorInfo';

function detailsOf(status: GrpcStatus): unknown {
  if (status.details === undefined) return undefined;
  const decoded = fromBinary(StatusSchema, status.details);
  t.equal(decoded.code, status.code);
  t.equal(decoded.message, status.message);
  return (toJson(StatusSchema, decoded, { registry }) as { details: unknown }).details;
}

t.test('rich errors carry their details in order', async (t) => {
  const status = statusOfRuntimeError(
    runtimeError('stateIllegalKey', { key: 'a||b', store: 's' }, { info: {} }),
  );
  const text = "input key/keyPrefix 'a||b' can't contain '||'";
  t.match(status, { code: 3, message: text }, 'the text of gRPC, not that of HTTP');
  t.same(detailsOf(status), [
    {
      '@type': 'type.googleapis.com/google.rpc.BadRequest',
      fieldViolations: [{ field: 'a||b', description: `api error: code = InvalidArgument desc = ${text}` }],
    },
    { '@type': 'type.googleapis.com/google.rpc.ResourceInfo', resourceType: 'state', resourceName: 's' },
    { '@type': ERROR_INFO, reason: 'DAPR_STATE_ILLEGAL_KEY', domain: 'dapr.io' },
  ]);
});

t.test('what a policy decided about a proxied call', async (t) => {
  const log = recordingLogger();
  t.match(toGrpcStatus(new PolicyTimeoutError(), log), { code: 4, message: 'context deadline exceeded' });
  const open = new CircuitOpenError('circuit breaker is open');
  t.match(toGrpcStatus(open, log), { code: 2, message: 'circuit breaker is open' });
  t.equal(log.lines.length, 0, 'is nothing unexpected');
});

t.test('a help link', async (t) => {
  const status = statusOfRuntimeError(runtimeError('stateTransactionsNotSupported', { store: 's' }));
  t.match(detailsOf(status), [
    { links: [{ url: /^https:/ }] },
    { resourceName: 's' },
    { reason: 'DAPR_STATE_TRANSACTIONS_NOT_SUPPORTED' },
  ]);
});

t.test('metadata of the ErrorInfo', async (t) => {
  const info = { appID: 'a', namespace: 'default' };
  t.match(detailsOf(statusOfRuntimeError(runtimeError('jobEmpty', {}, { info }))), [
    { reason: 'DAPR_SCHEDULER_EMPTY', metadata: info },
  ]);
  t.same(
    detailsOf(statusOfRuntimeError(runtimeError('stateStoreNotFound', { store: 's' }, { info }))),
    [{ '@type': ERROR_INFO, reason: 'DAPR_STATE_NOT_FOUND', domain: 'dapr.io' }],
    'which HTTP shows and gRPC does not',
  );
});

t.test('basic errors have one ErrorInfo with the older tag', async (t) => {
  const status = statusOfRuntimeError(runtimeError('stateGet', { key: 'k', store: 's', error: 'e' }));
  t.match(status, { code: 13, message: 'fail to get k from state store s: e' });
  t.same(detailsOf(status), [{ '@type': ERROR_INFO, reason: 'ERR_STATE_GET', domain: 'dapr.io' }]);
  t.equal(
    statusOfRuntimeError(runtimeError('stateSave', { store: 's', error: 'e' }, { grpcCode: 10 })).code,
    10,
  );
});

t.test('plain errors, and the short ones of blocks that know no details', async (t) => {
  for (const key of [
    'secretStoreNotFound',
    'unimplemented',
    'lockStoresNotConfigured',
    'crypto',
    'actorNoPlacement',
    'conversationNotFound',
    'badRequest',
  ] as const) {
    t.equal(statusOfRuntimeError(runtimeError(key)).details, undefined, key);
  }
});

t.test('every row of the table has a status', async (t) => {
  for (const key of Object.keys(ERRORS) as ErrorKey[]) {
    const status = statusOfRuntimeError(runtimeError(key));
    t.ok(status.code > 0 && status.code <= 16 && status.message !== '', key);
    if (status.details !== undefined)
      t.equal(fromBinary(StatusSchema, status.details).code, status.code, key);
  }
});

t.test('what is no error of ours', async (t) => {
  const log = recordingLogger();
  t.match(toGrpcStatus(new GrpcStatusError(9, 'x'), log), { code: 9, message: 'x' });
  t.match(toGrpcStatus(new DOMException('stop', 'AbortError'), log), { code: 1 });
  t.match(toGrpcStatus(new DOMException('late', 'TimeoutError'), log), { code: 4 });
  t.same(log.lines, []);
  t.match(toGrpcStatus('oops', log), { code: 13, message: 'internal error' });
  t.equal(log.lines.length, 1);
});

t.test('HTTP failures', async (t) => {
  t.equal(statusOfHttpFailure(204, ''), undefined);
  const status = statusOfHttpFailure(404, `${'é'.repeat(31)}éx`);
  t.match(status, { code: 5, message: 'Not Found' });
  t.same(
    detailsOf(status as GrpcStatus),
    [
      {
        '@type': ERROR_INFO,
        reason: 'Not Found',
        domain: 'dapr.io',
        metadata: { 'http.code': '404', 'http.error_message': `${'é'.repeat(31)}\ufffd` },
      },
    ],
    'the text is cut after 63 bytes',
  );
  t.same(
    [400, 401, 403, 408, 409, 429, 500, 501, 503, 504, 418].map(
      (http) => statusOfHttpFailure(http, '')?.code,
    ),
    [13, 16, 7, 1, 6, 8, 2, 12, 14, 4, 2],
  );
});
