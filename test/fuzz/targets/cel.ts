/** Routing rules: expressions of every kind, damaged ones and bombs, over events of any shape. */

import { setFlagsFromString } from 'node:v8';
import { compileRules } from '../../../runtime/building-blocks/pubsub/routing-rules.ts';
import type { Draw } from '../support/draw.ts';
import { ensure, type Fuzzing, type FuzzTarget } from '../support/target.ts';

const PATHS = [
  'event.type',
  'event.data',
  'event.data.a',
  'event.data.list',
  'event.id',
  'event',
  'x',
  'event.data.text',
];

/** An expression, perhaps of the wrong type. */
function expression(draw: Draw, depth: number): string {
  const inner = (): string => expression(draw, depth - 1);
  const kind = draw.int(0, depth > 0 ? 13 : 3);
  switch (kind) {
    case 0:
      return draw.pick(PATHS);
    case 1:
      return JSON.stringify(draw.text(30).toWellFormed());
    case 2:
      return String(draw.number());
    case 3:
      return draw.pick(['true', 'false', 'null', '[]', '{}', "b'x'", '1u', 'x']);
    case 4:
      return `(${inner()} ${draw.pick(['==', '!=', '<', '>=', '+', '-', '*', '/', '%', '&&', '||', 'in'])} ${inner()})`;
    case 5:
      return `!${inner()}`;
    case 6:
      return `has(${draw.pick(PATHS)}.${draw.word()})`;
    case 7:
      return `${inner()}.${draw.pick(['startsWith', 'contains', 'endsWith', 'matches'])}(${inner()})`;
    case 8:
      return `event.data.list.${draw.pick(['all', 'exists', 'exists_one', 'map', 'filter'])}(${draw.pick(['x', 'y'])}, ${inner()})`;
    case 9:
      return `size(${inner()})`;
    case 10:
      return `[${draw.list(5, inner).join(', ')}]`;
    case 11:
      return `{"a": ${inner()}}`;
    case 12:
      return `(${inner()} ? ${inner()} : ${inner()})`;
    default:
      return `event.data.text.matches(${JSON.stringify(pattern(draw))})`;
  }
}

/** A regular expression, some of the kind that backtracks for ever. */
function pattern(draw: Draw): string {
  return draw.pick([
    '^(a+)+$',
    '(a|aa)+$',
    '(.*a){12}$',
    '([a-z]+)*d',
    '^a{1,30}$',
    '[',
    '(?i)A',
    '\\pL+',
    draw.text(30).toWellFormed(),
  ]);
}

function bomb(draw: Draw): string {
  const many = draw.int(100, 4000);
  return draw.pick([
    '('.repeat(many),
    '!'.repeat(many),
    `${'['.repeat(many)}${']'.repeat(many)}`,
    `event${'.a'.repeat(many)}`,
    Array(many).fill('true').join(' && '),
    `[${Array(many).fill('1').join(',')}].size() > 0`,
    'event.data.list.all(a, event.data.list.all(b, event.data.list.all(c, a + b + c >= 0)))',
    'event.data.list.map(a, event.data.list.map(b, event.data.list)).size() > 0',
    `"${'x'.repeat(many)}".matches("(x+x+)+y")`,
    'event.data.text.matches("^(a+)+$")',
  ]);
}

function one(draw: Draw): void {
  const text = draw.chance(0.02) ? bomb(draw) : expression(draw, 4);
  const match = draw.chance(0.9) ? text : draw.mutate(Buffer.from(text)).toString('utf8');
  const list = Array.from({ length: draw.size(300) }, () => draw.number());
  const event = {
    id: draw.text(20),
    type: draw.word(),
    data: { a: draw.json(), list, text: 'a'.repeat(draw.int(0, 60)) + draw.text(20) },
  };
  const begun = performance.now();
  try {
    compileRules([{ match, path: '/x' }]).match(event);
  } catch (error) {
    ensure(error instanceof Error && !(error instanceof TypeError), () => `${String(error)} for ${match}`);
  }
  const took = performance.now() - begun;
  ensure(took < 2000, () => `${Math.round(took)} ms for ${match.slice(0, 300)}`);
}

export const cel: FuzzTarget = {
  name: 'cel',
  inputs: 6_000,
  open: async (): Promise<Fuzzing> => {
    // As the program does when it starts.
    setFlagsFromString('--enable-experimental-regexp-engine-on-excessive-backtracks');
    return { one };
  },
};
