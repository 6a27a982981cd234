/** `ttlInSeconds` of a state request, by the rules of Dapr's SQL stores: an integer from -1; 0 and -1 mean no expiry. */

const MAX_TTL_SECONDS = 2 ** 31 - 1;

/** Seconds to live; 0 or less for no expiry. */
export function parseTtl(metadata: Readonly<Record<string, string>>): number {
  const text = metadata['ttlInSeconds'];
  if (text === undefined || text === '') return 0;
  const prefix = "error parsing TTL: incorrect value for metadata 'ttlInSeconds'";
  const parsing = `${prefix}: strconv.ParseInt: parsing ${JSON.stringify(text)}`;
  if (!/^[+-]?\d+$/.test(text)) throw new Error(`${parsing}: invalid syntax`);
  const seconds = Number(text);
  if (Math.abs(seconds) >= 2 ** 63) throw new Error(`${parsing}: value out of range`);
  if (seconds < -1 || seconds > MAX_TTL_SECONDS) throw new Error(`${prefix}: must be -1 or greater`);
  return seconds;
}
