/**
 * How much one span may carry, as the OpenTelemetry SDK inside daprd limits it. Spans have neither events nor links here
 * or there, so only attributes count.
 */

import type { FinishedSpan } from '../contracts/trace.ts';

export interface SpanLimits {
  /** Attributes of a span; those beyond it are counted and left out. */
  readonly attributes: number;
  /** Characters of an attribute that is a text. */
  readonly characters: number;
}

const DEFAULT_ATTRIBUTES = 128;

/** The variable for spans wins over the general one; a negative number is no limit. */
export function spanLimits(env: Readonly<Record<string, string | undefined>>): SpanLimits {
  const limit = (name: string, fallback: number): number => {
    const text = env[`OTEL_SPAN_${name}`] || env[`OTEL_${name}`] || '';
    if (!/^[+-]?\d+$/.test(text)) return fallback;
    const value = Number(text);
    return value < 0 ? Number.POSITIVE_INFINITY : value;
  };
  return {
    attributes: limit('ATTRIBUTE_COUNT_LIMIT', DEFAULT_ATTRIBUTES),
    characters: limit('ATTRIBUTE_VALUE_LENGTH_LIMIT', Number.POSITIVE_INFINITY),
  };
}

/** The span, or a smaller one. */
export function limitedSpan(span: FinishedSpan, limits: SpanLimits): FinishedSpan {
  const { attributes } = span;
  const names = Object.keys(attributes);
  const tooMany = names.length > limits.attributes;
  const tooLong = (value: unknown): value is string =>
    typeof value === 'string' && value.length > limits.characters;
  if (
    !tooMany &&
    (limits.characters === Number.POSITIVE_INFINITY || !Object.values(attributes).some(tooLong))
  )
    return span;
  const kept: Record<string, string | number | boolean> = {};
  for (const name of names.slice(0, limits.attributes)) {
    const value = attributes[name] as string | number | boolean;
    // A character may be two units of a JavaScript text.
    kept[name] = tooLong(value)
      ? [...value.slice(0, 2 * limits.characters)].slice(0, limits.characters).join('')
      : value;
  }
  return {
    ...span,
    attributes: kept,
    ...(tooMany ? { droppedAttributes: names.length - limits.attributes } : {}),
  };
}
