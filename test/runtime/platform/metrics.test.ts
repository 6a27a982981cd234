import t from 'tap';
import { createMetrics } from '../../../runtime/platform/metrics.ts';

const lines = (text: string): readonly string[] =>
  text.split('\n').filter((line) => line.startsWith('dapr_'));

t.test('series carry the prefix, the common labels and sorted label names', (t) => {
  const metrics = createMetrics({ common: { app_id: 'a' }, latencyBuckets: [1, 10] });
  metrics.count('x_count', { z: '1', b: '' });
  metrics.count('x_count', { b: '', z: '1' }, 2);
  metrics.gauge('g', {}, 5);
  t.same(lines(metrics.render()), ['dapr_x_count{app_id="a",b="",z="1"} 3', 'dapr_g{app_id="a"} 5']);
  t.end();
});

t.test('histogram buckets are cumulative', (t) => {
  const metrics = createMetrics({ common: {}, latencyBuckets: [1, 10] });
  for (const value of [0.5, 5, 50]) metrics.observe('lat', { m: 'GET' }, value);
  t.same(lines(metrics.render()), [
    'dapr_lat_bucket{m="GET",le="1"} 1',
    'dapr_lat_bucket{m="GET",le="10"} 2',
    'dapr_lat_bucket{m="GET",le="+Inf"} 3',
    'dapr_lat_sum{m="GET"} 55.5',
    'dapr_lat_count{m="GET"} 3',
  ]);
  t.end();
});

t.test('label values are escaped and the number of series is bounded', (t) => {
  const metrics = createMetrics({ common: {}, latencyBuckets: [1] });
  metrics.count('c', { v: 'a"b\\c\nd' });
  t.match(metrics.render(), 'dapr_c{v="a\\"b\\\\c\\nd"} 1');
  for (let i = 0; i < 6000; i += 1) metrics.count('many', { v: String(i) });
  t.equal(lines(metrics.render()).filter((line) => line.startsWith('dapr_many')).length, 5000);
  t.end();
});
