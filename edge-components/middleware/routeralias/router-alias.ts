/** Rewrites paths by templates; what a template's `{name}` caught becomes a query parameter (components reference, section 9). */

import { errorText } from '../../../runtime/contracts/error.ts';
import type { HttpMiddleware, PipelineRequest } from '../../../runtime/contracts/http-middleware.ts';
import { parseRouteMap } from './route-map.ts';

interface Alias {
  readonly pattern: RegExp;
  readonly names: readonly string[];
  readonly path: string;
  /** Query that the target itself has, without `?`. */
  readonly query: string;
}

export function createRouterAlias(routes: string): HttpMiddleware {
  let aliases: readonly Alias[];
  try {
    aliases = parseRouteMap(routes).map(([template, target]) => compile(template, target));
  } catch (error) {
    throw new Error(
      `metadata item 'routes': expected a JSON or YAML map of path to path: ${errorText(error)}`,
    );
  }
  return {
    init: async () => {},
    close: async () => {},
    handle: (request, next) => next(rewritten(aliases, request)),
  };
}

/** `{name}` is one segment, `{name:pattern}` what the pattern says, everything else is meant literally. */
function compile(template: string, target: string): Alias {
  const names: string[] = [];
  let pattern = '';
  let at = 0;
  for (const match of template.matchAll(/\{([A-Za-z_]\w*)(?::((?:[^{}]|\{[^{}]*\})+))?\}/g)) {
    pattern += RegExp.escape(template.slice(at, match.index));
    names.push(match[1] ?? '');
    pattern += `(?<v${names.length - 1}>${match[2] ?? '[^/]+'})`;
    at = match.index + match[0].length;
  }
  pattern += RegExp.escape(template.slice(at));
  const mark = target.indexOf('?');
  return {
    pattern: new RegExp(`^${pattern}$`),
    names,
    path: mark < 0 ? target : target.slice(0, mark),
    query: mark < 0 ? '' : target.slice(mark + 1),
  };
}

function rewritten(aliases: readonly Alias[], request: PipelineRequest): PipelineRequest {
  if (aliases.length === 0) return request;
  const path = decoded(request.path);
  for (const alias of aliases) {
    const match = alias.pattern.exec(path);
    if (match !== null) return { ...request, path: alias.path, query: queryOf(alias, match, request.query) };
  }
  return request;
}

/** Without variables the query stays byte for byte; with them it is encoded anew, sorted by name. */
function queryOf(alias: Alias, match: RegExpExecArray, given: string): string {
  const query = alias.query === '' || given === '' ? alias.query + given : `${alias.query}&${given}`;
  if (alias.names.length === 0) return query;
  const parameters = new URLSearchParams(query);
  for (const [index, name] of alias.names.entries())
    parameters.append(name, match.groups?.[`v${index}`] ?? '');
  parameters.sort();
  return parameters.toString();
}

function decoded(path: string): string {
  if (!path.includes('%')) return path;
  try {
    return decodeURIComponent(path);
  } catch {
    return path;
  }
}
