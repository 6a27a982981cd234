import t from 'tap';
import type { FinishedSpan } from '../../../runtime/contracts/trace.ts';
import { ZERO_TRACEPARENT } from '../../../runtime/contracts/trace.ts';
import { createTracer } from '../../../runtime/platform/trace-context.ts';
import { seededRandom } from '../../support/seeded-random.ts';

const PARENT = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
const tracer = (samplingRate: string, exporter?: (span: FinishedSpan) => void) =>
  createTracer({
    samplingRate,
    random: seededRandom(1),
    now: () => 1000,
    ...(exporter === undefined ? {} : { exporter }),
  });

t.test('without rate and exporter spans are passive', (t) => {
  t.equal(tracer('').start('x', {}).context.traceparent, ZERO_TRACEPARENT);
  t.same(tracer('').start('x', { traceparent: PARENT, tracestate: 's=1' }).context, {
    traceparent: PARENT,
    tracestate: 's=1',
  });
  t.equal(tracer('').start('x', { traceparent: 'nonsense' }).context.traceparent, ZERO_TRACEPARENT);
  t.end();
});

t.test('a tracestate that breaks the rules is left out', (t) => {
  const long = 'x'.repeat(257);
  const cases: Record<string, boolean> = {
    'a=1': true,
    'a=1, b=2': true,
    'tenant@system=x y': true,
    'a=1,,b=2': true,
    'bad state': false,
    'A=1': false,
    'a=1,a=2': false,
    'a=b=c': false,
    'a=': false,
    [`a=${long}`]: false,
  };
  for (const [tracestate, valid] of Object.entries(cases)) {
    for (const rate of ['', '1']) {
      const { context } = tracer(rate).start('x', { traceparent: PARENT, tracestate });
      t.equal(context.tracestate, valid ? tracestate : undefined, tracestate);
    }
  }
  t.end();
});

t.test('rate 0 switches tracing off and passes on what came', (t) => {
  const off = tracer('0');
  t.equal(off.enabled, false);
  t.same(off.start('x', { traceparent: PARENT }).context, { traceparent: PARENT });
  t.same(off.start('x', {}).context, {});
  t.end();
});

t.test('with a rate every span has an id of its own in the same trace', (t) => {
  const span = tracer('1').start('x', { traceparent: PARENT, baggage: 'k=v' });
  t.match(span.context.traceparent, /^00-0af7651916cd43dd8448eb211c80319c-[0-9a-f]{16}-01$/);
  t.not(span.context.traceparent, PARENT);
  t.equal(span.context.baggage, 'k=v');
  const child = span.child('y');
  t.match(child.context.traceparent, /^00-0af7651916cd43dd8448eb211c80319c-/);
  t.not(child.context.traceparent, span.context.traceparent);
  t.end();
});

t.test('a span without room is not recorded, its context goes on', (t) => {
  const spans: FinishedSpan[] = [];
  const span = createTracer({
    samplingRate: '1',
    random: seededRandom(1),
    now: () => 1000,
    exporter: (finished) => spans.push(finished),
    refused: () => true,
  }).start('x', { traceparent: PARENT });
  t.notOk(span.recording);
  t.match(span.context.traceparent, /-01$/);
  span.end();
  t.strictSame(spans, []);
  t.end();
});

t.test('what is no trace context starts a trace of its own', (t) => {
  const parentOf = (traceparent: string): string => {
    let parent = '';
    const take = (span: FinishedSpan): void => {
      parent = span.parentSpanId;
    };
    tracer('1', take).start('x', { traceparent, tracestate: 'a=1' }).end();
    return parent;
  };
  t.equal(parentOf(PARENT), 'b7ad6b7169203331');
  t.equal(parentOf(PARENT.replace(/^00/, '01')), 'b7ad6b7169203331', 'a later version');
  t.equal(parentOf(`${PARENT.replace(/^00/, '01')}-more`), 'b7ad6b7169203331');
  for (const wrong of [
    `${PARENT}-more`,
    PARENT.replace(/^00/, 'ff'),
    PARENT.replace(/-0af.*9c-/, `-${'0'.repeat(32)}-`),
    PARENT.replace(/-b7.*31-/, `-${'0'.repeat(16)}-`),
    PARENT.toUpperCase(),
  ])
    t.equal(parentOf(wrong), '', wrong);
  t.end();
});

t.test('the rate decides by the trace id, other flags stay', (t) => {
  const spans: FinishedSpan[] = [];
  const half = tracer('0.5', (span) => spans.push(span));
  for (let i = 0; i < 400; i += 1) half.start('x', {}).end();
  t.ok(spans.length > 150 && spans.length < 250, `${spans.length} of 400`);
  t.ok(spans.every(({ traceId }) => Number.parseInt(traceId.slice(16, 18), 16) < 128));
  const flagged = tracer('1').start('x', { traceparent: PARENT.replace(/01$/, '03') });
  t.match(flagged.context.traceparent, /-03$/);
  const none = tracer('-1', () => {}).start('x', {});
  t.match(none.context.traceparent, /-00$/);
  t.end();
});

t.test("the parent's decision is respected and sampled spans are exported once", (t) => {
  const spans: FinishedSpan[] = [];
  const exported = tracer('1', (span) => spans.push(span));
  exported.start('unsampled', { traceparent: PARENT.replace(/01$/, '00') }).end();
  const span = exported.start('sampled', { traceparent: PARENT });
  span.setAttribute('k', 'v');
  span.end('boom');
  span.end();
  t.match(spans, [
    { name: 'sampled', parentSpanId: 'b7ad6b7169203331', attributes: { k: 'v' }, error: 'boom' },
  ]);
  t.equal(spans.length, 1);
  t.end();
});
