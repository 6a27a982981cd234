/** What failed in a run's TAP output (https://testanything.org): each failed point under its path, with what tap says of it. */

const POINT = /^(?<indent> *)not ok \d+(?: - (?<name>.*?))?(?: # time=\S+)?$/;
const SUBTEST = /^(?<indent> *)# Subtest: (?<name>.*)$/;
const TOTALS = /^# \{ total: \d+(?:, pass: (?<pass>\d+))?(?:, fail: (?<fail>\d+))?/m;
/** What the end of an aborted run may show: the file it was in, and last words of processes. */
const TAIL_LINES = 40;
const INDENT = 4;

export interface TapReport {
  readonly passed: number;
  readonly failed: number;
  /** For people; empty when all is well. */
  readonly failures: string;
}

/** Reads the output; `ended` says how tap itself ended, as in 'exit code 1'. */
export function tapReport(output: string, ended: string): TapReport {
  const lines = output.split('\n');
  const failures = failedPoints(lines);
  const { pass, fail } = TOTALS.exec(output)?.groups ?? {};
  if (pass === undefined && fail === undefined)
    failures.push(`tap ended before its totals, with ${ended}; its last lines:`, ...lines.slice(-TAIL_LINES));
  return { passed: Number(pass ?? 0), failed: Number(fail ?? 0), failures: failures.join('\n') };
}

/** Failed points with nothing failed below them; the others only repeat it. */
function failedPoints(lines: readonly string[]): string[] {
  const shown: string[] = [];
  const path: string[] = [];
  let deepest = 0;
  for (const [index, line] of lines.entries()) {
    const subtest = SUBTEST.exec(line)?.groups;
    if (subtest !== undefined) {
      path.length = depthOf(subtest);
      path.push(subtest['name'] ?? '');
    }
    const point = POINT.exec(line)?.groups;
    if (point === undefined || / # (?:TODO|SKIP)\b/i.test(line)) continue;
    const depth = depthOf(point);
    if (depth >= deepest) {
      const place = [...path.slice(0, depth), point['name'] ?? 'a point without a name'];
      shown.push(`not ok: ${place.join(' > ')}`, ...details(lines, index + 1));
    }
    deepest = depth;
  }
  return shown;
}

function depthOf({ indent = '' }: Readonly<Record<string, string | undefined>>): number {
  return indent.length / INDENT;
}

/** The YAML block after a point, without its frame. */
function details(lines: readonly string[], from: number): string[] {
  if (lines[from]?.trim() !== '---') return [];
  const end = lines.findIndex((line, index) => index > from && line.trim() === '...');
  return lines.slice(from + 1, end === -1 ? undefined : end);
}
