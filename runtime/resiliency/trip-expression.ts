/**
 * The `trip` expression of a circuit breaker: a small, typed part of CEL over the breaker's five counters. Everything is
 * checked when the resource is loaded (unknown names, mixed types), so that evaluating can never fail.
 */

export interface BreakerCounts {
  readonly requests: number;
  readonly totalSuccesses: number;
  readonly totalFailures: number;
  readonly consecutiveSuccesses: number;
  readonly consecutiveFailures: number;
}

const VARIABLES: readonly (keyof BreakerCounts)[] = [
  'requests',
  'totalSuccesses',
  'totalFailures',
  'consecutiveSuccesses',
  'consecutiveFailures',
];
const MAX_LENGTH = 1024;
const MAX_DEPTH = 32;
const TOKEN = /\s*(?:(\d+\.\d*|\.\d+)|(\d+)|([A-Za-z_]\w*)|(&&|\|\||[<>=!]=|[-+*/%<>!()]))/y;

type Type = 'int' | 'double' | 'bool';
interface Node {
  readonly type: Type;
  readonly value: (counts: BreakerCounts) => number;
}

const truth = (value: boolean): number => (value ? 1 : 0);
const COMPARE: Readonly<Record<string, (a: number, b: number) => boolean>> = {
  '==': (a, b) => a === b,
  '!=': (a, b) => a !== b,
  '<': (a, b) => a < b,
  '<=': (a, b) => a <= b,
  '>': (a, b) => a > b,
  '>=': (a, b) => a >= b,
};
// As in CEL: division of integers truncates and division by zero is an error, which here means "do not trip" (NaN
// compares as false).
const ARITHMETIC: Readonly<Record<string, (a: number, b: number, type: Type) => number>> = {
  '+': (a, b) => a + b,
  '-': (a, b) => a - b,
  '*': (a, b) => a * b,
  '/': (a, b, type) => (type === 'double' ? a / b : b === 0 ? Number.NaN : Math.trunc(a / b)),
  '%': (a, b) => a % b,
};

function tokens(text: string): string[] {
  const found: string[] = [];
  TOKEN.lastIndex = 0;
  const trimmed = text.trimEnd();
  while (TOKEN.lastIndex < trimmed.length) {
    const at = TOKEN.lastIndex;
    const match = TOKEN.exec(trimmed);
    if (match === null) throw new Error(`unexpected character at position ${at + 1} of '${text}'`);
    found.push(match[0].trim());
  }
  return found;
}

/** Compiles `text`; throws an error that names what is wrong with it. The result must be a boolean expression. */
export function compileTrip(text: string): (counts: BreakerCounts) => boolean {
  if (text.length > MAX_LENGTH) throw new Error(`expression is longer than ${MAX_LENGTH} characters`);
  const node = new TripParser(tokens(text), text).parse();
  if (node.type !== 'bool')
    throw new Error(`'${text}' is not a condition; expected e.g. consecutiveFailures > 5`);
  return (counts) => node.value(counts) === 1;
}

class TripParser {
  readonly #tokens: readonly string[];
  readonly #text: string;
  #next = 0;
  #depth = 0;

  constructor(list: readonly string[], text: string) {
    this.#tokens = list;
    this.#text = text;
  }

  parse(): Node {
    const node = this.#or();
    if (this.#next < this.#tokens.length) this.#fail(`unexpected '${this.#tokens[this.#next]}'`);
    return node;
  }

  #fail(what: string): never {
    throw new Error(`${what} in '${this.#text}'`);
  }

