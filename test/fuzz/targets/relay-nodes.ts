/**
 * The relay's port as enrolled nodes may use it: HTTP/2 frames of any kind on the link, control messages and calls that are
 * malformed, lie, or are cut off. Links of others stand, and the sidecar gets nothing that is not allowed.
 */

import { performServerHandshake, type ServerHttp2Stream } from 'node:http2';
import { connect } from 'node:tls';
import { encodeFrame } from '../../../runtime/contracts/grpc-wire/frame.ts';
import { InternalInvokeRequestSchema } from '../../../runtime/generated/dapr/proto/internals/v1/service_invocation_pb.ts';
import type { NodeEnrolment } from '../../../runtime/relay/enrolment.ts';
import { createPacker, PACKING, type Packer, plain } from '../../../runtime/relay/packing.ts';
import {
  ACCEPT_PATH,
  CALLEE_FIELD,
  CALLER_FIELD,
  CONTROL_PATH,
  LINK_ALPN,
  NAMESPACE_FIELD,
  PACKING_FIELD,
  PATH_FIELD,
  SIDECAR_HTTP_PATH,
  SIDECAR_SUBSCRIBE_PATH,
  TIMEOUT_FIELD,
} from '../../../runtime/relay/protocol.ts';
import type { Draw } from '../support/draw.ts';
import { messageBytes } from '../support/messages.ts';
import { openRelayRig, RELAY_NAMES } from '../support/relay-rig.ts';
import type { Fuzzing, FuzzTarget } from '../support/target.ts';

const CHECK_EVERY = 250;
/** The relay has closed what it refuses by then, and a node that is gone is let go. */
const CLOSE_LIMIT_MS = 4000;
const STAY_MS = 30;
const { healthy, store, open, pubsub } = RELAY_NAMES;

const frame = (draw: Draw, message: Uint8Array): Buffer => {
  const bytes = Buffer.from(encodeFrame(message));
  if (draw.chance(0.9)) return bytes;
  return draw.mutate(bytes);
};

function controlMessage(draw: Draw, own: string): Uint8Array {
  const apps = (): unknown =>
    draw.list(draw.chance(0.05) ? 300 : 4, () => draw.pick([own, own, healthy, draw.text(300)]));
  const value = draw.pick<() => unknown>([
    () => ({ type: 'apps', apps: apps() }),
    () => ({
      type: 'hello',
      apps: apps(),
      namespace: draw.text(300),
      probeMs: draw.number(),
      version: draw.text(80),
    }),
    () => ({
      type: 'find',
      n: draw.number(),
      appId: draw.pick([healthy, draw.text(300)]),
      namespace: draw.text(300),
    }),
    () => ({ type: 'renew', request: draw.text(9000) }),
    () => draw.json(),
    () => ({ type: draw.text(20), ...(draw.json() as object) }),
  ])();
  return Buffer.from(draw.chance(0.9) ? (JSON.stringify(value) ?? 'null') : draw.jsonText(value));
}

const hello = (own: string): Uint8Array =>
  Buffer.from(
    JSON.stringify({ type: 'hello', apps: [own], namespace: 'default', probeMs: 10_000, version: 'f' }),
  );

/** A field's value as HTTP/2 can carry it. */
const field = (text: string): string =>
  text
    .replace(/[^\x20-\x7e]/g, '~')
    .trim()
    .slice(0, 2000);

async function packedMessage(draw: Draw, message: Uint8Array, packer: Packer): Promise<Buffer> {
  if (draw.chance(0.3)) return Buffer.from(plain(message).bytes);
  const { bytes, settle } = await packer.pack(message, draw.pick(['a', 'b']), draw.chance(0.1));
  settle(draw.chance(0.9));
  return Buffer.from(bytes);
}

