/** The metadata item `rawPayload` of publish requests and subscriptions: bytes without an envelope. */

const TRUE = new Set(['1', 't', 'T', 'TRUE', 'true', 'True']);
const FALSE = new Set(['', '0', 'f', 'F', 'FALSE', 'false', 'False']);

/** Reads the item as Go reads a boolean; throws an error with the text clients see when it is none. */
export function isRawPayload(metadata: Readonly<Record<string, string>>): boolean {
  const value = metadata['rawPayload'];
  if (value === undefined || FALSE.has(value)) return false;
  if (TRUE.has(value)) return true;
  throw new Error(`rawPayload value must be a valid boolean: actual is '${value}'`);
}
