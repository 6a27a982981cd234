// Traces leave the program: over OTLP (gRPC and HTTP) and to Zipkin, from the Configuration and the environment, and a
// collector that is away costs a call nothing.

import t, { type Test } from 'tap';
import type { DecodedSpan } from '../support/otlp-decode.ts';
import { startCollector, type TraceCollector } from '../support/trace-collector.ts';
import { call } from './support/http-call.ts';
import { type RunningNode, type SidecarRequest, startSidecar } from './support/node-process.ts';
import { freePort } from './support/ports.ts';
import { component, configuration, writeFiles } from './support/resource-files.ts';
import { startApp } from './support/scripted-app.ts';
import { until } from './support/until.ts';

const PARENT = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01';
const SOON = { OTEL_BSP_SCHEDULE_DELAY: '50' };

const start = (t: Test, tracing: object, more: Partial<SidecarRequest> = {}): Promise<RunningNode> => {
  const files = writeFiles(t.testdir(), 'files', { 'config.yaml': configuration({ tracing }) });
  return startSidecar(t, {
    appId: 'traced',
    resources: [component('store', 'state.in-memory')],
    ...more,
    args: [`--config=${files}/config.yaml`, ...(more.args ?? [])],
    env: { ...SOON, ...more.env },
  });
};

const named = (collector: TraceCollector, name: string): Promise<DecodedSpan> =>
  until(`a span named ${name}`, () => collector.spans().find((span) => span.name === name));

t.test('OTLP over gRPC: an invocation is one trace from caller to app', async (t) => {
  const collector = await startCollector(t);
  const app = await startApp(t, { '/hello': () => ({ body: 'hi' }) });
  const tracing = {
    samplingRate: '1',
    otel: {
      endpointAddress: `127.0.0.1:${collector.grpcPort}`,
      protocol: 'grpc',
      isSecure: false,
      headers: ['x-api-key=key-1'],
      timeout: '5s',
    },
  };
  const node = await start(t, tracing, {
    appPort: app.port,
    env: { OTEL_RESOURCE_ATTRIBUTES: 'zone=z1', OTEL_EXPORTER_OTLP_HEADERS: 'x-env=no' },
  });
  const answer = await call(`${node.base}/v1.0/invoke/traced/method/hello?x=1`, {
    headers: { traceparent: PARENT, tracestate: 'a=1', 'dapr-custom': 'yes' },
  });
  const span = await named(collector, 'CallLocal/traced/hello');
  t.match(span, {
    traceId: '4bf92f3577b34da6a3ce929d0e0e4736',
    parentSpanId: '00f067aa0ba902b7',
    traceState: 'a=1',
    kind: 3,
    statusCode: 0,
    scope: 'dapr-diagnostics',
    resource: { 'service.name': 'traced', zone: 'z1' },
    attributes: {
      'dapr.api': 'GET /v1.0/invoke/traced/method/hello',
      'dapr.protocol': 'http',
      'dapr.status_code': '200',
      'dapr-custom': 'yes',
      'rpc.service': 'ServiceInvocation',
      'net.peer.name': 'traced',
      'http.request.method': 'GET',
      'url.full': '/v1.0/invoke/traced/method/hello?x=1',
      'server.address': '127.0.0.1',
    },
  });
  const context = `00-${span.traceId}-${span.spanId}-01`;
  t.equal(answer.headers['traceparent'], context);
  t.equal(app.to('/hello')[0]?.headers['traceparent'], context, 'the app gets the same span as its parent');
  t.equal(collector.exports[0]?.headers['x-api-key'], 'key-1');
  t.notOk(
    collector.exports[0]?.headers['x-env'],
    'headers of the Configuration go before those of the environment',
  );

  await call(`${node.base}/v1.0/state/none/k`);
  t.match(await named(collector, '/v1.0/state/none/k'), {
    parentSpanId: '',
    statusCode: 2,
    statusMessage: 'Code(400): Bad Request',
    attributes: { 'db.system': 'state', 'db.name': 'none', 'db.statement': 'GET /v1.0/state/none/k' },
  });

  await call(`${node.base}/v1.0/state/store/unsampled`, {
    headers: { traceparent: PARENT.replace(/1$/, '0') },
  });
  await call(`${node.base}/v1.0/state/store/last`);
  await named(collector, '/v1.0/state/store/last');
  t.notOk(
    collector.spans().some(({ name }) => name.endsWith('unsampled')),
    "the caller's decision holds",
  );
});

