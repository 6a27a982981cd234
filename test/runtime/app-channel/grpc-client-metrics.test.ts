import t from 'tap';
import { createGrpcClientMetrics } from '../../../runtime/app-channel/grpc-client-metrics.ts';
import { createMetrics } from '../../../runtime/platform/metrics.ts';
import { fakeClock } from '../../support/fake-clock.ts';

t.test('calls to a gRPC app and its health probes have the names and labels of daprd', async (t) => {
  const metrics = createMetrics({ common: { app_id: 'a' }, latencyBuckets: [5] });
  const clock = fakeClock();
  const measure = createGrpcClientMetrics(metrics, clock);
  const path = '/dapr.proto.runtime.v1.AppCallback/OnInvoke';
  const ok = measure(path, 10);
  await clock.advance(3);
  ok(0, 20);
  measure(path, 10)(14, 0);
  measure('/dapr.proto.runtime.v1.AppCallbackHealthCheck/HealthCheck', 0)(0, 0);
  const lines = metrics.render().split('\n');
  const has = (line: string): void => {
    t.ok(lines.includes(line), line);
  };
  const method = `app_id="a",grpc_client_method="${path}"`;
  has(`dapr_grpc_io_client_completed_rpcs{${method},grpc_client_status="OK"} 1`);
  has(`dapr_grpc_io_client_completed_rpcs{${method},grpc_client_status="Unavailable"} 1`);
  has(`dapr_grpc_io_client_roundtrip_latency_sum{${method},grpc_client_status="OK"} 3`);
  has(`dapr_grpc_io_client_sent_bytes_per_rpc_sum{${method}} 20`);
  has(`dapr_grpc_io_client_received_bytes_per_rpc_sum{${method}} 20`);
  has('dapr_grpc_io_healthprobes_completed_count{app_id="a",grpc_client_status="OK"} 1');
  t.notMatch(metrics.render(), /completed_rpcs\{.*HealthCheck/);
});
