// Many requests in progress at once, as `npm run load` does with more of them: all are answered, memory stays within its
// bound, no descriptor is left behind, and the sidecar answers as before.

import t from 'tap';
import { grpcBurst, httpBurst, measure, startSlowApp } from '../load/burst.ts';
import { call } from './support/http-call.ts';
import { startSidecar } from './support/node-process.ts';

const BURST = { connections: 200, each: 10, appId: 'load' };
const REQUESTS = BURST.connections * BURST.each;
/** Megabytes that the sidecar may grow by, of which V8 gives back what it likes when it likes. */
const GROWTH_MB = 300;
/** Idle connections to the app, which are kept for four seconds. */
const POOL = 256;

t.test('2000 requests in progress on 200 connections, over HTTP and over gRPC', async (t) => {
  const app = await startSlowApp();
  t.teardown(() => app.close());
  app.hold(false);
  const node = await startSidecar(t, { appId: BURST.appId, appPort: app.port });
  for (const [name, answer, start] of [
    ['HTTP', '200', () => httpBurst(node.ports.http, BURST)],
    ['gRPC', 'grpc 0', () => grpcBurst(node.ports.grpc, BURST)],
  ] as const) {
    const { tally, before, during, after } = await measure(node.pid, app, BURST, start);
    t.same(tally, { [answer]: REQUESTS }, `${name}: every request is answered`);
    const most = Math.max(during.rssMb, after.rssMb) - before.rssMb;
    t.ok(most < GROWTH_MB, `${name}: grew by ${most} MB`);
    t.ok(
      after.descriptors <= before.descriptors + POOL,
      `${name}: ${before.descriptors} descriptors before, ${after.descriptors} after`,
    );
    t.equal((await call(`${node.base}/v1.0/healthz`)).status, 204);
  }

  t.equal((await node.stop()).code, 0);
});
