/** What can be wrong with a value of JSON, by the type that is wanted there; and the bodies that have it. */

export type Json = string | number | boolean | null | readonly Json[] | { readonly [name: string]: Json };

export interface FaultyBody {
  /** Place and fault, e.g. `keys: number`. */
  readonly name: string;
  readonly body: Buffer;
}

const LONG = 'x'.repeat(70_000);

const WRONG: Readonly<Record<string, readonly (readonly [string, string])[]>> = {
  string: [
    ['number', '5'],
    ['boolean', 'true'],
    ['null', 'null'],
    ['object', '{"a":1}'],
    ['array', '["a"]'],
    ['empty', '""'],
    ['long', JSON.stringify(LONG)],
    ['half a surrogate', '"\\ud800"'],
    ['NUL', '"\\u0000"'],
  ],
  number: [
    ['text', '"5"'],
    ['words', '"many"'],
    ['boolean', 'true'],
    ['null', 'null'],
    ['object', '{"a":1}'],
    ['fraction', '1.5'],
    ['negative', '-1'],
    ['beyond 32 bits', '4294967297'],
    ['beyond everything', '1e400'],
  ],
  boolean: [
    ['text', '"true"'],
    ['words', '"maybe"'],
    ['number', '5'],
    ['null', 'null'],
    ['object', '{"a":1}'],
  ],
  object: [
    ['text', '"text"'],
    ['number', '5'],
    ['array', '[1]'],
    ['null', 'null'],
    ['members of wrong types', '{"a":1,"b":null,"c":{"d":[]}}'],
  ],
  array: [
    ['text', '"text"'],
    ['object', '{"a":1}'],
    ['null', 'null'],
    ['items of wrong types', '[5,null,"x",[],{}]'],
    ['empty', '[]'],
  ],
};

type Path = readonly (string | number)[];

const typeOf = (value: Json): string =>
  Array.isArray(value) ? 'array' : value === null ? 'string' : typeof value;

/** Every place inside `value`. */
function places(value: Json, path: Path = []): readonly { readonly path: Path; readonly value: Json }[] {
  const inside =
    typeof value !== 'object' || value === null
      ? []
      : Object.entries(value).flatMap(([name, member]) =>
          places(member as Json, [...path, Array.isArray(value) ? Number(name) : name]),
        );
  return [{ path, value }, ...inside];
}

/** JSON text of `value` with `text` in place of what is at `path`; `undefined` leaves the member out. */
function replaced(value: Json, path: Path, text: string | undefined): string {
  const [first, ...rest] = path;
  if (first === undefined) return text ?? '';
  const member = (name: string | number, inner: Json): string | undefined =>
    name !== first ? JSON.stringify(inner) : rest.length === 0 ? text : replaced(inner, rest, text);
  if (Array.isArray(value))
    return `[${value.flatMap((item: Json, index) => member(index, item) ?? []).join(',')}]`;
  const members = Object.entries(value as { readonly [name: string]: Json }).flatMap(([name, inner]) => {
    const written = member(name, inner);
    return written === undefined ? [] : [`${JSON.stringify(name)}:${written}`];
  });
  return `{${members.join(',')}}`;
}

/** A member twice: what is valid last and first. */
function doubled(value: Json, path: Path, wanted: Json): string {
  const name = path.at(-1) as string;
  const owner = path.slice(0, -1);
  const around = replaced(value, path, undefined);
  const marker = '"\u0001"';
  const object = replaced(JSON.parse(around) as Json, owner, marker);
  const members = owner.reduce<Json>((inner, key) => (inner as never)[key], JSON.parse(around) as Json);
  const text = JSON.stringify(members).slice(1, -1);
  const twice = `{${JSON.stringify(name)}:5,${JSON.stringify(name)}:${JSON.stringify(wanted)}${text === '' ? '' : `,${text}`}}`;
  return owner.length === 0 ? twice : object.replace(marker, () => twice);
}

/** `valid` with one fault each, in every place. */
export function faultyBodies(valid: Json): readonly FaultyBody[] {
  const bodies: FaultyBody[] = [];
  const add = (name: string, text: string | Buffer): void =>
    void bodies.push({ name, body: Buffer.from(text as string) });
  for (const { path, value } of places(valid)) {
    const place = path.length === 0 ? 'body' : path.join('.');
    for (const [fault, text] of WRONG[typeOf(value)] ?? [])
      add(`${place}: ${fault}`, replaced(valid, path, text));
    if (typeof path.at(-1) !== 'string') continue;
    add(`${place}: missing`, replaced(valid, path, undefined));
    add(`${place}: twice`, doubled(valid, path, value));
  }
  const text = JSON.stringify(valid);
  add('body: empty', '');
  add('body: cut', text.slice(0, -1));
  add('body: text behind', `${text} x`);
  add('body: second value behind', `${text}${text}`);
  add('body: UTF-16', Buffer.from(text, 'utf16le'));
  add('body: byte order mark', `\ufeff${text}`);
  add('body: not UTF-8', Buffer.concat([Buffer.from('{"a":"'), Buffer.of(0xff, 0xfe), Buffer.from('"}')]));
  add('body: nested too deeply', '['.repeat(20_000) + ']'.repeat(20_000));
  return bodies;
}
