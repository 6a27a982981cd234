// What a span may carry: the OTEL_SPAN_* and OTEL_ATTRIBUTE_* variables.

import t from 'tap';
import { encodeOtlp } from '../../../runtime/telemetry/otlp-message.ts';
import { limitedSpan, spanLimits } from '../../../runtime/telemetry/span-limits.ts';
import { decodeOtlp } from '../../support/otlp-decode.ts';
import { finishedSpan } from './finished-span.ts';

const many = (count: number): Record<string, string> =>
  Object.fromEntries(Array.from({ length: count }, (_, at) => [`a${at}`, `value ${at}`]));

t.test('limits from the environment', async (t) => {
  t.strictSame(spanLimits({}), { attributes: 128, characters: Number.POSITIVE_INFINITY });
  const general = { OTEL_ATTRIBUTE_COUNT_LIMIT: '3', OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT: '5' };
  t.strictSame(spanLimits(general), { attributes: 3, characters: 5 });
  const own = { OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT: '-1', OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT: '0' };
  t.strictSame(spanLimits({ ...general, ...own }), { attributes: Number.POSITIVE_INFINITY, characters: 0 });
  t.strictSame(
    spanLimits({ OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT: 'many' }),
    spanLimits({}),
    'no number: as if unset',
  );
});

t.test('attributes beyond the limit are counted, the first ones stay', async (t) => {
  const span = finishedSpan({ attributes: many(130) });
  const limited = limitedSpan(span, spanLimits({}));
  t.equal(Object.keys(limited.attributes).length, 128);
  t.equal(limited.attributes['a127'], 'value 127');
  const [decoded] = decodeOtlp(encodeOtlp([limited], {}));
  t.equal(decoded?.droppedAttributes, 2);
  const small = finishedSpan({ attributes: many(128) });
  t.equal(limitedSpan(small, spanLimits({})), small, 'nothing is copied without need');
});

t.test('texts are cut between characters, numbers stay', async (t) => {
  const face = '\u{1f600}';
  const span = finishedSpan({ attributes: { text: face.repeat(3), short: 'ab', number: 123456 } });
  t.strictSame(limitedSpan(span, { attributes: 128, characters: 2 }).attributes, {
    text: face.repeat(2),
    short: 'ab',
    number: 123456,
  });
});
