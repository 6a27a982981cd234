import t from 'tap';
import { createAppChannel } from '../../../runtime/app-channel/create.ts';
import type { Labels } from '../../../runtime/contracts/metrics.ts';
import { fakeClock } from '../../support/fake-clock.ts';
import { startHttpApp } from '../../support/http-app.ts';
import { callContext, invokeRequest, wholeBody } from '../../support/invocations.ts';
import { recordingLogger } from '../../support/recording-logger.ts';

const signal = new AbortController().signal;

t.test('calls, probes and failures are counted with the labels of Dapr', async (t) => {
  const app = await startHttpApp((_request, response) =>
    response.writeHead(201, { 'content-length': 2 }).end('ok'),
  );
  const seen: [string, Labels, number][] = [];
  const record = (name: string, labels: Labels, value = 1): void => void seen.push([name, labels, value]);
  const channel = createAppChannel({
    protocol: 'http',
    appId: 'me',
    address: '127.0.0.1',
    port: app.port,
    maxConcurrency: 0,
    maxMessageBytes: 1024,
    clock: fakeClock(),
    log: recordingLogger(),
    metrics: { count: record, observe: record, gauge: record },
  });
  t.teardown(() => channel.close());
  await channel.invoke(
    invokeRequest({ method: 'x', verb: 'POST', query: 'q=1', body: wholeBody('four') }),
    callContext(),
  );
  t.same(seen.splice(0), [
    ['http_client_sent_bytes', { method: 'POST', path: 'x', status: '' }, 4],
    ['http_client_completed_count', { method: 'POST', path: 'x', status: '201' }, 1],
    ['http_client_roundtrip_latency', { method: 'POST', path: 'x', status: '201' }, 0],
    ['http_client_received_bytes', {}, 2],
  ]);
  await channel.probe('/healthz', signal);
  t.same(seen.splice(0), [
    ['http_healthprobes_completed_count', { status: '201' }, 1],
    ['http_healthprobes_roundtrip_latency', { status: '201' }, 0],
  ]);
  await app.close();
  await t.rejects(channel.configuration(signal));
  t.match(seen[1], ['http_client_completed_count', { method: 'GET', path: '/dapr/config', status: '500' }]);
});
