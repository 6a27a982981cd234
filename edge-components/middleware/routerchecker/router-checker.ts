/** Refuses requests whose path and query do not match a rule (components reference, section 9). */

import { errorText } from '../../../runtime/contracts/error.ts';
import type { HttpMiddleware } from '../../../runtime/contracts/http-middleware.ts';
import { textResponse } from '../../drivers/http/text-response.ts';
import { compileGoPattern } from './go-pattern.ts';

export function createRouterChecker(rule: string): HttpMiddleware {
  let pattern: RegExp;
  try {
    pattern = compileGoPattern(rule);
  } catch (error) {
    throw new Error(
      `metadata item 'rule': expected a regular expression, got '${rule}': ${errorText(error)}`,
    );
  }
  return {
    init: async () => {},
    close: async () => {},
    handle: async (request, next) => {
      const target = request.query === '' ? request.path : `${request.path}?${request.query}`;
      return pattern.test(target) ? await next(request) : textResponse(400, 'invalid router');
    },
  };
}
