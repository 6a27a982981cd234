/** Protobuf messages of any type with drawn fields, and their bytes: whole, damaged, or of another type. */

import { create, type DescField, type DescMessage, type Message, toBinary } from '@bufbuild/protobuf';
import { type ReflectMessage, reflect } from '@bufbuild/protobuf/reflect';
import { Dapr } from '../../../runtime/generated/dapr/proto/runtime/v1/dapr_pb.ts';
import type { Draw } from './draw.ts';
import { NAMES } from './rig.ts';

/** gRPC methods of the API. */
export const METHODS = Dapr.methods;

/** The component that a method works with, by how its name reads. */
const COMPONENT_OF: readonly (readonly [RegExp, string])[] = [
  [/State/, NAMES.state],
  [/Publish/, NAMES.pubsub],
  [/Binding/, NAMES.binding],
  [/Secret/, NAMES.secrets],
  [/Configuration/, NAMES.configuration],
  [/Lock/, NAMES.lock],
  [/crypt|Subtle/, NAMES.crypto],
  [/Converse/, NAMES.conversation],
];
const COMPONENT_FIELD = /^(store_name|pubsub_name|name|component_name)$/;

/** `text` as a protobuf string can hold it. */
const plain = (text: string): string => text.toWellFormed();

function scalar(draw: Draw, field: DescField & { scalar?: number }): unknown {
  switch (field.scalar) {
    case 8: // BOOL
      return draw.chance(0.5);
    case 9: // STRING
      return plain(draw.pick(['key', 'a', draw.text(300)]));
    case 12: // BYTES
      return draw.chance(0.6) ? Buffer.from(draw.jsonText()) : draw.bytes(draw.size(500));
    case 1: // DOUBLE
    case 2: // FLOAT
      return Math.fround(draw.number() % 1e30);
    case 3: // INT64 and its kin
    case 4:
    case 6:
    case 16:
    case 18:
      return BigInt(draw.int(0, 2 ** 40));
    case 13: // UINT32
    case 7:
      return draw.pick([0, 1, 1000, 2 ** 32 - 1]);
    default:
      return draw.pick([0, 1, -1, 1000, 2 ** 31 - 1, -(2 ** 31)]);
  }
}

function single(draw: Draw, field: DescField, depth: number): unknown {
  if (field.message !== undefined)
    return draw.chance(0.9) ? message(draw, field.message, depth - 1) : undefined;
  if (field.enum !== undefined)
    return draw.chance(0.7) ? draw.pick(field.enum.values).number : draw.int(-5, 1000);
  return scalar(draw, field as never);
}

function message(draw: Draw, desc: DescMessage, depth: number): Message {
  const made = create(desc);
  if (depth <= 0) return made;
  const view: ReflectMessage = reflect(desc, made, false);
  for (const field of desc.fields) {
    if (draw.chance(0.25)) continue;
    if (field.fieldKind === 'list') {
      for (const value of draw.list(8, () => single(draw, field, depth)))
        if (value !== undefined) view.get(field).add(wrap(field, value));
    } else if (field.fieldKind === 'map') {
      for (const [key, value] of draw.list(
        5,
        () => [plain(draw.text(30)), single(draw, field, depth)] as const,
      ))
        if (value !== undefined && field.mapKey === 9) view.get(field).set(key, wrap(field, value));
    } else {
      const value = single(draw, field, depth);
      if (value !== undefined) view.set(field, wrap(field, value) as never);
    }
  }
  return made;
}

const wrap = (field: DescField, value: unknown): unknown =>
  field.message === undefined ? value : reflect(field.message, value as Message, false);

/** The bytes of a message of type `desc`: whole, damaged, or of no type at all. */
export function messageBytes(draw: Draw, desc: DescMessage): Uint8Array {
  if (draw.chance(0.05)) return draw.bytes(draw.size(2000));
  const bytes = toBinary(desc, message(draw, desc, 4));
  return draw.chance(0.7) ? bytes : draw.mutate(bytes);
}

/** The bytes of a request of `method`. */
export function requestBytes(draw: Draw, method: (typeof METHODS)[number]): Uint8Array {
  if (draw.chance(0.05)) return draw.bytes(draw.size(2000));
  const desc = draw.chance(0.97) ? method.input : draw.pick(METHODS).input;
  const made = message(draw, desc, 5);
  const view = reflect(desc, made, false);
  if (draw.chance(0.9)) {
    const own = COMPONENT_OF.find(([pattern]) => pattern.test(method.name))?.[1];
    const field = desc.fields.find(
      ({ name, fieldKind }) => COMPONENT_FIELD.test(name) && fieldKind === 'scalar',
    );
    if (own !== undefined && field !== undefined) view.set(field, own as never);
  }
  const bytes = toBinary(desc, made);
  return draw.chance(0.85) ? bytes : draw.mutate(bytes);
}