  #take(...wanted: readonly string[]): string | undefined {
    const token = this.#tokens[this.#next];
    if (token === undefined || !wanted.includes(token)) return undefined;
    this.#next += 1;
    return token;
  }

  #or(): Node {
    this.#depth += 1;
    if (this.#depth > MAX_DEPTH) this.#fail('too many nested parentheses');
    let left = this.#and();
    while (this.#take('||') !== undefined) {
      const [a, b] = [this.#bool(left), this.#bool(this.#and())];
      left = { type: 'bool', value: (counts) => truth(a.value(counts) === 1 || b.value(counts) === 1) };
    }
    this.#depth -= 1;
    return left;
  }

  #and(): Node {
    let left = this.#comparison();
    while (this.#take('&&') !== undefined) {
      const [a, b] = [this.#bool(left), this.#bool(this.#comparison())];
      left = { type: 'bool', value: (counts) => truth(a.value(counts) === 1 && b.value(counts) === 1) };
    }
    return left;
  }

  #comparison(): Node {
    const a = this.#sum();
    const operator = this.#take('==', '!=', '<', '<=', '>', '>=');
    if (operator === undefined) return a;
    const b = this.#sum();
    if ((a.type === 'bool') !== (b.type === 'bool'))
      this.#fail(`'${operator}' compares a number with a condition`);
    const compare = COMPARE[operator] ?? this.#fail(`unknown operator '${operator}'`);
    return { type: 'bool', value: (counts) => truth(compare(a.value(counts), b.value(counts))) };
  }

  #sum(): Node {
    let left = this.#product();
    for (let operator = this.#take('+', '-'); operator !== undefined; operator = this.#take('+', '-')) {
      left = this.#arithmetic(operator, left, this.#product());
    }
    return left;
  }

  #product(): Node {
    let left = this.#unary();
    const take = (): string | undefined => this.#take('*', '/', '%');
    for (let operator = take(); operator !== undefined; operator = take()) {
      left = this.#arithmetic(operator, left, this.#unary());
    }
    return left;
  }

  #arithmetic(operator: string, a: Node, b: Node): Node {
    if (a.type === 'bool' || b.type === 'bool') this.#fail(`'${operator}' needs numbers`);
    if (a.type !== b.type) this.#fail(`'${operator}' mixes int and double; use double(...)`);
    const apply = ARITHMETIC[operator] ?? this.#fail(`unknown operator '${operator}'`);
    return { type: a.type, value: (counts) => apply(a.value(counts), b.value(counts), a.type) };
  }

  #unary(): Node {
    if (this.#take('!') !== undefined) {
      const operand = this.#bool(this.#unary());
      return { type: 'bool', value: (counts) => truth(operand.value(counts) !== 1) };
    }
    if (this.#take('-') !== undefined) {
      const operand = this.#unary();
      if (operand.type === 'bool') this.#fail("'-' needs a number");
      return { type: operand.type, value: (counts) => -operand.value(counts) };
    }
    return this.#primary();
  }

  #primary(): Node {
    if (this.#take('(') !== undefined) return this.#closing(this.#or());
    const token = this.#tokens[this.#next];
    if (token === undefined) return this.#fail('unexpected end');
    this.#next += 1;
    if (/^\d*\.\d*$/.test(token)) return this.#constant('double', Number(token));
    if (/^\d+$/.test(token)) return this.#constant('int', Number(token));
    if (token === 'true' || token === 'false') return this.#constant('bool', truth(token === 'true'));
    if (token === 'double' || token === 'int') return this.#conversion(token);
    const variable = VARIABLES.find((name) => name === token);
    if (variable === undefined) this.#fail(`unknown name '${token}' (expected ${VARIABLES.join(', ')})`);
    return { type: 'int', value: (counts) => counts[variable] };
  }

  #constant(type: Type, value: number): Node {
    return { type, value: () => value };
  }

  #conversion(to: 'int' | 'double'): Node {
    if (this.#take('(') === undefined) this.#fail(`expected '(' after ${to}`);
    const operand = this.#closing(this.#or());
    if (operand.type === 'bool') this.#fail(`${to}(...) needs a number`);
    if (to === 'double') return { type: 'double', value: operand.value };
    return { type: 'int', value: (counts) => Math.trunc(operand.value(counts)) };
  }

  #closing(node: Node): Node {
    if (this.#take(')') === undefined) this.#fail("missing ')'");
    return node;
  }

  #bool(node: Node): Node {
    if (node.type !== 'bool') this.#fail('&&, || and ! need conditions');
    return node;
  }
}
