import t from 'tap';
import { createApiLog } from '../../../runtime/http/api-log.ts';
import type { ApiRequest } from '../../../runtime/http/api-request.ts';
import { recordingLogger } from '../../support/recording-logger.ts';

const request = (operation: string) =>
  ({
    operation,
    method: 'GET',
    rawPath: '/v1.0/state/s/secret',
    header: () => 'tester',
  }) as unknown as ApiRequest;

t.test('one line per call with status, size and duration', async (t) => {
  const log = recordingLogger();
  createApiLog(log, { enabled: true, obfuscateUrls: false, omitHealthChecks: true })?.(
    request('stateGet'),
    200,
    7,
    1.5,
  );
  createApiLog(log, { enabled: true, obfuscateUrls: true, omitHealthChecks: true })?.(
    request('stateGet'),
    200,
    7,
    1.5,
  );
  createApiLog(log, { enabled: true, obfuscateUrls: false, omitHealthChecks: true })?.(
    request('health'),
    204,
    0,
    0,
  );
  createApiLog(log, { enabled: true, obfuscateUrls: false, omitHealthChecks: true })?.(
    request(''),
    404,
    0,
    0,
  );
  t.strictSame(
    log.lines.map(({ fields }) => fields),
    [
      { method: 'GET /v1.0/state/s/secret', code: 200, size: 7, duration: 1, useragent: 'tester' },
      { method: 'GetState', code: 200, size: 7, duration: 1, useragent: 'tester' },
    ],
  );
  t.equal(createApiLog(log, { enabled: false, obfuscateUrls: false, omitHealthChecks: false }), undefined);
});
