import t from 'tap';
import { createMetricsServer } from '../../../runtime/http/metrics-server.ts';

t.test('the same text at the root and at /metrics, nothing elsewhere', async (t) => {
  const server = createMetricsServer({ address: '127.0.0.1', port: 0, render: () => 'dapr_x 1\n' });
  t.teardown(() => server.close());
  await server.listen();
  for (const path of ['/', '/metrics?x=1']) {
    const answer = await fetch(`http://127.0.0.1:${server.port}${path}`);
    t.equal(answer.headers.get('content-type'), 'text/plain; version=0.0.4; charset=utf-8');
    t.equal(await answer.text(), 'dapr_x 1\n');
  }
  t.equal((await fetch(`http://127.0.0.1:${server.port}/x`)).status, 404);
  const second = createMetricsServer({ address: '127.0.0.1', port: server.port, render: () => '' });
  await t.rejects(
    second.listen(),
    new Error(`port ${server.port} is already in use; choose another one with --metrics-port`),
  );
});