t.test('OTLP over HTTP from the environment alone, and the rest at the end', async (t) => {
  const collector = await startCollector(t);
  const node = await start(
    t,
    {},
    {
      env: {
        OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${collector.httpPort}`,
        OTEL_EXPORTER_OTLP_PROTOCOL: 'http/protobuf',
        OTEL_EXPORTER_OTLP_HEADERS: 'authorization=Bearer%20abc',
        OTEL_SERVICE_NAME: 'renamed',
        OTEL_BSP_SCHEDULE_DELAY: '60000',
      },
    },
  );
  await call(`${node.base}/v1.0/state/store/k`);
  t.equal(collector.exports.length, 0, 'nothing leaves before its time');
  const ended = await node.stop();
  t.equal(ended.code, 0);
  t.match(collector.spans()[0], {
    name: '/v1.0/state/store/k',
    resource: { 'service.name': 'renamed' },
    attributes: { 'dapr.status_code': '204' },
  });
  t.match(collector.exports[0], {
    path: '/v1/traces',
    headers: { 'content-type': 'application/x-protobuf', authorization: 'Bearer abc' },
  });
});

t.test('Zipkin and standard output side by side', async (t) => {
  const collector = await startCollector(t);
  const endpointAddress = `http://127.0.0.1:${collector.httpPort}/api/v2/spans`;
  const node = await start(t, { samplingRate: 1, stdout: true, zipkin: { endpointAddress } });
  await call(`${node.base}/v1.0/state/store/k`, { headers: { traceparent: PARENT } });
  const [span] = await until('a Zipkin span', () =>
    collector.zipkin().length > 0 ? collector.zipkin() : undefined,
  );
  t.match(span, {
    traceId: '4bf92f3577b34da6a3ce929d0e0e4736',
    parentId: '00f067aa0ba902b7',
    name: '/v1.0/state/store/k',
    kind: 'CLIENT',
    localEndpoint: { serviceName: 'traced' },
    tags: { 'db.name': 'store' },
  });
  await until('the line', () => /\[\/v1\.0\/state\/store\/k\] Trace: 4bf92f/.test(node.output()));
});

t.test('a collector that is away costs one line and no time', async (t) => {
  const otel = { endpointAddress: `127.0.0.1:${await freePort()}`, protocol: 'grpc', isSecure: false };
  const node = await start(t, { samplingRate: '1', otel }, { env: { OTEL_BSP_MAX_QUEUE_SIZE: '5' } });
  for (let i = 0; i < 20; i += 1) t.equal((await call(`${node.base}/v1.0/state/store/k${i}`)).status, 204);
  await until('the line', () => /traces do not reach the OTLP collector/.test(node.output()));
  const metrics = await until('the drops', async () => {
    const { text } = await call(`http://127.0.0.1:${node.ports.metrics}/`);
    return /dapr_trace_dropped_spans\{.*\} \d+/.exec(text)?.[0];
  });
  t.match(metrics, /app_id="traced",exporter="the OTLP collector at 127\.0\.0\.1:\d+"/);
  const { code, output } = await node.stop();
  t.equal(code, 0);
  t.equal(output.match(/traces do not reach/g)?.length, 1);
});

t.test('settings that cannot work stop the start and say why', async (t) => {
  const refused = async (tracing: object, env = {}): Promise<string> => {
    const node = await start(t, tracing, { env, healthy: false });
    const { code, output } = await node.ended;
    t.equal(code, 1);
    return output;
  };
  t.match(
    await refused({ otel: { endpointAddress: 'x', protocol: 'udp' } }),
    /spec\.tracing\.otel\.protocol/,
  );
  t.match(await refused({ zipkin: { endpointAddress: 'x' } }), /spec\.tracing\.zipkin\.endpointAddress/);
  t.match(await refused({}, { OTEL_EXPORTER_OTLP_TIMEOUT: 'soon' }), /OTEL_EXPORTER_OTLP_TIMEOUT/);
});
