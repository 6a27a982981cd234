/** Bodies of HTTP operations: what the operation takes, with some members of the wrong type, missing, too long or double. */

import type { Draw } from './draw.ts';

type Shape = (draw: Draw) => unknown;

const text: Shape = (draw) => draw.pick(['a', 'key', draw.text(300)]);
const metadata: Shape = (draw) =>
  Object.fromEntries(
    draw.list(5, () => [
      draw.pick(['ttlInSeconds', 'rawPayload', 'partitionKey', draw.text(50)]),
      draw.text(50),
    ]),
  );
const options: Shape = (draw) => ({
  concurrency: draw.pick(['first-write', 'last-write', 'x']),
  consistency: draw.pick(['strong', 'eventual', 'x']),
});
const stateItem: Shape = (draw) => ({
  key: text(draw),
  value: draw.json(),
  etag: draw.pick(['1', '', draw.text(50)]),
  metadata: metadata(draw),
  options: options(draw),
});
const base64: Shape = (draw) => draw.bytes(draw.int(0, 40)).toString('base64');

/** By operation; others get any JSON. */
const SHAPES: Readonly<Record<string, Shape>> = {
  stateSave: (draw) => draw.list(20, () => stateItem(draw)),
  stateBulkGet: (draw) => ({ keys: draw.list(30, () => text(draw)), parallelism: draw.number() }),
  stateTransaction: (draw) => ({
    operations: draw.list(10, () => ({
      operation: draw.pick(['upsert', 'delete', draw.text(20)]),
      request: stateItem(draw),
    })),
    metadata: metadata(draw),
  }),
  stateQuery: (draw) => ({
    filter: { [draw.pick(['EQ', 'IN', 'AND', 'OR'])]: draw.json() },
    sort: [{ key: text(draw), order: 'ASC' }],
    page: { limit: draw.number(), token: draw.text(20) },
  }),
  publishBulk: (draw) =>
    draw.list(20, () => ({
      entryId: text(draw),
      event: draw.json(),
      contentType: draw.pick(['application/json', 'application/octet-stream', 'text/plain', draw.text(30)]),
      metadata: metadata(draw),
    })),
  publish: (draw) => ({
    specversion: '1.0',
    id: text(draw),
    type: text(draw),
    source: text(draw),
    datacontenttype: draw.pick(['application/json', 'text/plain', draw.text(30)]),
    [draw.pick(['data', 'data_base64'])]: draw.json(),
    time: draw.text(30),
    traceparent: draw.text(60),
  }),
  bindingInvoke: (draw) => ({
    operation: draw.pick(['create', 'get', 'list', 'delete', draw.text(20)]),
    data: draw.json(),
    metadata: { fileName: draw.pick(['a.txt', 'd/b.txt', draw.text(300)]), ...(metadata(draw) as object) },
  }),
  lockTry: (draw) => ({ resourceId: text(draw), lockOwner: text(draw), expiryInSeconds: draw.number() }),
  lockUnlock: (draw) => ({ resourceId: text(draw), lockOwner: text(draw) }),
  jobSchedule: (draw) => ({
    schedule: draw.pick(['@every 1s', draw.text(30)]),
    dueTime: draw.text(30),
    repeats: draw.number(),
    ttl: draw.text(30),
    data: draw.json(),
    failurePolicy: draw.json(),
  }),
  converse: (draw) => ({
    inputs: draw.list(5, () => ({
      content: draw.text(200),
      role: draw.pick(['user', draw.text(9)]),
      scrubPII: draw.chance(0.5),
    })),
    temperature: draw.number(),
    parameters: draw.json(),
    metadata: metadata(draw),
    scrubPII: draw.json(0),
  }),
  converseAlpha2: (draw) => ({
    inputs: draw.list(3, () => ({
      messages: draw.list(4, () => ({
        [draw.pick(['ofUser', 'ofSystem', 'ofAssistant', 'ofTool', draw.word()])]: {
          name: draw.text(20),
          content: draw.list(3, () => ({ text: draw.text(100) })),
          toolCalls: draw.json(),
        },
      })),
      scrubPii: draw.json(0),
    })),
    tools: draw.list(3, () => ({ function: { name: draw.text(20), parameters: draw.json() } })),
    toolChoice: draw.text(10),
    temperature: draw.number(),
  }),
  subtleEncrypt: (draw) => ({ plaintext: base64(draw), algorithm: draw.text(10), keyName: 'key' }),
};

/** A text value put in place of one anywhere inside. */
function spoil(draw: Draw, value: unknown): unknown {
  if (draw.chance(0.2) || typeof value !== 'object' || value === null) return draw.json(1);
  if (Array.isArray(value)) {
    if (value.length === 0) return draw.json(1);
    const at = draw.int(0, value.length - 1);
    return value.map((item, index) => (index === at ? spoil(draw, item) : item));
  }
  const names = Object.keys(value);
  if (names.length === 0) return draw.json(1);
  const name = draw.pick(names);
  const { [name]: member, ...rest } = value as Record<string, unknown>;
  const kind = draw.int(0, 3);
  if (kind === 0) return rest;
  if (kind === 1) return { ...rest, [draw.pick([name.toUpperCase(), ` ${name}`, `${name}s`])]: member };
  return { ...rest, [name]: spoil(draw, member) };
}

/** A body for `operation`. */
export function httpBody(draw: Draw, operation: string): Buffer {
  const shape = SHAPES[operation];
  let value = shape === undefined ? draw.json() : shape(draw);
  for (let times = draw.pick([0, 0, 1, 1, 2]); times > 0; times -= 1) value = spoil(draw, value);
  let body = draw.jsonText(value);
  // A member twice: the text of an object opened with one of its members again.
  if (draw.chance(0.1) && body.startsWith('{"'))
    body = `{"key":${JSON.stringify(draw.json(1)) ?? 'null'},${body.slice(1)}`;
  return Buffer.from(body, draw.chance(0.9) ? 'utf8' : 'latin1');
}
