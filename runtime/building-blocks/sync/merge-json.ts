/** Three-way merge of JSON objects by field. Pure; arrays and scalars are taken whole. */

export type Json = null | boolean | number | string | readonly Json[] | JsonObject;
export interface JsonObject {
  readonly [name: string]: Json;
}

/** A field that both sides changed to different things; `undefined` stands for a field that was removed. */
export interface FieldConflict {
  /** JSON Pointer (RFC 6901). */
  readonly path: string;
  readonly local: Json | undefined;
  readonly remote: Json | undefined;
}

export interface Merged {
  readonly value: JsonObject;
  readonly conflicts: readonly FieldConflict[];
}

/** `localWins` decides the fields that both sides changed. */
export function mergeObjects(
  base: JsonObject,
  local: JsonObject,
  remote: JsonObject,
  localWins: boolean,
): Merged {
  const conflicts: FieldConflict[] = [];
  const value = mergeAt('', base, local, remote, localWins, conflicts);
  return { value, conflicts };
}

function mergeAt(
  path: string,
  base: JsonObject,
  local: JsonObject,
  remote: JsonObject,
  localWins: boolean,
  conflicts: FieldConflict[],
): JsonObject {
  /** A field that both sides changed to different things. */
  const settle = (at: string, was: Field, here: Field, there: Field): Field => {
    if (isJsonObject(here) && isJsonObject(there))
      return mergeAt(at, isJsonObject(was) ? was : {}, here, there, localWins, conflicts);
    conflicts.push({ path: at, local: here, remote: there });
    return localWins ? here : there;
  };
  const merged: [string, Json][] = [];
  for (const name of new Set([...Object.keys(remote), ...Object.keys(local)])) {
    const [was, here, there] = [base, local, remote].map((side) => member(side, name));
    let kept = here;
    if (!sameJson(here, there) && !sameJson(was, there)) {
      const at = `${path}/${name.replaceAll('~', '~0').replaceAll('/', '~1')}`;
      kept = sameJson(was, here) ? there : settle(at, was, here, there);
    }
    if (kept !== undefined) merged.push([name, kept]);
  }
  return Object.fromEntries(merged);
}

type Field = Json | undefined;

function member(object: JsonObject, name: string): Json | undefined {
  return Object.hasOwn(object, name) ? object[name] : undefined;
}

export function isJsonObject(value: Json | undefined): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function sameJson(a: Json | undefined, b: Json | undefined): boolean {
  if (a === b) return true;
  return a !== undefined && b !== undefined && canonicalJson(a) === canonicalJson(b);
}

/** The same text for the same value: members by name, no blanks. */
export function canonicalJson(value: Json): string {
  if (typeof value !== 'object' || value === null) return JSON.stringify(value);
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join(',')}]`;
  const object = value as JsonObject;
  const members = Object.keys(object)
    .sort()
    .map((name) => `${JSON.stringify(name)}:${canonicalJson(object[name] ?? null)}`);
  return `{${members.join(',')}}`;
}
