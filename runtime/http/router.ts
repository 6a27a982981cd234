/**
 * Routing of the API (Dapr HTTP reference, sections 2.3 and 3.4). Paths are matched segment by segment in a tree built
 * from the operations table; a literal segment goes before a parameter, and the verb takes part in the match, so that
 * `GET /v1.0/state/s/bulk` reads the key `bulk`. What no route takes is a service invocation; only where invocation is
 * denied does the router answer for itself.
 */

import { type HttpOperationKey, type HttpRoute, OPERATIONS } from '../contracts/operations.ts';
import { type ApiAccess, isAllowed } from './api-access.ts';
import type { ApiRequest, HttpHandler } from './api-request.ts';
import { decodeText } from './path.ts';
import { plainReply, type Reply } from './respond.ts';

/** A handler for every operation that has an HTTP route: a missing one does not compile. */
export type HttpHandlers = Readonly<Record<HttpOperationKey, HttpHandler>>;

interface Target {
  readonly operation: HttpOperationKey;
  readonly handler: HttpHandler;
}

interface Node {
  readonly literal: Map<string, Node>;
  parameter: Node | undefined;
  /** By verb. */
  readonly targets: Map<string, Target>;
  /** By verb: takes one or more remaining segments. */
  readonly rest: Map<string, Target>;
}

const ANY = '*';
const NOT_FOUND: Reply = plainReply(404, '404 page not found');
const newNode = (): Node => ({
  literal: new Map(),
  parameter: undefined,
  targets: new Map(),
  rest: new Map(),
});

function insert(root: Node, route: HttpRoute, target: Target): void {
  let node = root;
  let targets = node.targets;
  for (const segment of route.path.slice(1).split('/')) {
    if (segment.startsWith('*')) {
      targets = node.rest;
      break;
    }
    if (segment.startsWith(':')) {
      node.parameter ??= newNode();
      node = node.parameter;
    } else {
      let next = node.literal.get(segment);
      if (next === undefined) {
        next = newNode();
        node.literal.set(segment, next);
      }
      node = next;
    }
    targets = node.targets;
  }
  for (const method of route.methods) targets.set(method, target);
}

function find(node: Node, path: string, start: number, method: string, params: string[]): Target | undefined {
  if (start > path.length) return node.targets.get(method);
  const slash = path.indexOf('/', start);
  const end = slash < 0 ? path.length : slash;
  const segment = path.slice(start, end);
  if (segment === '') return undefined;
  const literal = node.literal.get(segment);
  if (literal !== undefined) {
    const found = find(literal, path, end + 1, method, params);
    if (found !== undefined) return found;
  }
  if (node.parameter !== undefined) {
    params.push(segment);
    const found = find(node.parameter, path, end + 1, method, params);
    if (found !== undefined) return found;
    params.pop();
  }
  const rest = node.rest.get(method);
  if (rest !== undefined) params.push(path.slice(start));
  return rest;
}

/** Verbs that routes on `path` know. */
function verbs(node: Node, path: string, start: number, found: Set<string>): void {
  if (start > path.length) {
    for (const method of node.targets.keys()) found.add(method);
    return;
  }
  const slash = path.indexOf('/', start);
  const end = slash < 0 ? path.length : slash;
  const literal = node.literal.get(path.slice(start, end));
  if (literal !== undefined) verbs(literal, path, end + 1, found);
  if (node.parameter !== undefined) verbs(node.parameter, path, end + 1, found);
  for (const method of node.rest.keys()) found.add(method);
}

export interface RouterOptions {
  readonly handlers: HttpHandlers;
  readonly access: ApiAccess;
  /** Operations of this server; absent: all. */
  readonly only?: readonly HttpOperationKey[];
}

/** Makes the function that finds and calls the handler of a request. */
export function createRouter(options: RouterOptions): HttpHandler {
  const root = newNode();
  let fallback: Target | undefined;
  for (const operation of options.only ?? (Object.keys(options.handlers) as HttpOperationKey[])) {
    for (const route of OPERATIONS[operation].http as readonly HttpRoute[]) {
      if (!isAllowed(route, options.access)) continue;
      const target: Target = { operation, handler: options.handlers[operation] };
      if (route.methods.includes(ANY)) fallback = target;
      else insert(root, route, target);
    }
  }
  return (request: ApiRequest) => {
    const params: string[] = [];
    const found = find(root, request.path, 1, request.method, params) ?? fallback;
    if (found !== undefined) {
      for (let i = 0; i < params.length; i += 1) params[i] = decodeText(params[i] as string);
      request.params = params;
      request.operation = found.operation;
      return found.handler(request);
    }
    const known = new Set<string>();
    verbs(root, request.path, 1, known);
    if (known.size === 0) return NOT_FOUND;
    return { status: 405, headers: [...known].flatMap((method) => ['Allow', method]) };
  };
}
