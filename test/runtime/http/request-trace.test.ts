import t from 'tap';
import { addTraceHeaders, isHealthPath, traceRequest } from '../../../runtime/http/request-trace.ts';
import { passiveTracer, ZERO } from './fake-api.ts';

t.test('health paths are recognised decoded', async (t) => {
  for (const path of ['/v1.0/healthz', '/v1.0/health%7A', '/v1.0%2Fhealthz', '/v1.0/healthz/x'])
    t.ok(isHealthPath(path), path);
  t.notOk(isHealthPath('/v1.0/health'));
});

t.test('an answer shows the span unless the handler set its own', async (t) => {
  const headers: string[] = ['Content-Type', 'text/plain'];
  addTraceHeaders(
    traceRequest(passiveTracer, '/x', { tracestate: 'a=1', traceparent: 'p', baggage: 'k=v' }),
    headers,
  );
  t.strictSame(headers, [
    'Content-Type',
    'text/plain',
    'Baggage',
    'k=v',
    'Traceparent',
    'p',
    'Tracestate',
    'a=1',
  ]);
  const own = ['TraceParent', 'own'];
  addTraceHeaders(traceRequest(passiveTracer, '/x', {}), own);
  t.strictSame(own, ['TraceParent', 'own']);
  const long: string[] = [];
  addTraceHeaders(traceRequest(passiveTracer, '/x', { tracestate: `a=${'x'.repeat(511)}` }), long);
  t.strictSame(long, ['Traceparent', ZERO]);
});

t.test('without tracing nothing is shown and only baggage enters the span', async (t) => {
  const trace = traceRequest(
    { ...passiveTracer, enabled: false, start: (_name, incoming) => passiveTracer.start('', incoming) },
    '/x',
    { traceparent: 'p', baggage: 'not checked' },
  );
  const headers: string[] = [];
  addTraceHeaders(trace, headers);
  t.strictSame(headers, []);
  t.equal(trace.span.context.traceparent, ZERO);
  t.equal(trace.span.context.baggage, 'not checked');
  t.equal(trace.refusal, undefined);
});
