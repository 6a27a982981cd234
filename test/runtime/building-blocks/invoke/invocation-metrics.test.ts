import t from 'tap';
import { createInvocationMetrics } from '../../../../runtime/building-blocks/invoke/invocation-metrics.ts';
import type { Labels } from '../../../../runtime/contracts/metrics.ts';

t.test('series and labels are those of Dapr, and the same labels are the same object', async (t) => {
  const seen: [string, Labels][] = [];
  const record = (name: string, labels: Labels): void => void seen.push([name, labels]);
  const metrics = createInvocationMetrics({ count: record, observe: record, gauge: record });
  const round = () => {
    metrics.requestSent('you');
    metrics.responseReceived('you', 200, 5);
    metrics.requestReceived('me');
    metrics.responseSent('me', 200);
    return seen.splice(0);
  };
  const first = round();
  t.same(first, [
    ['runtime_service_invocation_req_sent_total', { dst_app_id: 'you', type: 'unary' }],
    ['runtime_service_invocation_res_recv_total', { src_app_id: 'you', status: '200', type: 'unary' }],
    ['runtime_service_invocation_res_recv_latency_ms', { src_app_id: 'you', status: '200' }],
    ['runtime_service_invocation_req_recv_total', { src_app_id: 'me' }],
    ['runtime_service_invocation_res_sent_total', { dst_app_id: 'me', status: '200' }],
  ]);
  for (const [index, [, labels]] of round().entries()) t.equal(labels, first[index]?.[1]);
});
