import t from 'tap';
import { createHttpMetrics } from '../../../runtime/http/http-metrics.ts';
import { createMetricLabels, pathLabel } from '../../../runtime/http/metric-labels.ts';

const recorder = () => {
  const lines: string[] = [];
  const at =
    (kind: string) =>
    (name: string, labels: Readonly<Record<string, string>>, value = 1): void =>
      void lines.push(`${kind} ${name} ${JSON.stringify(labels)} ${value}`);
  return { lines, metrics: { count: at('count'), observe: at('observe'), gauge: at('gauge') } };
};

t.test('paths are cut where they carry keys and ids', async (t) => {
  const cases: readonly (readonly [string, string])[] = [
    ['/v1.0/state/mem/a/b', '/v1.0/state/mem'],
    ['/v1.0/state/mem', '/v1.0/state/mem'],
    ['/v1.0/secrets/s/bulk', '/v1.0/secrets/s'],
    ['/v1.0/actors/T/1/state/k', '/v1.0/actors/T/{id}/state'],
    ['/v1.0/workflows/dapr/i1', '/v1.0/workflows/dapr/{instanceId}'],
    ['/v1.0/workflows/dapr/wf/start', '/v1.0/workflows/dapr/wf/start'],
    ['/v1.0/workflows/dapr/i1/raiseEvent/e', '/v1.0/workflows/dapr/{instanceId}/raiseEvent/{eventName}'],
    ['/v1.0/invoke/a/method/x/y', '/v1.0/invoke/a/method/x/y'],
    ['/state', '/state'],
  ];
  for (const [given, wanted] of cases) t.equal(pathLabel(given), wanted, given);
});

t.test('one request is counted with verb, path and status', async (t) => {
  const { lines, metrics } = recorder();
  createHttpMetrics(metrics, { increasedCardinality: true, pathMatching: [], excludeVerbs: false })(
    'PURGE',
    '/v1.0//state/s/k',
    204,
    5,
    7,
    1.9,
  );
  const labels = '{"method":"UNKNOWN","path":"/v1.0/state/s","status":"204"}';
  t.strictSame(lines, [
    `count http_server_request_count ${labels} 1`,
    `observe http_server_latency ${labels} 1`,
    `count http_server_response_count ${labels} 1`,
    'observe http_server_request_bytes {} 5',
    'observe http_server_response_bytes {} 7',
  ]);
});

t.test('with low cardinality only matched paths keep a label', async (t) => {
  const { lines, metrics } = recorder();
  const record = createHttpMetrics(metrics, {
    increasedCardinality: false,
    pathMatching: ['/orders/{id}'],
    excludeVerbs: true,
  });
  record('GET', '/v1.0/state/s/k', 200, 0, 0, 0);
  record('GET', '/v1.0/invoke/app/method/orders/17', 200, 0, 0, 0);
  const counted = lines.filter((line) => line.startsWith('count'));
  t.strictSame(counted, [
    'count http_server_request_count {"method":"","path":"","status":"200"} 1',
    'count http_server_request_count {"method":"","path":"/v1.0/invoke/{app_id}/method/orders/{id}","status":"200"} 1',
  ]);
});

const labels = (increasedCardinality: boolean, ...pathMatching: string[]) =>
  createMetricLabels({ increasedCardinality, pathMatching, excludeVerbs: false });

t.test('the more exact pattern wins, whatever the order and length', async (t) => {
  const served = labels(
    false,
    '/v1.0/invoke/myapp/method/orders/1234',
    '/v1.0/invoke/myapp/method/orders/{orderID}',
    '/v1.0/state/mystore/{key}',
    '/files/',
    '/items/{id}/{rest...}',
  ).served;
  t.equal(served('/v1.0/invoke/myapp/method/orders/1234'), '/v1.0/invoke/myapp/method/orders/1234');
  t.equal(served('//v1.0/invoke/myapp/method/orders/9'), '/v1.0/invoke/myapp/method/orders/{orderID}');
  t.equal(served('/v1.0/invoke/myapp/method/orders/9/x'), '');
  t.equal(served('/v1.0/state/mystore/foo'), '/v1.0/state/mystore/{key}');
  t.equal(served('/v1.0/invoke/a/method/files/a/b'), '/v1.0/invoke/{app_id}/method/files/');
  t.equal(served('/items/1/2/3'), '/items/{id}/{rest...}');
  t.equal(served('/items/1'), '');
  t.equal(labels(true, '/x').served('/v1.0/state/s/k'), '/v1.0/state/s');
  t.equal(
    labels(false, '/v1.0/state/s').served('/v1.0/state/s/k'),
    '/v1.0/state/s',
    'the cut path counts too',
  );
});

t.test('calls to the app are labelled by the same rules', async (t) => {
  t.equal(labels(true).called('hello/a%20b'), '/hello/a b');
  t.equal(labels(false).called('hello'), '');
  t.equal(labels(false).called('/dapr/config'), '/dapr/config');
  t.equal(labels(false, '/orders/{id}').called('orders/1'), '/orders/{id}');
  t.equal(labels(true).called('/actors/T/1/method/m'), 'actors/T/{id}/method/m');
});
