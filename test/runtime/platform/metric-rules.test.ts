import t from 'tap';
import { createMetricRules } from '../../../runtime/platform/metric-rules.ts';
import { createMetrics } from '../../../runtime/platform/metrics.ts';

const rule = (name: string, label: string, regex: Record<string, string>) => [
  { name, labels: [{ name: label, regex }] },
];

t.test('rules replace parts of label values of their metric only', (t) => {
  const rewrite = createMetricRules(
    rule('dapr_http_server_request_count', 'path', { '/orders/TEST': '/orders/.+' }),
  );
  if (rewrite === undefined) throw new Error('no rules');
  const metrics = createMetrics({ common: { app_id: 'a' }, latencyBuckets: [1], rewrite });
  metrics.count('http_server_request_count', { path: '/orders/17' });
  metrics.count('http_server_request_count', { path: '/orders/18' });
  metrics.count('http_server_response_count', { path: '/orders/17' });
  const text = metrics.render();
  t.match(text, 'dapr_http_server_request_count{app_id="a",path="/orders/TEST"} 2');
  t.match(text, 'dapr_http_server_response_count{app_id="a",path="/orders/17"} 1');
  t.end();
});

t.test('expressions and replacements are written as in Go', (t) => {
  const rewritten = (regex: Record<string, string>, value: string) =>
    createMetricRules(rule('m', 'l', regex))?.('m')?.({ l: value })['l'];
  t.equal(rewritten({ '$1-${last}$$': '(\\w+)/(?P<last>\\w+)' }, 'a/b'), 'a-b$');
  t.equal(rewritten({ X: '(?i)abc' }, 'ABCabc'), 'XX');
  t.equal(rewritten({ x$missing: 'a' }, 'a'), 'x');
  t.equal(createMetricRules(rule('m', 'l', { x: 'a' }))?.('other'), undefined);
  t.equal(createMetricRules([]), undefined);
  t.throws(() => createMetricRules(rule('m', 'l', { x: '(' })), /failed to compile regex for rule m\/l\/x/);
  t.end();
});
