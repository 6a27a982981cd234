import t from 'tap';
import { encodeOtlp } from '../../../runtime/telemetry/otlp-message.ts';
import { createStdoutSink } from '../../../runtime/telemetry/stdout-sink.ts';
import { traceResource } from '../../../runtime/telemetry/trace-resource.ts';
import { encodeZipkin } from '../../../runtime/telemetry/zipkin-sink.ts';
import { decodeOtlp } from '../../support/otlp-decode.ts';
import { recordingLogger } from '../../support/recording-logger.ts';
import { finishedSpan } from './finished-span.ts';

t.test('an OTLP message says what the span says', (t) => {
  const attributes = { text: 'grüße', yes: true, whole: 300, part: 0.5, below: -1 };
  const spans = [
    finishedSpan({
      attributes,
      error: 'Code(500): Internal Server Error',
      traceState: 'a=1',
      kind: 'server',
    }),
    finishedSpan({ parentSpanId: '', error: '', kind: 'producer', name: '' }),
  ];
  const [first, second, ...more] = decodeOtlp(encodeOtlp(spans, { 'service.name': 'app', zone: 'z1' }));
  t.strictSame(more, []);
  t.match(first, {
    traceId: '4bf92f3577b34da6a3ce929d0e0e4736',
    spanId: 'a69268b776cf5872',
    parentSpanId: '00f067aa0ba902b7',
    traceState: 'a=1',
    name: '/v1.0/state/store/k',
    kind: 2,
    statusCode: 2,
    statusMessage: 'Code(500): Internal Server Error',
    scope: 'dapr-diagnostics',
    flags: 0x301,
  });
  t.strictSame(first?.attributes, attributes);
  t.strictSame(first?.resource, { 'service.name': 'app', zone: 'z1' });
  t.ok((first?.startNanos ?? 0n) / 1000n === 1_795_516_063_808_479n, 'microseconds are kept');
  t.ok((first?.endNanos ?? 0n) > (first?.startNanos ?? 0n));
  t.match(second, { kind: 4, parentSpanId: '', statusCode: 2, statusMessage: '', name: '' });
  t.end();
});

t.test('a batch grows beyond the first buffer', (t) => {
  const spans = Array.from({ length: 512 }, (_, i) => finishedSpan({ name: `${i} ${'x'.repeat(i)}` }));
  const decoded = decodeOtlp(encodeOtlp(spans, { 'service.name': 'app' }));
  t.strictSame(
    decoded.map(({ name }) => name),
    spans.map(({ name }) => name),
  );
  t.end();
});

t.test('a Zipkin message has the tags and endpoints of the OpenTelemetry exporter', (t) => {
  const resource = { 'service.name': 'app' };
  const [ok, failed] = JSON.parse(
    Buffer.from(
      encodeZipkin(
        [
          finishedSpan(),
          finishedSpan({ parentSpanId: '', error: 'no', kind: 'server', endMs: 0, startMs: 0 }),
        ],
        resource,
      ),
    ).toString(),
  );
  t.strictSame(ok, {
    timestamp: 1_795_516_063_808_479,
    duration: 395,
    traceId: '4bf92f3577b34da6a3ce929d0e0e4736',
    id: 'a69268b776cf5872',
    parentId: '00f067aa0ba902b7',
    name: '/v1.0/state/store/k',
    kind: 'CLIENT',
    localEndpoint: { serviceName: 'app' },
    remoteEndpoint: { serviceName: '127.0.0.1' },
    tags: {
      'dapr.protocol': 'http',
      'db.name': 'store',
      'server.address': '127.0.0.1',
      'service.name': 'app',
      'otel.scope.name': 'dapr-diagnostics',
    },
  });
  t.match(failed, { kind: 'SERVER', duration: 1, tags: { error: 'no', 'otel.status_code': 'ERROR' } });
  t.notOk('parentId' in failed);
  t.notOk('remoteEndpoint' in failed);
  t.end();
});

t.test('spans on standard output are lines of the log', async (t) => {
  const log = recordingLogger();
  await createStdoutSink(log).send([finishedSpan({ parentSpanId: '' })], new AbortController().signal);
  t.equal(
    log.lines[0]?.message,
    '[/v1.0/state/store/k] Trace: 4bf92f3577b34da6a3ce929d0e0e4736 Span: 0000000000000000/a69268b776cf5872 Time: [2026-11-24 10:27:43.808479 +0000 UTC ->  2026-11-24 10:27:43.808874 +0000 UTC] Annotations: []',
  );
});

t.test('the resource comes from the app id and the OTEL variables', (t) => {
  t.strictSame(traceResource('app', {}), { 'service.name': 'app' });
  t.strictSame(
    traceResource('app', {
      OTEL_SERVICE_NAME: 'mine',
      OTEL_RESOURCE_ATTRIBUTES: 'service.name=other, zone=a%20b ,=x,broken',
    }),
    { 'service.name': 'mine', zone: 'a b' },
  );
  t.strictSame(traceResource('app', { OTEL_RESOURCE_ATTRIBUTES: 'service.name=other' }), {
    'service.name': 'other',
  });
  t.end();
});