async function sidecarMessage(draw: Draw, own: string, packer: Packer): Promise<Uint8Array> {
  const path = draw.pick([
    `/v1.0/state/${open}/${encodeURIComponent(draw.text(60).toWellFormed())}`,
    `/v1.0/state/${store}/${draw.pick([own, healthy, '..', '%2e%2e'])}-${draw.word()}`,
    `/v1.0/state/${store}${draw.pick(['', '/bulk', '/transaction', '?x=1', '/'])}`,
    `/v1.0/publish/${pubsub}/${draw.pick([own, healthy])}/${draw.word()}`,
    `/v1.0/${draw.pick(['secrets', 'invoke', 'metadata', 'shutdown', 'state/../secrets', 'healthz'])}/${draw.word()}`,
    `/${draw.text(300)}`,
  ]);
  const method = draw.pick(['GET', 'POST', 'PUT', 'DELETE', 'PATCH', draw.word()]);
  const headers = draw.list(
    4,
    () =>
      `${draw.pick(['content-type', 'if-match', 'dapr-api-token', 'skerry-app-id', draw.word()])}: ${draw.chance(0.8) ? draw.word() : draw.text(100)}`,
  );
  const head = [`${method} ${path}`, ...headers].join(draw.chance(0.95) ? '\n' : '\r\n');
  const keys = { key: draw.pick([`${own}-a`, `${healthy}-a`, draw.text(50)]), value: draw.json(2) };
  const body = draw.jsonText(
    draw.pick<unknown>([
      [keys],
      { operations: [{ operation: 'upsert', request: keys }] },
      { keys: [keys.key] },
      draw.json(),
    ]),
  );
  const text = Buffer.from(`${head}\n\n${body}`);
  const message = draw.chance(0.93) ? text : draw.mutate(text);
  const packed = await packedMessage(draw, message, packer);
  return draw.chance(0.93) ? packed : draw.mutate(packed);
}

/** A call on a stream that the relay keeps waiting. */
async function makeCall(draw: Draw, own: string, stream: ServerHttp2Stream, packer: Packer): Promise<void> {
  const path = draw.pick([
    ...Array.from({ length: 6 }, () => SIDECAR_HTTP_PATH),
    SIDECAR_SUBSCRIBE_PATH,
    '/dapr.proto.internals.v1.ServiceInvocation/CallLocal',
    '/dapr.proto.internals.v1.ServiceInvocation/CallLocalStream',
    '/test.Echo/Say',
    field(draw.text(200)),
  ]);
  const fields: Record<string, string | number> = {
    ':status': draw.chance(0.97) ? 200 : draw.int(200, 599),
    'content-type': draw.chance(0.9) ? 'application/grpc' : field(draw.text(60)),
    [PATH_FIELD]: path,
    [CALLER_FIELD]: draw.chance(0.9) ? own : field(draw.pick([healthy, draw.text(300)])),
    [CALLEE_FIELD]: draw.pick([healthy, own, 'nobody', field(draw.text(300))]),
    [NAMESPACE_FIELD]: draw.pick(['default', '', field(draw.text(100))]),
  };
  if (draw.chance(0.3))
    fields[TIMEOUT_FIELD] = draw.pick(['1', '0', '-1', '30', 'NaN', '1e999', field(draw.text(30))]);
  if (draw.chance(0.8)) fields[PACKING_FIELD] = draw.chance(0.9) ? PACKING : field(draw.text(30));
  if (draw.chance(0.1)) fields['grpc-encoding'] = draw.pick(['gzip', 'identity', 'br', field(draw.text(20))]);
  if (draw.chance(0.03)) delete fields[draw.pick([PATH_FIELD, CALLER_FIELD, CALLEE_FIELD])];
  const bodies: Buffer[] = [];
  for (let left = draw.int(0, 3); left > 0; left -= 1) {
    const body =
      path === SIDECAR_HTTP_PATH
        ? await sidecarMessage(draw, own, packer)
        : messageBytes(draw, InternalInvokeRequestSchema);
    bodies.push(draw.chance(0.05) ? draw.bytes(draw.size(3000)) : frame(draw, body));
  }
  if (stream.destroyed) return;
  stream.respond(fields);
  for (const bytes of bodies) if (!stream.destroyed) stream.write(bytes);
  if (stream.destroyed) return;
  const end = draw.int(0, 9);
  if (end < 6) stream.end();
  else if (end < 8) stream.close(draw.int(0, 13));
}

