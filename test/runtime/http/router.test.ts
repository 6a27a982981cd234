import t from 'tap';
import type { HttpOperationKey } from '../../../runtime/contracts/operations.ts';
import { OPERATIONS } from '../../../runtime/contracts/operations.ts';
import type { ApiAccessRule } from '../../../runtime/contracts/resource.ts';
import type { ApiRequest } from '../../../runtime/http/api-request.ts';
import type { Reply } from '../../../runtime/http/respond.ts';
import { createRouter, type HttpHandlers } from '../../../runtime/http/router.ts';

/** Handlers that answer with their own name and the parameters they got. */
const handlers = Object.fromEntries(
  Object.keys(OPERATIONS).map((key) => [
    key,
    (request: ApiRequest): Reply => ({ status: 200, headers: [], body: [key, ...request.params].join(' ') }),
  ]),
) as unknown as HttpHandlers;

const rule = (name: string, version: string, protocol = 'http'): ApiAccessRule => ({
  name,
  version,
  protocol,
});

function router(
  allowed: readonly ApiAccessRule[] = [],
  denied: readonly ApiAccessRule[] = [],
  only?: readonly HttpOperationKey[],
) {
  const route = createRouter({
    handlers,
    access: { allowed, denied },
    ...(only === undefined ? {} : { only }),
  });
  return async (method: string, path: string): Promise<string> => {
    const { status, headers, body } = await route({ method, path } as ApiRequest);
    return status === 200
      ? String(body)
      : [status, ...headers.filter((_, i) => headers[i & ~1] === 'Allow' && i % 2 === 1)].join(' ');
  };
}

t.test('literal segments go before parameters, but only with the verb', async (t) => {
  const at = router();
  const cases: readonly (readonly [string, string])[] = [
    ['GET /v1.0/state/s/k', 'stateGet s k'],
    ['POST /v1.0/state/s/bulk', 'stateBulkGet s'],
    ['GET /v1.0/state/s/bulk', 'stateGet s bulk'],
    ['DELETE /v1.0/state/s/transaction', 'stateDelete s transaction'],
    ['POST /v1.0/publish/ps/a/b', 'publish ps a/b'],
    ['POST /v1.0/publish/bulk/ps/a', 'publishBulk ps a'],
    ['POST /v1.0/publish/bulk/ps', 'publish bulk ps'],
    ['POST /v1.0/workflows/dapr/wf/start', 'workflowStart dapr wf'],
    ['POST /v1.0/workflows/dapr/i/pause', 'workflowPause dapr i'],
    ['POST /v1.0-beta1/workflows/dapr/i/raiseEvent/e', 'workflowRaiseEvent dapr i e'],
    ['GET /v1.0/configuration/c/subscribe', 'configurationSubscribe c'],
    ['GET /v1.0/configuration/c/id/unsubscribe', 'configurationUnsubscribe c id'],
    ['GET /v1.0/healthz/outbound', 'healthOutbound'],
    ['GET /v1.0/state/s/a%2Fb+c', 'stateGet s a/b c'],
  ];
  for (const [given, wanted] of cases) {
    const [method = '', path = ''] = given.split(' ');
    t.equal(await at(method, path), wanted, given);
  }
});

t.test('whatever no route takes is an invocation', async (t) => {
  const at = router();
  for (const given of [
    'GET /',
    'GET /v1.0',
    'PATCH /v1.0/state/s',
    'POST /v1.0/publish/ps',
    'GET /v1.0/invoke/a/method/b',
    'HEAD /v1.0/healthz',
  ]) {
    const [method = '', path = ''] = given.split(' ');
    t.equal(await at(method, path), 'invoke', given);
  }
});

t.test('without invocation the router answers itself', async (t) => {
  const at = router([rule('state', 'v1')]);
  t.equal(await at('GET', '/unknown'), '404');
  t.equal(await at('GET', '/v1.0/metadata'), '404');
  t.equal(await at('GET', '/v1.0/invoke/a/method/b'), '404');
  t.equal(await at('GET', '/v1.0/state/s'), '405 POST PUT');
  t.equal(await at('GET', '/v1.0/state/s/k'), 'stateGet s k');
  t.equal(await at('GET', '/v1.0/healthz'), 'health');
  t.equal(await at('POST', '/v1.0-alpha1/state/s/query'), '404');
});

t.test('rules count for their group, version and protocol', async (t) => {
  const at = router(
    [],
    [
      rule('publish', 'v1', 'HTTP'),
      rule('secrets', 'v1', ''),
      rule('bindings', 'v1', 'grpc'),
      rule('healthz', 'v1'),
    ],
  );
  t.equal(await at('POST', '/v1.0/publish/ps/a'), 'invoke');
  t.equal(await at('POST', '/v1.0-alpha1/publish/bulk/ps/a'), 'publishBulk ps a');
  t.equal(await at('GET', '/v1.0/secrets/s/k'), 'secretGet s k');
  t.equal(await at('POST', '/v1.0/bindings/b'), 'bindingInvoke b');
  t.equal(await at('GET', '/v1.0/healthz'), 'health');
});

t.test('older rules name the beginning of a route', async (t) => {
  const at = router([], [rule('state/{storeName}/bulk', 'v1.0')]);
  t.equal(await at('POST', '/v1.0/state/s/bulk'), 'invoke');
  t.equal(await at('POST', '/v1.0/state/s'), 'stateSave s');
});

t.test('a server with few operations has no fallback', async (t) => {
  const at = router([], [], ['metadataGet', 'health']);
  t.equal(await at('POST', '/v1.0/metadata'), '405 GET');
  t.equal(await at('GET', '/v1.0/metadata'), 'metadataGet');
  t.equal(await at('GET', '/v1.0/secrets/a/b'), '404');
});
