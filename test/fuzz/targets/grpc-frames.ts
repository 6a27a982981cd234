/** Frames of gRPC over HTTP/2, cut anywhere: lengths that lie, unknown flags, gzip that is none or swells, missing ends. */

import { gzipSync } from 'node:zlib';
import { encodeFrame, frameHeader } from '../../../runtime/contracts/grpc-wire/frame.ts';
import { decodeBinaryValue, metadataFromRequest } from '../../../runtime/contracts/grpc-wire/metadata.ts';
import {
  decodeGrpcMessage,
  encodeGrpcMessage,
  GrpcStatusError,
} from '../../../runtime/contracts/grpc-wire/status.ts';
import { parseTimeout } from '../../../runtime/contracts/grpc-wire/timeout.ts';
import { createMessageQueue } from '../../../runtime/grpc-client/message-queue.ts';
import type { Draw } from '../support/draw.ts';
import { ensure, type Fuzzing, type FuzzTarget } from '../support/target.ts';

const MAX = 4096;

interface DrawnStream {
  readonly bytes: Buffer;
  /** Messages before the first fault; `undefined` when the bytes were damaged afterwards. */
  readonly messages: readonly Uint8Array[] | undefined;
  readonly whole: boolean;
  readonly encoding: string | undefined;
}

function drawStream(draw: Draw): DrawnStream {
  const encoding = draw.pick([undefined, 'gzip', 'gzip', 'identity', '', 'snappy', draw.text(10)]);
  const parts: Uint8Array[] = [];
  const messages: Uint8Array[] = [];
  let whole = true;
  for (let left = draw.int(0, 6); left > 0 && whole; left -= 1) {
    const message = draw.bytes(draw.size(MAX));
    const kind = draw.int(0, 11);
    if (kind < 7) {
      parts.push(encodeFrame(message));
      messages.push(message);
    } else if (kind < 8 && encoding === 'gzip') {
      parts.push(encodeFrame(gzipSync(message), true));
      messages.push(message);
    } else {
      whole = false;
      if (kind < 9)
        parts.push(frameHeader(draw.pick([MAX + 1, 2 ** 31, 2 ** 32 - 1]), draw.chance(0.3)), message);
      else if (kind < 10) parts.push(Buffer.from([draw.int(2, 255), 0, 0, 0, 0]));
      else if (kind < 11) parts.push(frameHeader(message.length + draw.int(1, 5)), message);
      else parts.push(encodeFrame(draw.chance(0.5) ? gzipSync(Buffer.alloc(MAX + 1)) : message, true));
    }
  }
  const bytes = Buffer.concat(parts);
  if (draw.chance(0.7)) return { bytes, messages, whole, encoding };
  return { bytes: draw.mutate(bytes), messages: undefined, whole: false, encoding };
}

async function frames(draw: Draw): Promise<void> {
  const { bytes, messages, whole, encoding } = drawStream(draw);
  let paused = 0;
  const queue = createMessageQueue({
    maxMessageBytes: MAX,
    encoding: () => encoding,
    pause: () => (paused += 1),
    resume: () => (paused -= 1),
  });
  let failed: unknown;
  for (let at = 0; at < bytes.byteLength && failed === undefined; ) {
    const size = draw.pick([1, 2, 5, 100, bytes.byteLength]);
    failed = queue.data(bytes.subarray(at, at + size));
    at += size;
  }
  if (failed === undefined) queue.finish();
  const received: Uint8Array[] = [];
  try {
    for (let message = await queue.next(); message !== undefined; message = await queue.next())
      received.push(message);
  } catch (error) {
    failed = error;
  }
  ensure(failed === undefined || failed instanceof GrpcStatusError, () => `threw ${String(failed)}`);
  ensure(
    received.every(({ byteLength }) => byteLength <= MAX),
    () => 'a message over the limit',
  );
  if (messages === undefined) return;
  ensure(whole ? failed === undefined : failed !== undefined, () => `whole ${whole}, but ${String(failed)}`);
  ensure(Buffer.concat(received).equals(Buffer.concat(messages)), () => 'other messages than were sent');
}

function headers(draw: Draw): void {
  const text = draw.text(200);
  const sent = encodeGrpcMessage(text);
  ensure(/^[\x20-\x7e]*$/.test(sent), () => `not printable: ${sent}`);
  ensure(
    decodeGrpcMessage(sent) === Buffer.from(text, 'utf8').toString('utf8'),
    () => `changed: ${JSON.stringify(text)}`,
  );
  decodeGrpcMessage(text);
  decodeBinaryValue(text);
  metadataFromRequest(draw.list(9, () => draw.text(50)));
  const timeout = parseTimeout(
    draw.pick([draw.text(12), `${draw.number()}${draw.pick(['H', 'M', 'S', 'm', 'u', 'n', 'x'])}`]),
  );
  ensure(timeout === undefined || (timeout >= 0 && Number.isFinite(timeout)), () => `timeout ${timeout}`);
}

export const grpcFrames: FuzzTarget = {
  name: 'grpc-frames',
  inputs: 30_000,
  open: async (): Promise<Fuzzing> => ({
    one: async (draw) => {
      headers(draw);
      await frames(draw);
    },
  }),
};
