/** Metrics of gRPC calls to the app (HTTP reference, section 23); label objects are kept, as in `client-metrics.ts`. */

import type { Clock } from '../contracts/clock.ts';
import { grpcCodeName } from '../contracts/grpc-code.ts';
import type { Labels, Metrics } from '../contracts/metrics.ts';

const HEALTH_CHECK = '/dapr.proto.runtime.v1.AppCallbackHealthCheck/HealthCheck';

/** Begins a call of `path`; what it returns is told the status and the size of the answer. */
export type MeasureGrpcCall = (
  path: string,
  sentBytes: number,
) => (code: number, receivedBytes: number) => void;

/** Makes the recorder of one app channel; the app's methods are few, so labels are kept without a bound. */
export function createGrpcClientMetrics(
  metrics: Metrics,
  clock: Pick<Clock, 'monotonicMs'>,
): MeasureGrpcCall {
  const byStatus = new Map<string, Labels>();
  const byMethod = new Map<string, Labels>();
  const kept = (map: Map<string, Labels>, key: string, make: () => Labels): Labels => {
    const found = map.get(key) ?? Object.freeze(make());
    map.set(key, found);
    return found;
  };
  return (path, sentBytes) => {
    const started = clock.monotonicMs();
    return (code, receivedBytes) => {
      const elapsedMs = Math.floor(clock.monotonicMs() - started);
      const status = grpcCodeName(code);
      if (path === HEALTH_CHECK) {
        const probe = kept(byStatus, status, () => ({ grpc_client_status: status }));
        metrics.count('grpc_io_healthprobes_completed_count', probe);
        metrics.observe('grpc_io_healthprobes_roundtrip_latency', probe, elapsedMs);
        return;
      }
      const ended = kept(byStatus, `${status} ${path}`, () => ({
        grpc_client_method: path,
        grpc_client_status: status,
      }));
      metrics.count('grpc_io_client_completed_rpcs', ended);
      metrics.observe('grpc_io_client_roundtrip_latency', ended, elapsedMs);
      const method = kept(byMethod, path, () => ({ grpc_client_method: path }));
      metrics.observe('grpc_io_client_sent_bytes_per_rpc', method, sentBytes);
      metrics.observe('grpc_io_client_received_bytes_per_rpc', method, receivedBytes);
    };
  };
}
