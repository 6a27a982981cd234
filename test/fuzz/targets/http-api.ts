/** The HTTP API without sockets: any request of the operations table, with anything in its path, headers and body. */

import { IncomingMessage, ServerResponse } from 'node:http';
import { Duplex } from 'node:stream';
import { type HttpRoute, OPERATIONS, type Operation } from '../../../runtime/contracts/operations.ts';
import type { Tracer } from '../../../runtime/contracts/trace.ts';
import { ApiService } from '../../../runtime/http/api-service.ts';
import { createCors } from '../../../runtime/http/cors.ts';
import { createRouter } from '../../../runtime/http/router.ts';
import { createHandlers } from '../../../runtime/http/routes/handlers.ts';
import type { Draw } from '../support/draw.ts';
import { httpBody } from '../support/http-bodies.ts';
import { NAMES, startRig } from '../support/rig.ts';
import { ensure, type Fuzzing, type FuzzTarget } from '../support/target.ts';

const MAX_BODY = 64 * 1024;
const METHODS = ['GET', 'POST', 'PUT', 'DELETE', 'HEAD', 'OPTIONS', 'PATCH', 'TRACE', 'FOO'];
const ROUTES: readonly (HttpRoute & { readonly operation: string })[] = Object.entries(
  OPERATIONS as Record<string, Operation>,
).flatMap(([operation, { http }]) => http.map((route) => ({ ...route, operation })));
const COMPONENTS = [...Object.values(NAMES), 'disk', 'nowhere'];
/** The component that an operation works with, by how its name begins. */
const COMPONENT_OF: readonly (readonly [RegExp, readonly string[]])[] = [
  [/^state/, [NAMES.state, 'disk']],
  [/^publish/, [NAMES.pubsub]],
  [/^binding/, [NAMES.binding]],
  [/^secret/, [NAMES.secrets]],
  [/^configuration/, [NAMES.configuration]],
  [/^lock/, [NAMES.lock]],
  [/^(crypto|subtle)/, [NAMES.crypto]],
  [/^converse/, [NAMES.conversation]],
];
/** Answered alike whatever they are asked: drawn seldom. */
const DULL = /^(actor|workflow|job|invoke)/;
const LIVELY = ROUTES.filter(({ operation }) => !DULL.test(operation));
const HEADERS = [
  'content-type',
  'content-length',
  'traceparent',
  'tracestate',
  'baggage',
  'if-match',
  'dapr-app-id',
  'origin',
  'access-control-request-method',
  'dapr-api-token',
  'x-forwarded-for',
  'metadata.ttlInSeconds',
];
const CONTENT_TYPES = [
  'application/json',
  'application/cloudevents+json',
  'application/octet-stream',
  'application/x-protobuf',
  'text/plain; charset=',
  'APPLICATION/JSON;;',
  '',
];

/** A request as drawn. */
export interface DrawnRequest {
  readonly method: string;
  readonly target: string;
  /** Names and values, one character a byte. */
  readonly headers: readonly string[];
  readonly body: Buffer;
}

/** A path segment: escaped most of the time. */
function segment(draw: Draw, operation: string, name: string): string {
  if (/^(store|pubsub|name|component)$/.test(name) && draw.chance(0.95)) {
    const own = COMPONENT_OF.find(([pattern]) => pattern.test(operation))?.[1] ?? COMPONENTS;
    return draw.pick(draw.chance(0.95) ? own : COMPONENTS);
  }
  const text = draw.chance(0.5) ? draw.pick(['a', 'key']) : draw.text(300);
  if (draw.chance(0.8)) return encodeURIComponent(text.toWellFormed());
  // What a request line cannot carry never reaches the API.
  return Buffer.from(text, 'utf8')
    .toString('latin1')
    .replace(/[^\x21-\x7e\x80-\xff]/g, '');
}

function targetOf(draw: Draw, route: (typeof ROUTES)[number]): string {
  const path = route.path.replace(/[:*](\w+)/g, (_, name: string) => segment(draw, route.operation, name));
  if (draw.chance(0.03))
    return draw
      .mutate(Buffer.from(path))
      .toString('latin1')
      .replace(/[^\x21-\x7e]/g, '');
  if (draw.chance(0.6)) return path;
  const query = draw.list(6, () => {
    const name = draw.pick([
      'metadata.a',
      'metadata.ttlInSeconds',
      'metadata.rawPayload',
      'key',
      'keys',
      'consistency',
      'concurrency',
      draw.word(),
    ]);
    return `${name}=${encodeURIComponent(draw.text(100).toWellFormed())}`;
  });
  return `${path}?${query.join(draw.pick(['&', '&', ';']))}`;
}

