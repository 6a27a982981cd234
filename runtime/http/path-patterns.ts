/**
 * `spec.metrics.http.pathMatching`: which pattern a path belongs to, by the rules of Go's ServeMux, which Dapr matches
 * with. `{name}` is one segment, `{name...}` and a trailing slash take all that follows, `{$}` only the slash itself; the
 * more exact pattern wins, segment by segment.
 */

interface Node {
  readonly literal: Map<string, Node>;
  single: Node | undefined;
  /** Pattern that ends here. */
  exact: string | undefined;
  /** Pattern that takes all that follows. */
  rest: string | undefined;
}

const newNode = (): Node => ({ literal: new Map(), single: undefined, exact: undefined, rest: undefined });

/** One slash in front, none doubled. */
export function normalPath(path: string): string {
  const single = path.includes('//') ? path.replace(/\/{2,}/g, '/') : path;
  return single.startsWith('/') ? single : `/${single}`;
}

function insert(root: Node, pattern: string): void {
  const segments = pattern.slice(1).split('/');
  let node = root;
  for (const [at, segment] of segments.entries()) {
    const last = at === segments.length - 1;
    if (last && (segment === '' || /^\{.*\.\.\.\}$/.test(segment))) {
      node.rest ??= pattern;
      return;
    }
    if (/^\{.+\}$/.test(segment) && segment !== '{$}') {
      node.single ??= newNode();
      node = node.single;
      continue;
    }
    const literal = segment === '{$}' ? '' : segment;
    const next = node.literal.get(literal) ?? newNode();
    node.literal.set(literal, next);
    node = next;
  }
  node.exact ??= pattern;
}

function find(node: Node, segments: readonly string[], at: number): string | undefined {
  const segment = segments[at];
  if (segment === undefined) return node.exact;
  const literal = node.literal.get(segment);
  const exact = literal === undefined ? undefined : find(literal, segments, at + 1);
  if (exact !== undefined) return exact;
  const single =
    node.single === undefined || segment === '' ? undefined : find(node.single, segments, at + 1);
  return single ?? node.rest;
}

/** The pattern of a normal path, or `undefined`. */
export type PathMatcher = (path: string) => string | undefined;

/** Every pattern also counts for invocations of any app by that path. */
export function createPathMatcher(patterns: readonly string[]): PathMatcher {
  const root = newNode();
  for (const given of patterns) {
    const pattern = normalPath(given);
    insert(root, pattern);
    if (!pattern.startsWith('/v1.0/invoke/')) insert(root, `/v1.0/invoke/{app_id}/method${pattern}`);
  }
  return (path) => find(root, path.slice(1).split('/'), 0);
}
