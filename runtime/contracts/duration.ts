/** Durations as Dapr writes them: Go durations (`1h30m`, `500ms`), plain integers and ISO 8601 (`PT10S`). */

const GO_UNIT_MS: Readonly<Record<string, number>> = {
  ns: 1e-6,
  us: 1e-3,
  µs: 1e-3,
  μs: 1e-3,
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
};
const GO_PART = /(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|μs|ms|s|m|h)/g;
const GO_DURATION = /^[+-]?(?:(?:\d+(?:\.\d*)?|\.\d+)(?:ns|us|µs|μs|ms|s|m|h))+$/;

/** Milliseconds of a Go duration, or `undefined` when `text` is not one. `0` is a duration without a unit. */
export function parseGoDuration(text: string): number | undefined {
  if (/^[+-]?0$/.test(text)) return 0;
  if (!GO_DURATION.test(text)) return undefined;
  let ms = 0;
  for (const [, amount, unit] of text.matchAll(GO_PART)) ms += Number(amount) * (GO_UNIT_MS[unit ?? ''] ?? 0);
  return text.startsWith('-') ? -ms : ms;
}

/** Milliseconds of a component metadata duration: a Go duration, or an integer counted in `integerUnitMs`. */
export function parseMetadataDuration(text: string, integerUnitMs = 1000): number | undefined {
  return /^-?\d+$/.test(text) ? Number(text) * integerUnitMs : parseGoDuration(text);
}

/** Text of a duration in Go's form (`1h0m0s`, `1.5s`, `300ms`), as Dapr prints it. */
export function formatGoDuration(ms: number): string {
  if (ms === 0) return '0s';
  const sign = ms < 0 ? '-' : '';
  const rest = Math.abs(ms);
  if (rest < 1000) {
    if (rest >= 1) return `${sign}${Number(rest.toFixed(6))}ms`;
    return rest >= 1e-3
      ? `${sign}${Number((rest * 1e3).toFixed(3))}µs`
      : `${sign}${Math.round(rest * 1e6)}ns`;
  }
  const hours = Math.floor(rest / 3_600_000);
  const minutes = Math.floor((rest % 3_600_000) / 60_000);
  const seconds = Number(((rest % 60_000) / 1000).toFixed(9));
  return `${sign}${hours ? `${hours}h` : ''}${hours || minutes ? `${minutes}m` : ''}${seconds}s`;
}
