/**
 * Routing rules of a subscription (HTTP reference, 8.1): CEL conditions over `event`, compiled once. The first rule that
 * is true wins, an empty condition is always true.
 */

import { Environment } from '@marcbachmann/cel-js';
import type { CloudEvent } from '../../contracts/cloud-event.ts';
import { errorText } from '../../contracts/error.ts';
import type { RouteRule } from '../../contracts/resource.ts';
import { TimeLimitError, withTimeLimit } from './time-limit.ts';

export interface RoutingRules {
  /** Path of the first rule that is true, `undefined` when there is none; throws when a rule cannot be evaluated. */
  match(event: CloudEvent): string | undefined;
}

const MAX_EXPRESSION_LENGTH = 8192;
const MAX_RULES = 1000;
/** What one expression may take over one event. */
const EVALUATION_LIMIT_MS = 250;

interface CompiledRule {
  readonly path: string;
  readonly text: string;
  /** Absent: always true. */
  readonly evaluate?: (context: { readonly event: CloudEvent }) => unknown;
}

/** Compiles rules; throws an error that names the one at fault. */
export function compileRules(rules: readonly RouteRule[]): RoutingRules {
  if (rules.length > MAX_RULES) throw new Error(`more than ${MAX_RULES} routing rules`);
  const compiled = rules.map(compileRule);
  return {
    match: (event) => {
      for (const rule of compiled) {
        if (rule.evaluate === undefined) return rule.path;
        const result = rule.evaluate({ event });
        if (typeof result !== 'boolean') {
          throw new Error(`the result of match expression ${rule.text} was not a boolean`);
        }
        if (result) return rule.path;
      }
      return undefined;
    },
  };
}

function compileRule(rule: RouteRule): CompiledRule {
  const text = rule.match.trim();
  if (text === '') return { path: rule.path, text };
  if (text.length > MAX_EXPRESSION_LENGTH) {
    throw new Error(`match expression is longer than ${MAX_EXPRESSION_LENGTH} characters`);
  }
  try {
    const parsed = celEnvironment().parse(text);
    return { path: rule.path, text, evaluate: mayTakeLong(text) ? limited(text, parsed) : parsed };
  } catch (error) {
    throw new Error(`match expression '${text}' is not valid CEL: ${errorText(error).split('\n', 1)[0]}`, {
      cause: error,
    });
  }
}

/** Regular expressions may backtrack, and lists inside lists multiply; everything else takes as long as the event is big. */
function mayTakeLong(text: string): boolean {
  if (text.includes('matches')) return true;
  return (text.match(/\b(?:all|exists|exists_one|map|filter)\s*\(/g)?.length ?? 0) > 1;
}

function limited(text: string, evaluate: NonNullable<CompiledRule['evaluate']>): typeof evaluate {
  return (context) => {
    try {
      return withTimeLimit(EVALUATION_LIMIT_MS, () => evaluate(context));
    } catch (error) {
      if (!(error instanceof TimeLimitError)) throw error;
      throw new Error(`match expression '${text}' was given up: ${error.message}`, { cause: error });
    }
  };
}

/** As in Dapr every name is a variable; only `event` has a value, any other fails the delivery. */
function celEnvironment(): Environment {
  return new Environment({
    unlistedVariablesAreDyn: true,
    homogeneousAggregateLiterals: false,
    limits: { maxAstNodes: 2000, maxDepth: 64 },
  });
}