/** Any request of the table. */
export function drawRequest(draw: Draw): DrawnRequest {
  const route = draw.pick(draw.chance(0.9) ? LIVELY : ROUTES);
  const method =
    draw.chance(0.95) && !route.methods.includes('*') ? draw.pick(route.methods) : draw.pick(METHODS);
  const headers = draw.list(8, () => {
    const name = draw.pick(HEADERS);
    if (name === 'content-length') return [];
    const value = name === 'content-type' ? draw.pick(CONTENT_TYPES) : draw.text(500);
    const carried = Buffer.from(value, 'utf8')
      .toString('latin1')
      .replace(/[^\x20-\x7e\x80-\xff]/g, '');
    return [name, carried.trim()];
  });
  const body = draw.chance(0.95) ? httpBody(draw, route.operation) : draw.bytes(draw.size(MAX_BODY + 10));
  return { method, target: targetOf(draw, route), headers: headers.flat(), body };
}

class NoSocket extends Duplex {
  override _read(): void {}
  override _write(_chunk: unknown, _encoding: string, done: () => void): void {
    done();
  }
}

interface Sent {
  readonly status: number;
  readonly head: string;
  readonly body: string;
}

/** Answers that are text in daprd too. */
const PLAIN = new Set(['400 Bad Request', '404 page not found']);

/** Throws when `sent` is no answer that a Dapr client understands. */
export function checkAnswer(request: DrawnRequest, { status, head, body }: Sent): void {
  const what = (): string =>
    `${request.method} ${JSON.stringify(request.target)} body ${JSON.stringify(request.body.toString('latin1').slice(0, 300))} -> ${status} ${body.slice(0, 300)}`;
  ensure(status >= 200 && status <= 599, () => `no status: ${what()}`);
  ensure(!/\r\nx-injected/i.test(head), () => `header injected: ${what()}`);
  if (status < 400 || body === '' || PLAIN.has(body)) return;
  if (!/application\/json/i.test(head)) throw new Error(`an error that is no JSON: ${what()}`);
  const parsed = JSON.parse(body) as { errorCode?: unknown; message?: unknown };
  // Answers that tell of failures in a shape of their own.
  if (Array.isArray(parsed) || 'failedEntries' in parsed || /\/unsubscribe(\?|$)/.test(request.target))
    return;
  ensure(typeof parsed.errorCode === 'string' && parsed.errorCode !== '', () => `no errorCode: ${what()}`);
}

async function open(): Promise<Fuzzing> {
  const rig = await startRig();
  const log = rig.node.log;
  const handlers = createHandlers(rig.sidecar.blocks, { appId: 'fuzz', tokenChecked: false });
  const service = new ApiService({
    route: createRouter({ handlers, access: { allowed: [], denied: [] } }),
    tracer: NO_TRACER,
    log,
    clock: rig.node.clock,
    maxBodyBytes: MAX_BODY,
    maxInFlight: 100,
    record: undefined,
    cors: createCors('*'),
    checkToken: undefined,
    steps: () => [],
    logCall: undefined,
  });
  return {
    one: async (draw) => {
      const request = drawRequest(draw);
      const sent = await exchange(service, request);
      const fault = rig.logged().find(({ message }) => /unexpected failure|could not be sent/.test(message));
      ensure(
        fault === undefined,
        () =>
          `unforeseen: ${JSON.stringify(fault?.fields)} for ${request.method} ${request.target} ${request.body.toString('latin1').slice(0, 200)}`,
      );
      if (sent !== undefined) checkAnswer(request, sent);
    },
    close: rig.close,
  };
}

const NO_TRACER: Tracer = {
  enabled: false,
  start: (_name, context) => {
    const span = { context, child: () => span, setAttribute: () => {}, end: () => {} };
    return span;
  },
};

/** Feeds one request to the service as its listener would. */
function exchange(service: ApiService, { method, target, headers, body }: DrawnRequest): Promise<Sent> {
  const socket = new NoSocket();
  const incoming = new IncomingMessage(socket as never);
  incoming.method = method;
  incoming.url = target;
  incoming.httpVersionMajor = 1;
  incoming.httpVersionMinor = 1;
  const all = [...headers, 'content-length', String(body.byteLength)];
  incoming.rawHeaders = all;
  for (let at = 0; at + 1 < all.length; at += 2)
    incoming.headers[(all[at] as string).toLowerCase()] = all[at + 1];
  const response = new ServerResponse(incoming);
  const parts: Buffer[] = [];
  return new Promise((resolve) => {
    const sink = new NoSocket();
    sink._write = (chunk: Buffer, _encoding, done) => {
      parts.push(Buffer.from(chunk));
      done();
    };
    response.assignSocket(sink as never);
    response.on('finish', () => {
      response.detachSocket(sink as never);
      setImmediate(() => {
        const whole = Buffer.concat(parts).toString('utf8');
        const end = whole.indexOf('\r\n\r\n');
        response.emit('close');
        resolve({
          status: response.statusCode,
          head: whole.slice(0, end),
          body: method === 'HEAD' ? '' : whole.slice(end + 4),
        });
      });
    });
    service.handle(incoming, response);
    if (body.byteLength > 0) incoming.push(body);
    incoming.push(null);
    incoming.complete = true;
  });
}

export const httpApi: FuzzTarget = { name: 'http-api', inputs: 20_000, open, concurrency: 1 };
