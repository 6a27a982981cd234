/**
 * Decoding of bodies that mirror protobuf messages (lock, jobs, conversation, workflow): camelCase and snake_case
 * names, unknown members ignored, `null` for the default value (Dapr HTTP reference, section 0).
 */

import { isUtf8 } from 'node:buffer';
import { errorText, runtimeError } from '../contracts/error.ts';
import type { ApiRequest } from './api-request.ts';
import { FieldError, type JsonObject, jsonType, within, withinRange } from './json-fields.ts';

const camel = (name: string): string =>
  name.includes('_') ? name.replace(/_([a-z0-9])/g, (_, c: string) => c.toUpperCase()) : name;

const invalid = (kind: string, name: string, value: unknown): FieldError =>
  new FieldError(`proto: invalid value for ${kind} field ${name}: ${JSON.stringify(value)}`);

/** Members of one message by their camelCase name; `place` is where it stands in the body, for the faults. */
export class MessageFields {
  readonly #values = new Map<string, unknown>();
  readonly #place: string;

  constructor(value: unknown, place = '') {
    this.#place = place;
    if (value === null || value === undefined) return;
    if (typeof value !== 'object' || Array.isArray(value)) {
      const where = place === '' ? '' : ` for message field ${place}`;
      throw new FieldError(`proto: syntax error: unexpected ${jsonType(value)}${where}`);
    }
    for (const [key, member] of Object.entries(value as JsonObject)) {
      if (member !== null) this.#values.set(camel(key), member);
    }
  }

  has(name: string): boolean {
    return this.#values.has(name);
  }

  raw(name: string): unknown {
    return this.#values.get(name);
  }

  text(name: string): string | undefined {
    const value = this.#values.get(name);
    if (value !== undefined && typeof value !== 'string') throw invalid('string', this.placeOf(name), value);
    return value;
  }

  flag(name: string): boolean {
    const value = this.#values.get(name) ?? false;
    if (typeof value !== 'boolean') throw invalid('bool', this.placeOf(name), value);
    return value;
  }

  number(name: string): number | undefined {
    const value = this.#values.get(name);
    if (value === undefined) return undefined;
    const parsed =
      typeof value === 'string' && value.trim() === value && value !== '' ? Number(value) : value;
    if (typeof parsed !== 'number' || !Number.isFinite(parsed))
      throw invalid('double', this.placeOf(name), value);
    return parsed;
  }

  /** An integer in the range of a 32-bit field. */
  integer(name: string, min: number, max: number): number | undefined {
    const value = this.#values.get(name);
    if (value === undefined) return undefined;
    const parsed = typeof value === 'string' && /^-?\d+$/.test(value) ? Number(value) : value;
    if (typeof parsed !== 'number' || !Number.isInteger(parsed) || parsed < min || parsed > max) {
      throw invalid(min < 0 ? 'int32' : 'uint32', this.placeOf(name), value);
    }
    return parsed;
  }

  list(name: string): readonly unknown[] {
    const value = this.#values.get(name) ?? [];
    if (!Array.isArray(value))
      throw new FieldError(
        `proto: syntax error: unexpected ${jsonType(value)} for list field ${this.placeOf(name)}`,
      );
    if (value.includes(null))
      throw new FieldError(`proto: syntax error: unexpected token null in list field ${this.placeOf(name)}`);
    return value;
  }

  message(name: string): MessageFields {
    return new MessageFields(this.#values.get(name), this.placeOf(name));
  }

  messages(name: string): readonly MessageFields[] {
    return this.list(name).map((value, index) => new MessageFields(value, this.placeOf(`${name}[${index}]`)));
  }

  textMap(name: string): Readonly<Record<string, string>> {
    const value = this.#values.get(name) ?? {};
    if (typeof value !== 'object' || Array.isArray(value)) throw invalid('map', this.placeOf(name), value);
    for (const [key, member] of Object.entries(value as JsonObject)) {
      if (typeof member !== 'string') throw invalid('string', this.placeOf(`${name}.${key}`), member);
    }
    return value as Readonly<Record<string, string>>;
  }

  /** Where a member stands in the body; an empty name: where the message does. */
  placeOf(name: string): string {
    if (name === '') return this.#place;
    return within(this.#place, name);
  }
}

/** Body as bytes, with the failure of endpoints that mirror messages: 400 `ERR_BODY_READ`. */
export async function readMessageBytes(request: ApiRequest): Promise<Uint8Array> {
  try {
    return await request.body.bytes();
  } catch (error) {
    throw runtimeError('bodyRead', { error: errorText(error) }, { cause: error });
  }
}

/** JSON with nothing but Unicode in it: unlike plain JSON bodies, messages must be valid UTF-8 to the last escape. */
function parseMessage(bytes: Uint8Array): unknown {
  if (!isUtf8(bytes)) throw new FieldError('proto: syntax error: invalid UTF-8');
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8');
  const value: unknown = /\\ud/i.test(text) ? parseWhole(text) : withinRange(text, JSON.parse(text));
  // A member may be null for its default; a message may not.
  if (value === null) throw new FieldError('proto: syntax error: unexpected token null');
  return value;
}

/** Looking at every member goes as deep as the text does, and the stack does not. */
function parseWhole(text: string): unknown {
  try {
    return withinRange(text, JSON.parse(text, refuseHalfCharacters));
  } catch (error) {
    if (error instanceof RangeError)
      throw new FieldError('proto: syntax error: exceeded max recursion depth');
    throw error;
  }
}

const LONGEST_NAME = 100;

function refuseHalfCharacters(name: string, value: unknown): unknown {
  if (name.isWellFormed() && (typeof value !== 'string' || value.isWellFormed())) return value;
  const member = name.isWellFormed() ? name : name.toWellFormed();
  throw new FieldError(
    `proto: syntax error: invalid escape code in string${member === '' ? '' : ` field ${member.slice(0, LONGEST_NAME)}`}`,
  );
}

/** Endpoints that need no body read one all the same when there is one, and refuse what is no message. */
export async function checkMessage(request: ApiRequest): Promise<void> {
  if (request.body.length !== 0) await readMessage(request, () => undefined);
}

/** Reads a body and decodes it with `decode`; no body is an empty message. */
export async function readMessage<T>(request: ApiRequest, decode: (fields: MessageFields) => T): Promise<T> {
  const bytes = await readMessageBytes(request);
  try {
    return decode(new MessageFields(bytes.byteLength === 0 ? undefined : parseMessage(bytes)));
  } catch (error) {
    if (error instanceof FieldError || error instanceof SyntaxError) {
      throw runtimeError('malformedRequest', { error: errorText(error) }, { cause: error });
    }
    throw error;
  }
}
