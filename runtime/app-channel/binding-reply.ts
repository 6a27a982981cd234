/**
 * The reply object that Dapr documents for input bindings: `{state, storeName, to, concurrency, data}`. An HTTP app's
 * answer that is such an object has its members read; any other answer is plain bytes for the component.
 */

import type { BindingReply } from '../contracts/app-channel.ts';

type Json = Readonly<Record<string, unknown>>;

/** Reads the body of an app's 2xx answer. */
export function bindingReply(body: Uint8Array, httpStatus: number): BindingReply {
  const plain: BindingReply = { httpStatus, ...(body.byteLength > 0 ? { data: body } : {}) };
  // `{` first, so that no other answer pays for parsing.
  if (body[0] !== 0x7b) return plain;
  const reply = parse(body);
  if (reply === undefined || !(Array.isArray(reply['state']) || Array.isArray(reply['to']))) return plain;
  const states = stateItems(reply['state']);
  const to = textList(reply['to']);
  const storeName = reply['storeName'];
  const concurrency = reply['concurrency'];
  return {
    ...plain,
    ...(typeof storeName === 'string' && storeName !== '' ? { storeName } : {}),
    ...(states.length > 0 ? { states } : {}),
    ...(to.length > 0 ? { to } : {}),
    ...(reply['data'] === undefined ? {} : { outputData: jsonBytes(reply['data']) }),
    concurrency:
      typeof concurrency === 'string' && concurrency.toLowerCase() === 'parallel' ? 'parallel' : 'sequential',
  };
}

function parse(body: Uint8Array): Json | undefined {
  try {
    return JSON.parse(Buffer.from(body.buffer, body.byteOffset, body.byteLength).toString('utf8')) as Json;
  } catch {
    return undefined;
  }
}

function stateItems(value: unknown): { key: string; value: Uint8Array }[] {
  if (!Array.isArray(value)) return [];
  return value.flatMap((item: unknown) => {
    const { key, value: stored } = (item ?? {}) as Json;
    return typeof key === 'string' && key !== '' ? [{ key, value: jsonBytes(stored ?? null) }] : [];
  });
}

function textList(value: unknown): string[] {
  return Array.isArray(value)
    ? value.filter((entry): entry is string => typeof entry === 'string' && entry !== '')
    : [];
}

function jsonBytes(value: unknown): Uint8Array {
  return Buffer.from(JSON.stringify(value), 'utf8');
}
