/**
 * Decoding of component metadata: names without regard to case, values as Dapr reads them (truthy words, Go durations,
 * comma lists, quantities). Used by every component definition; faults name the item and what was expected.
 */

import { z } from 'zod';
import { parseMetadataDuration } from './duration.ts';

export type MetadataItems = Readonly<Record<string, string>>;

export interface MetadataSchema<M> {
  /** Canonical item names, for docs and for the warning about unknown ones. */
  readonly names: readonly string[];
  /** Other spellings of an item: alias to canonical name. */
  readonly aliases: Readonly<Record<string, string>>;
  readonly schema: z.ZodType<M>;
  /** True when items beyond `names` are expected: none are reported as unknown, all are given to `schema`. */
  readonly open: boolean;
}

/** Item names that the runtime itself understands on any component of some category. */
export const RUNTIME_ITEMS: readonly string[] = [
  'keyprefix',
  'actorstatestore',
  'primaryencryptionkey',
  'secondaryencryptionkey',
  'outboxpublishpubsub',
  'outboxpublishtopic',
  'outboxpubsub',
  'outboxdiscardwhenmissingstate',
  'consumerid',
  'allowedtopics',
  'protectedtopics',
  'publishingscopes',
  'subscriptionscopes',
  'direction',
  'route',
  'replyactions',
];

/** A schema of metadata items; each shape value is one of the item kinds below (or any zod type over a string). */
export function metadataSchema<S extends z.ZodRawShape>(
  shape: S,
  options: { aliases?: Readonly<Record<string, string>>; open?: boolean } = {},
): MetadataSchema<z.output<z.ZodObject<S>>> {
  return {
    names: Object.keys(shape),
    aliases: options.aliases ?? {},
    schema: z.object(shape) as z.ZodType<z.output<z.ZodObject<S>>>,
    open: options.open ?? false,
  };
}

export type DecodedMetadata<M> =
  | { readonly ok: true; readonly value: Readonly<M>; readonly unknown: readonly string[] }
  | { readonly ok: false; readonly faults: readonly string[] };

/** Decodes `items`; `unknown` lists items that neither the component nor the runtime knows. */
export function decodeMetadata<M>(schema: MetadataSchema<M>, items: MetadataItems): DecodedMetadata<M> {
  const canonical = new Map(schema.names.map((name) => [name.toLowerCase(), name]));
  for (const [alias, name] of Object.entries(schema.aliases)) canonical.set(alias.toLowerCase(), name);
  const input: Record<string, string> = {};
  const spelled = new Map<string, string>();
  const unknown: string[] = [];
  const faults: string[] = [];
  for (const [given, value] of Object.entries(items)) {
    const name = canonical.get(given.toLowerCase());
    if (name === undefined) {
      // For schemas that take whatever there is; others drop what they do not know.
      if (schema.open) input[given] = value;
      if (!schema.open && !RUNTIME_ITEMS.includes(given.toLowerCase())) unknown.push(given);
      continue;
    }
    const earlier = spelled.get(name);
    if (earlier !== undefined) faults.push(`metadata item '${given}' repeats '${earlier}'`);
    spelled.set(name, given);
    input[name] = value;
  }
  if (faults.length > 0) return { ok: false, faults };
  const parsed = schema.schema.safeParse(input);
  if (parsed.success) return { ok: true, value: Object.freeze(parsed.data), unknown };
  return {
    ok: false,
    faults: parsed.error.issues.map((issue) => `metadata item '${issue.path.join('.')}': ${issue.message}`),
  };
}

const TRUTHY = new Set(['y', 'yes', 'true', 't', 'on', '1']);

/** Whether Dapr reads `text` as true (`y, yes, true, t, on, 1`, any case). */
export function isTruthy(text: string | undefined): boolean {
  return text !== undefined && TRUTHY.has(text.trim().toLowerCase());
}

/** A text that must be present and not empty. */
export function requiredText(): z.ZodType<string> {
  return z.string({ error: 'is required' }).min(1, 'is required');
}

export function optionalText(): z.ZodType<string | undefined> {
  return z.string().optional();
}

export function text(fallback: string): z.ZodType<string> {
  return z.string().default(fallback);
}

/** A truthy word; anything else is false. */
export function flag(fallback: boolean): z.ZodType<boolean> {
  return z
    .string()
    .optional()
    .transform((value) => (value === undefined || value === '' ? fallback : isTruthy(value)));
}

/** Milliseconds; `integerUnitMs` is what a plain integer counts (1000 for most components). */
export function duration(fallbackMs: number, integerUnitMs = 1000): z.ZodType<number> {
  return z
    .string()
    .optional()
    .transform((value, context) => {
      if (value === undefined || value === '') return fallbackMs;
      const ms = parseMetadataDuration(value, integerUnitMs);
      if (ms === undefined)
        context.addIssue({ code: 'custom', message: `expected a duration such as 5s, got '${value}'` });
      return ms ?? fallbackMs;
    });
}

export function integer(
  fallback: number,
  min = Number.MIN_SAFE_INTEGER,
  max = Number.MAX_SAFE_INTEGER,
): z.ZodType<number> {
  return z
    .string()
    .optional()
    .transform((value, context) => {
      if (value === undefined || value === '') return fallback;
      const parsed = /^[+-]?\d+$/.test(value.trim()) ? Number(value) : Number.NaN;
      if (!(parsed >= min && parsed <= max)) {
        context.addIssue({
          code: 'custom',
          message: `expected an integer from ${min} to ${max}, got '${value}'`,
        });
        return fallback;
      }
      return parsed;
    });
}

/** A comma list, trimmed, without empty parts. */
export function commaList(): z.ZodType<readonly string[]> {
  return z
    .string()
    .optional()
    .transform((value) => splitCommaList(value ?? ''));
}

export function splitCommaList(value: string): readonly string[] {
  return value
    .split(',')
    .map((part) => part.trim())
    .filter((part) => part !== '');
}

/** A byte count as a Kubernetes quantity (`4Mi`, `100k`, `512`). */
export function quantity(fallbackBytes: number): z.ZodType<number> {
  return z
    .string()
    .optional()
    .transform((value, context) => {
      if (value === undefined || value === '') return fallbackBytes;
      const bytes = parseQuantity(value);
      if (bytes === undefined)
        context.addIssue({ code: 'custom', message: `expected a quantity such as 4Mi, got '${value}'` });
      return bytes ?? fallbackBytes;
    });
}

const QUANTITY_FACTOR: Readonly<Record<string, number>> = {
  '': 1,
  k: 1e3,
  M: 1e6,
  G: 1e9,
  T: 1e12,
  Ki: 2 ** 10,
  Mi: 2 ** 20,
  Gi: 2 ** 30,
  Ti: 2 ** 40,
};

/** Bytes of a Kubernetes quantity, or `undefined` when `value` is not one. */
export function parseQuantity(value: string): number | undefined {
  const match = /^([+-]?\d+(?:\.\d+)?)(k|M|G|T|Ki|Mi|Gi|Ti)?$/.exec(value.trim());
  if (match === null) return undefined;
  return Math.floor(Number(match[1]) * (QUANTITY_FACTOR[match[2] ?? ''] ?? 1));
}
