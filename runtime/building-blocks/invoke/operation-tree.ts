/**
 * Operation names of access policies, segment by segment, with Dapr's meaning of wildcards: `*` within a segment is any
 * text, a last segment `*` is one more segment or none, `**` is any number of them. A rule holds for everything below its
 * name too, what was declared first wins, and a branch once taken is not left again.
 */

interface Node<T> {
  readonly segment: string;
  rule: T | undefined;
  readonly below: Node<T>[];
}

export interface OperationTree<T> {
  /** The first rule of a name stays. `name` starts with a slash. */
  put(name: string, rule: T): void;
  find(name: string): T | undefined;
}

export function createOperationTree<T>(): OperationTree<T> {
  const root = node<T>('');
  return {
    put: (name, rule) => {
      let at = root;
      for (const segment of name.split('/').slice(1)) {
        let next = at.below.find((child) => child.segment === segment);
        if (next === undefined) {
          next = node(segment);
          at.below.push(next);
        }
        at = next;
      }
      at.rule ??= rule;
    },
    find: (name) => {
      const segments = name.split('/').slice(1);
      let at = root;
      for (const [index, segment] of segments.entries()) {
        const last = index === segments.length - 1;
        const next = choose(at, segment, last);
        if (next === undefined) return undefined;
        if (next.rule !== undefined && (last || next.segment !== '*')) return next.rule;
        if (last) return choose(next, '*', true)?.rule;
        at = next;
      }
      return undefined;
    },
  };
}

function node<T>(segment: string): Node<T> {
  return { segment, rule: undefined, below: [] };
}

function choose<T>(at: Node<T>, segment: string, last: boolean): Node<T> | undefined {
  return at.below.find((child) => {
    if (child.segment === segment || child.segment === '**') return true;
    if (child.segment === '*') return last;
    return child.segment.includes('*') && matches(child.segment, segment);
  });
}

/** `*` is any text. Every part is looked for once, since names come from strangers. */
function matches(pattern: string, text: string): boolean {
  const [first = '', ...rest] = pattern.split('*');
  const end = rest.pop() ?? '';
  if (text.length < first.length + end.length || !text.startsWith(first) || !text.endsWith(end)) return false;
  let at = first.length;
  for (const part of rest) {
    const found = text.indexOf(part, at);
    if (found < 0) return false;
    at = found + part.length;
  }
  return at <= text.length - end.length;
}
