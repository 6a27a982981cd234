/** The `grpc-timeout` header: at most eight digits and a unit (gRPC over HTTP/2, Requests). */

const UNIT_MS: Readonly<Record<string, number>> = {
  H: 3_600_000,
  M: 60_000,
  S: 1000,
  m: 1,
  u: 1e-3,
  n: 1e-6,
};
const MAX_DIGITS_VALUE = 99_999_999;

/** Milliseconds (fractions possible), or `undefined` when the text is not a timeout. */
export function parseTimeout(text: string): number | undefined {
  const unit = UNIT_MS[text.slice(-1)];
  const digits = text.slice(0, -1);
  if (unit === undefined || digits.length < 1 || digits.length > 8) return undefined;
  let value = 0;
  for (let at = 0; at < digits.length; at += 1) {
    const digit = digits.charCodeAt(at) - 48;
    if (digit < 0 || digit > 9) return undefined;
    value = value * 10 + digit;
  }
  return value * unit;
}

/** What is wrong with a text that `parseTimeout` does not take, in the words of gRPC's Go servers. */
export function timeoutFault(text: string): string {
  const shown = JSON.stringify(text);
  if (text.length < 2) return `transport: timeout string is too short: ${shown}`;
  if (text.length > 9) return `transport: timeout string is too long: ${shown}`;
  if (UNIT_MS[text.slice(-1)] === undefined) return `transport: timeout unit is not recognized: ${shown}`;
  return `strconv.ParseUint: parsing ${JSON.stringify(text.slice(0, -1))}: invalid syntax`;
}

/** The finest unit that fits, rounded up so that the far side never gives up first. */
export function formatTimeout(ms: number): string {
  if (!(ms > 0)) return '0m';
  for (const unit of ['u', 'm', 'S', 'M'] as const) {
    const value = Math.ceil(ms / (UNIT_MS[unit] as number));
    if (value <= MAX_DIGITS_VALUE) return `${value}${unit}`;
  }
  return `${Math.min(MAX_DIGITS_VALUE, Math.ceil(ms / 3_600_000))}H`;
}
