/**
 * `spec.metrics.rules`: regular expressions that replace parts of label values, so that ids do not make series of their
 * own. Rules name a metric with or without `dapr_`; a rule's replacement may use `$1` and `${name}` as in Go.
 */

import type { Labels } from '../contracts/metrics.ts';
import type { ConfigurationResource } from '../contracts/resource.ts';

/** Rewrites the labels of a metric; `undefined` for metrics without rules, which are most. */
export type RewriteLabels = (name: string) => ((labels: Labels) => Labels) | undefined;

interface Replacement {
  readonly pattern: RegExp;
  readonly text: (match: readonly string[], groups: Readonly<Record<string, string>>) => string;
}

/** Flags in front hold for the whole expression; named groups and anchors as JavaScript writes them. */
function compile(source: string): RegExp {
  const flags = /^\(\?([ims]+)\)/.exec(source);
  const body = (flags === null ? source : source.slice(flags[0].length))
    .replaceAll('(?P<', '(?<')
    .replace(/\\A/g, '^')
    .replace(/\\z/g, '$');
  return new RegExp(body, `g${flags?.[1] ?? ''}`);
}

/** Go's template: `$name` takes the longest name, `$$` is a dollar, an unknown group is empty. */
function template(text: string): Replacement['text'] {
  if (!text.includes('$')) return () => text;
  return (match, groups) =>
    text.replace(/\$(?:(\$)|\{(\w+)\}|(\w+))/g, (_whole, dollar?: string, braced?: string, bare?: string) => {
      if (dollar !== undefined) return '$';
      const name = braced ?? bare ?? '';
      return (/^\d+$/.test(name) ? match[Number(name)] : groups[name]) ?? '';
    });
}

function replaced(value: string, { pattern, text }: Replacement): string {
  return value.replace(pattern, (...parts: unknown[]) => {
    const groups = typeof parts.at(-1) === 'object' ? (parts.pop() as Record<string, string>) : {};
    return text(parts.slice(0, -2) as string[], groups);
  });
}

/** Compiles the rules; throws with the rule's name when an expression is none. */
export function createMetricRules(
  rules: ConfigurationResource['metrics']['rules'],
): RewriteLabels | undefined {
  const byName = new Map<string, Map<string, readonly Replacement[]>>();
  for (const { name, labels } of rules) {
    const metric = name.replace('dapr_', '').replaceAll('/', '_');
    const ofMetric = byName.get(metric) ?? new Map<string, readonly Replacement[]>();
    byName.set(metric, ofMetric);
    for (const label of labels) {
      const replacements = Object.entries(label.regex).map(([text, source]): Replacement => {
        try {
          return { pattern: compile(source), text: template(text) };
        } catch (cause) {
          throw new Error(`failed to compile regex for rule ${name}/${label.name}/${text}: ${String(cause)}`);
        }
      });
      ofMetric.set(label.name, replacements);
    }
  }
  if (byName.size === 0) return undefined;
  return (name) => {
    const ofMetric = byName.get(name);
    if (ofMetric === undefined) return undefined;
    return (labels) => {
      const rewritten: Record<string, string> = { ...labels };
      for (const [label, replacements] of ofMetric) {
        const value = rewritten[label];
        // Dapr leaves empty labels alone.
        if (value !== undefined && value !== '') rewritten[label] = replacements.reduce(replaced, value);
      }
      return rewritten;
    };
  };
}
