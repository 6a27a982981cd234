/**
 * Member names of resource documents in any letter case. Go's JSON decoder, by which Dapr reads them, takes `Kind` for
 * `kind`; the names below a table such as the retries of a Resiliency are the user's own and stay as they are.
 */

import { z } from 'zod';

type Members = Readonly<Record<string, unknown>>;

/** `value` with the members that `schema` names spelt as there; a member spelt right wins over another spelling. */
export function foldMembers(schema: z.ZodType, value: unknown): unknown {
  if (typeof value !== 'object' || value === null) return value;
  if (schema instanceof z.ZodOptional || schema instanceof z.ZodNullable || schema instanceof z.ZodDefault)
    return foldMembers(schema.unwrap() as z.ZodType, value);
  if (schema instanceof z.ZodPipe) return foldMembers(schema.in as z.ZodType, value);
  if (schema instanceof z.ZodArray) {
    const element = schema.element as z.ZodType;
    return Array.isArray(value) ? value.map((item) => foldMembers(element, item)) : value;
  }
  if (Array.isArray(value)) return value;
  if (schema instanceof z.ZodRecord) {
    const type = schema.valueType as z.ZodType;
    return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, foldMembers(type, item)]));
  }
  return schema instanceof z.ZodObject ? foldObject(schema.shape, value as Members) : value;
}

/** Members by the names of `shape`; what it does not name is kept. */
function foldObject(shape: Readonly<Record<string, z.ZodType>>, value: Members): Members {
  const known = new Map(Object.keys(shape).map((name) => [name.toLowerCase(), name]));
  const folded: Record<string, unknown> = {};
  for (const [name, item] of Object.entries(value)) {
    const right = known.get(name.toLowerCase()) ?? name;
    const type = shape[right];
    if (right !== name && Object.hasOwn(value, right)) continue;
    folded[right] = type === undefined ? item : foldMembers(type, item);
  }
  return folded;
}
