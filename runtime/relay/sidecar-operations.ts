/**
 * What a request to the sidecar beside the relay is about. A path is taken apart, looked at piece by piece and put together anew,
 * so that what was judged is what is asked.
 */

export const OPERATIONS = [
  'state',
  'publish',
  'subscribe',
  'bindings',
  'configuration',
  'lock',
  'secrets',
  'invoke',
] as const;
export type Operation = (typeof OPERATIONS)[number];

export interface Asked {
  /** `health`: whether the sidecar lives; always allowed. */
  readonly operation: Operation | 'health';
  /** Name of a component, or the app id of an invocation. */
  readonly name: string;
  /** Decoded parts behind the name: a key, the parts of a topic. */
  readonly rest: readonly string[];
  /** Encoded here, with the query as it came. */
  readonly path: string;
}

const VERSION = /^v1\.0(?:-alpha1|-beta1)?$/;
const MAX_PATH = 8192;
/** `publish/bulk/<pubsub>/<topic>` */
const BULK_PARTS = 4;
const WRITES = new Set(['POST', 'PUT']);
/** How many parts stand behind the version and which verbs are taken. */
const SHAPES: Readonly<
  Record<
    string,
    {
      readonly is: Operation;
      readonly least: number;
      readonly most: number;
      readonly verbs?: ReadonlySet<string>;
    }
  >
> = {
  state: { is: 'state', least: 2, most: 3, verbs: new Set(['GET', 'POST', 'PUT', 'DELETE']) },
  publish: { is: 'publish', least: 3, most: 64, verbs: WRITES },
  bindings: { is: 'bindings', least: 2, most: 2, verbs: WRITES },
  configuration: { is: 'configuration', least: 2, most: 2, verbs: new Set(['GET']) },
  secrets: { is: 'secrets', least: 3, most: 3, verbs: new Set(['GET']) },
  lock: { is: 'lock', least: 2, most: 2, verbs: WRITES },
  unlock: { is: 'lock', least: 2, most: 2, verbs: WRITES },
  invoke: { is: 'invoke', least: 4, most: 256 },
};

/** What a request asks for; `undefined` when it is nothing that nodes may ask for. */
export function askedOf(method: string, path: string): Asked | undefined {
  if (path.length > MAX_PATH) return undefined;
  const cut = path.indexOf('?');
  const query = cut < 0 ? '' : path.slice(cut);
  const parts = partsOf(cut < 0 ? path : path.slice(0, cut));
  if (parts === undefined || !VERSION.test(parts[0] ?? '')) return undefined;
  const asked = parts[1] === 'healthz' ? healthOf(method, parts, query) : operationOf(method, parts);
  return asked === undefined
    ? undefined
    : { ...asked, path: `/${parts.map(encodeURIComponent).join('/')}${query}` };
}

type Named = Pick<Asked, 'operation' | 'name' | 'rest'>;

function healthOf(method: string, parts: readonly string[], query: string): Named | undefined {
  const known = parts.length === 2 || (parts.length === 3 && parts[2] === 'outbound');
  return method === 'GET' && query === '' && known ? { operation: 'health', name: '', rest: [] } : undefined;
}

function operationOf(method: string, parts: readonly string[]): Named | undefined {
  const [, what = '', second = '', third = ''] = parts;
  const shape = Object.hasOwn(SHAPES, what) ? SHAPES[what] : undefined;
  const count = parts.length - 1;
  if (shape === undefined || count < shape.least || count > shape.most) return undefined;
  if (shape.verbs?.has(method) === false) return undefined;
  if (shape.is === 'invoke' && third !== 'method') return undefined;
  // The bulk API has its word where a component's name stands otherwise.
  const bulk = shape.is === 'publish' && second === 'bulk';
  if (bulk && count < BULK_PARTS) return undefined;
  const name = bulk ? third : second;
  return /[/\\]/.test(name) ? undefined : { operation: shape.is, name, rest: parts.slice(bulk ? 4 : 3) };
}

/** Decoded parts; `undefined` where a part is empty, not decodable, or leads somewhere else when it is decoded once more. */
function partsOf(path: string): readonly string[] | undefined {
  const parts: string[] = [];
  for (const part of path.slice(1).split('/')) {
    let decoded: string;
    try {
      decoded = decodeURIComponent(part);
    } catch {
      return undefined;
    }
    if (decoded === '' || decoded.includes('\0')) return undefined;
    if (decoded.split(/[/\\]/).some((step) => step === '.' || step === '..')) return undefined;
    parts.push(decoded);
  }
  return parts;
}
