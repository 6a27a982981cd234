import t from 'tap';
import { RuntimeError, runtimeError } from '../../../runtime/contracts/error.ts';
import { ERRORS, type ErrorKey } from '../../../runtime/contracts/error-table.ts';
import { SpoolFullError } from '../../../runtime/contracts/spool.ts';
import { BodyTooLargeError } from '../../../runtime/http/body.ts';
import { errorReply, toRuntimeError } from '../../../runtime/http/error-response.ts';
import { recordingLogger } from '../../support/recording-logger.ts';

t.test('the short form has code and message', async (t) => {
  const { status, headers, body } = errorReply(runtimeError('lockStoreNotFound', { store: 'a<b' }));
  t.equal(status, 400);
  t.strictSame(headers, ['Content-Type', 'application/json']);
  t.equal(body, '{"errorCode":"ERR_LOCK_STORE_NOT_FOUND","message":"lock store a\\u003cb not found"}');
});

t.test('the detailed form sorts the members of each detail and keeps their order', async (t) => {
  const error = runtimeError(
    'pubsubForbidden',
    { topic: 't', appId: 'a', pubsub: 'p' },
    { info: { topic: 't' } },
  );
  t.equal(
    errorReply(error).body,
    '{"errorCode":"ERR_PUBSUB_FORBIDDEN","message":"topic t is not allowed for app id a","details":[' +
      '{"@type":"type.googleapis.com/google.rpc.ResourceInfo","description":"topic t is not allowed for app id a","owner":"","resource_name":"p","resource_type":"pubsub"},' +
      '{"@type":"type.googleapis.com/google.rpc.ErrorInfo","domain":"dapr.io","metadata":{"topic":"t"},"reason":"DAPR_PUBSUB_FORBIDDEN"}]}',
  );
  const query = runtimeError('stateQueryNotSupported', { store: 's' }, { info: null });
  t.match(errorReply(query).body, '"metadata":null');
});

t.test('the reason stands in for a missing code, and metadata travel with the failure', async (t) => {
  t.match(
    errorReply(runtimeError('jobSchedule', { error: 'x' })).body,
    '"errorCode":"DAPR_SCHEDULER_SCHEDULE_JOB"',
  );
  const binding = runtimeError(
    'outputBinding',
    { binding: 'b', error: 'x' },
    { responseMetadata: { status: '404', 'bad name': 'x' } },
  );
  t.strictSame(errorReply(binding).headers, ['Content-Type', 'application/json', 'metadata.status', '404']);
});

t.test('every row of the table can be rendered', async (t) => {
  for (const key of Object.keys(ERRORS) as ErrorKey[]) {
    const error = runtimeError(key, {});
    const { status, body } = errorReply(error);
    t.equal(JSON.parse(String(body)).errorCode, error.errorCode, key);
    t.equal(status, error.row.http, key);
  }
});

t.test('what nobody foresaw is logged and stays off the wire', async (t) => {
  const log = recordingLogger();
  const error = toRuntimeError(new TypeError('secret detail'), log);
  t.ok(error instanceof RuntimeError);
  t.equal(error.errorCode, 'ERROR');
  t.notMatch(errorReply(error).body, /secret/);
  t.equal(log.lines[0]?.fields['error'], 'secret detail');
  t.equal(toRuntimeError(new BodyTooLargeError(), log).errorCode, 'ERR_BODY_READ');
  t.equal(toRuntimeError(new SpoolFullError(), log).httpStatus, 429);
  t.equal(toRuntimeError(Object.assign(new Error(), { name: 'AbortError' }), log).httpStatus, 408);
  t.equal(toRuntimeError(Object.assign(new Error(), { name: 'TimeoutError' }), log).httpStatus, 504);
  t.equal(log.lines.length, 1);
});
