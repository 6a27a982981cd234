/**
 * Connection strings of Dapr's SQLite components: a path, a `file:` URI or `:memory:`, with SQLite's URI parameters.
 * The driver knows paths only, so the parameters that matter are taken out here.
 */

/** Where a component's tables live. */
export type SqliteLocation =
  | { readonly kind: 'system' }
  | {
      readonly kind: 'file';
      readonly path: string;
      readonly readOnly: boolean;
      readonly ignored: readonly string[];
    };

/** Means the node's own database file; so does an empty connection string. */
export const SYSTEM_DATABASE = 'skerry:system';

/** Pragmas that have metadata items of their own or must not change. */
const REFUSED_PRAGMAS = ['busy_timeout', 'journal_mode', 'foreign_keys'];

/** Parameters without effect here: one process shares one cache already, and the writer always locks at once. */
const WITHOUT_EFFECT = new Set(['cache', 'mode', 'immutable']);

/** Reads a connection string; throws an `Error` that says what is not allowed. */
export function parseConnectionString(text: string): SqliteLocation {
  if (text === '' || text === SYSTEM_DATABASE) return { kind: 'system' };
  const [head = '', query = ''] = splitOnce(text, '?');
  const parameters = new URLSearchParams(query);
  for (const pragma of parameters.getAll('_pragma')) {
    const refused = REFUSED_PRAGMAS.find((name) => pragma.toLowerCase().startsWith(name));
    if (refused !== undefined)
      throw new Error(`found forbidden option '_pragma=${refused}' in the connection string`);
  }
  const isUri = /^file:/i.test(head);
  const path = uriPath(isUri ? head.slice('file:'.length) : head);
  const memory = /^(file:)?:memory:/i.test(head) || parameters.get('mode') === 'memory';
  return {
    kind: 'file',
    path: memory ? ':memory:' : path,
    readOnly: !memory && (parameters.get('mode') === 'ro' || parameters.get('immutable') === '1'),
    ignored: ignoredParameters(parameters),
  };
}

function ignoredParameters(parameters: URLSearchParams): string[] {
  const ignored: string[] = [];
  for (const [name, value] of parameters) {
    const immediate = name === '_txlock' && value.toLowerCase() === 'immediate';
    if (!WITHOUT_EFFECT.has(name) && !immediate) ignored.push(`${name}=${value}`);
  }
  return ignored;
}

/** The path of a `file:` URI without its authority, fragment and percent escapes. */
function uriPath(text: string): string {
  const [path = ''] = splitOnce(text.replace(/^\/\/(localhost)?(?=\/)/i, ''), '#');
  try {
    return decodeURIComponent(path);
  } catch {
    return path;
  }
}

function splitOnce(text: string, separator: string): readonly string[] {
  const at = text.indexOf(separator);
  return at < 0 ? [text] : [text.slice(0, at), text.slice(at + 1)];
}