/** Frames of HTTP/2 with any type, flags, stream and length. */
function rawFrames(draw: Draw): Buffer {
  const settings = Buffer.from([0, 0, 0, 4, 0, 0, 0, 0, 0]);
  const frames = draw.list(30, () => {
    const payload = draw.bytes(draw.size(400));
    const head = Buffer.alloc(9);
    head.writeUIntBE(draw.chance(0.9) ? payload.length : draw.int(0, 0xffffff), 0, 3);
    head[3] = draw.int(0, 12);
    head[4] = draw.pick([0, 1, 4, 5, 8, draw.int(0, 255)]);
    head.writeUInt32BE(draw.pick([0, 1, 2, 3, 5, draw.int(0, 0x7fffffff)]), 5);
    return Buffer.concat([head, payload]);
  });
  return Buffer.concat(draw.chance(0.9) ? [settings, ...frames] : frames);
}

function visit(draw: Draw, port: number, enrolment: NodeEnrolment): Promise<void> {
  const own = enrolment.node;
  const socket = connect({
    host: '127.0.0.1',
    port,
    ca: enrolment.authority,
    allowPartialTrustChain: true,
    cert: enrolment.certificate,
    key: enrolment.key,
    ALPNProtocols: [LINK_ALPN],
  });
  const calls = draw.int(0, 12);
  const talks = draw.chance(0.4);
  const packer = createPacker();
  let made = 0;
  return new Promise((resolve, reject) => {
    const limit = setTimeout(() => {
      socket.destroy();
      reject(new Error('the connection is still open'));
    }, CLOSE_LIMIT_MS);
    let stay: NodeJS.Timeout | undefined;
    const leave = (): void => {
      if (draw.chance(0.5)) socket.destroy();
      else socket.end();
      stay = setTimeout(() => socket.destroy(), STAY_MS);
    };
    socket.on('error', () => {});
    socket.on('close', () => {
      clearTimeout(limit);
      clearTimeout(stay);
      resolve();
    });
    socket.once('secureConnect', () => {
      stay = setTimeout(leave, STAY_MS);
      if (draw.chance(0.2)) {
        socket.resume();
        socket.write(rawFrames(draw));
        return;
      }
      const session = performServerHandshake(socket, { strictSingleValueFields: false } as never);
      session.on('error', () => {});
      session.on('stream', (stream, fields) => {
        stream.on('error', () => {});
        stream.resume();
        if (fields[':path'] === CONTROL_PATH) {
          stream.respond({ ':status': draw.chance(0.97) ? 200 : 404, 'content-type': 'application/grpc' });
          if (draw.chance(0.9)) stream.write(encodeFrame(hello(own)));
          for (let left = talks ? draw.int(1, 4) : 0; left > 0; left -= 1)
            stream.write(frame(draw, controlMessage(draw, own)));
          if (draw.chance(0.05)) stream.end();
        } else if (fields[':path'] === ACCEPT_PATH && made < calls) {
          made += 1;
          clearTimeout(stay);
          stay = setTimeout(leave, STAY_MS);
          void makeCall(draw, own, stream, packer).catch(reject);
        }
      });
    });
  });
}

async function openTarget(): Promise<Fuzzing> {
  const rig = await openRelayRig();
  let count = 0;
  return {
    one: async (draw) => {
      count += 1;
      const number = count;
      await visit(draw, rig.port, draw.pick(rig.hostile));
      if (number % CHECK_EVERY === 0) await rig.check();
    },
    settle: rig.settle,
    close: rig.close,
  };
}

export const relayNodes: FuzzTarget = {
  name: 'relay-nodes',
  inputs: 300,
  concurrency: 8,
  heapMb: 32,
  open: openTarget,
};
