/**
 * The control stream of a link: JSON messages in gRPC frames, an empty frame being a beat that only says "still here". Messages
 * of the other side are checked against their schema; one that is none ends the link.
 */

import type { Duplex } from 'node:stream';
import type { z } from 'zod';
import { errorText } from '../contracts/error.ts';
import { createMessageQueue } from '../grpc-client/message-queue.ts';
import { writeMessage } from '../grpc-client/write-message.ts';
import { MAX_CONTROL_BYTES } from './protocol.ts';

export interface Control<Sent> {
  send(message: Sent): void;
  beat(): void;
  close(): void;
}

const NOTHING = new Uint8Array(0);

export interface ControlOptions<Received> {
  readonly schema: z.ZodType<Received>;
  /** Something came in. */
  heard(): void;
  received(message: Received): void;
  /** The stream is over; `fault` when the other side did not keep to the protocol. */
  ended(fault: string | undefined): void;
}

/** Speaks on `stream` until it closes. */
export function openControl<Sent, Received>(
  stream: Duplex,
  options: ControlOptions<Received>,
): Control<Sent> {
  let over = false;
  const end = (fault: string | undefined): void => {
    if (over) return;
    over = true;
    options.ended(fault);
  };
  const queue = createMessageQueue({
    maxMessageBytes: MAX_CONTROL_BYTES,
    encoding: () => undefined,
    pause: () => void stream.pause(),
    resume: () => void stream.resume(),
  });
  stream.on('data', (chunk: Uint8Array) => {
    options.heard();
    const fault = queue.data(chunk);
    if (fault !== undefined) end(fault.message);
  });
  stream.on('end', () => queue.finish());
  stream.on('error', () => {});
  stream.on('close', () => {
    queue.finish();
    end(undefined);
  });
  const read = async (): Promise<void> => {
    for (let bytes = await queue.next(); bytes !== undefined && !over; bytes = await queue.next()) {
      if (bytes.byteLength > 0)
        options.received(options.schema.parse(JSON.parse(Buffer.from(bytes).toString())));
    }
    end(undefined);
  };
  read().catch((cause: unknown) => end(`malformed control message: ${errorText(cause)}`));
  return {
    send: (message) => void writeMessage(stream, Buffer.from(JSON.stringify(message))),
    beat: () => void writeMessage(stream, NOTHING),
    close: () => {
      if (!stream.writableEnded) stream.end();
    },
  };
}
