/**
 * One call at the server: the HTTP/2 stream read as messages and answered with headers, messages and trailers. It ends
 * exactly once, by whatever comes first: the handler, the deadline, the client's reset, or the server giving up.
 */

import type { IncomingHttpHeaders, ServerHttp2Stream } from 'node:http2';
import { promisify } from 'node:util';
import { gzip } from 'node:zlib';
import type { HeaderList } from '../contracts/app-channel.ts';
import type { Clock, Timer } from '../contracts/clock.ts';
import { GrpcCode } from '../contracts/grpc-code.ts';
import { encodeFrame } from '../contracts/grpc-wire/frame.ts';
import { addMetadata, metadataFromRequest } from '../contracts/grpc-wire/metadata.ts';
import type { GrpcCall } from '../contracts/grpc-wire/service.ts';
import { type GrpcStatus, GrpcStatusError, trailersOfStatus } from '../contracts/grpc-wire/status.ts';
import { parseTimeout, timeoutFault } from '../contracts/grpc-wire/timeout.ts';
import type { Logger } from '../contracts/logger.ts';
import type { SpiffeId } from '../contracts/spiffe.ts';
import type { Span } from '../contracts/trace.ts';
import { deadlineExceeded } from '../grpc-client/abort-status.ts';
import { createMessageQueue, type MessageQueue } from '../grpc-client/message-queue.ts';
import { writeMessage } from '../grpc-client/write-message.ts';
import type { Keepalive } from './session-keepalive.ts';

export interface IncomingCallOptions {
  readonly protocol: 'grpc' | 'internal';
  readonly clock: Clock;
  readonly log: Logger;
  readonly maxMessageBytes: number;
  readonly keepalive: Keepalive;
  readonly callerId?: SpiffeId | undefined;
}

const deflate = promisify(gzip);
const NO_SPAN: Span = { context: {}, child: () => NO_SPAN, setAttribute: () => {}, end: () => {} };
const OK: GrpcStatus = { code: GrpcCode.OK, message: '' };
const RESPOND = { waitForTrailers: true, sendDate: false };
const RESPOND_ALONE = { endStream: true, sendDate: false };

/** The server's side of a call; handlers see it as `GrpcCall`. */
export class IncomingCall implements GrpcCall {
  readonly path: string;
  readonly protocol: 'grpc' | 'internal';
  readonly log: Logger;
  readonly callerId: SpiffeId | undefined;
  /** Messages of the client. */
  readonly messages: MessageQueue;
  metadata: HeaderList;
  span: Span = NO_SPAN;
  /** The method takes a single message. */
  oneRequest = false;
  /** Whether tracing is on. */
  traced = false;
  /** Size of the request of a unary call. */
  receivedBytes = 0;
  /** Bytes of the messages sent. */
  sentBytes = 0;
  /** Called once, with the status that was sent. */
  onFinished: ((status: GrpcStatus) => void) | undefined;

  readonly #stream: ServerHttp2Stream;
  readonly #options: IncomingCallOptions;
  readonly #abort = new AbortController();
  readonly #contentType: string;
  readonly #compress: boolean;
  #headers: HeaderList = [];
  #trailers: HeaderList = [];
  #headersSent = false;
  #finished = false;
  #deadline: Timer | undefined;
  #deadlineAt: number | undefined;

  constructor(
    stream: ServerHttp2Stream,
    fields: IncomingHttpHeaders,
    rawHeaders: readonly string[],
    options: IncomingCallOptions,
  ) {
    this.#stream = stream;
    this.#options = options;
    this.path = fields[':path'] ?? '';
    this.protocol = options.protocol;
    this.log = options.log;
    this.callerId = options.callerId;
    this.metadata = metadataFromRequest(rawHeaders);
    this.#contentType = fields['content-type'] ?? 'application/grpc';
    const encoding = fields['grpc-encoding'] as string | undefined;
    this.#compress = encoding === 'gzip' && takesGzip(fields['grpc-accept-encoding']);
    this.messages = createMessageQueue({
      maxMessageBytes: options.maxMessageBytes,
      encoding: () => encoding,
      pause: () => void stream.pause(),
      resume: () => void stream.resume(),
    });
    this.#listen();
    this.#startDeadline(fields['grpc-timeout'] as string | undefined);
    if (encoding !== undefined && !ENCODINGS.has(encoding)) this.giveUp(unknownEncoding(encoding));
  }

  get signal(): AbortSignal {
    return this.#abort.signal;
  }

  get finished(): boolean {
    return this.#finished;
  }

  /** Milliseconds until the client's deadline; `undefined` when it set none. */
  get remainingMs(): number | undefined {
    return this.#deadlineAt === undefined
      ? undefined
      : Math.max(0, this.#deadlineAt - this.#options.clock.monotonicMs());
  }

  get peer(): string {
    const socket = this.#stream.session?.socket;
    return socket?.remoteAddress === undefined ? '' : `${socket.remoteAddress}:${socket.remotePort ?? 0}`;
  }

  addHeaders(metadata: HeaderList): void {
    this.#headers = this.#headers.length === 0 ? metadata : [...this.#headers, ...metadata];
  }

  addTrailers(metadata: HeaderList): void {
    this.#trailers = this.#trailers.length === 0 ? metadata : [...this.#trailers, ...metadata];
  }

  sendHeaders(): void {
    if (this.#headersSent || this.#finished || this.#stream.destroyed) return;
    this.#headersSent = true;
    this.#stream.respond(this.#headerFields(), RESPOND);
    this.#options.keepalive.sent();
  }

  /** Sends a message; wait for the result when it is a promise. */
  send(message: Uint8Array): Promise<void> | undefined {
    if (this.#finished) return undefined;
    this.#checkSize(message);
    this.sendHeaders();
    this.sentBytes += message.byteLength;
    this.#options.keepalive.sent();
    return this.#compress ? this.#sendCompressed(message) : writeMessage(this.#stream, message);
  }

  /** The only message of a unary call; what a client sends behind it is not waited for. */
  async receiveOne(): Promise<Uint8Array> {
    const message = await this.messages.next();
    if (message === undefined) throw new GrpcStatusError(GrpcCode.Unknown, 'EOF');
    this.receivedBytes = message.byteLength;
    return message;
  }

  /** Ends the call well with its only message, in one write; wait for the result when it is a promise. */
  finishWith(message: Uint8Array): Promise<void> | undefined {
    if (this.#finished) return undefined;
    this.#checkSize(message);
    this.sendHeaders();
    this.sentBytes += message.byteLength;
    if (this.#compress) return this.#finishCompressed(message);
    this.#end(OK, encodeFrame(message));
    return undefined;
  }

  /** Ends the call; only the first end counts. */
  finish(status: GrpcStatus = OK): void {
    if (this.#finished) return;
    if (!this.#headersSent && status.code !== GrpcCode.OK && this.#headers.length === 0)
      this.#endAlone(status);
    else {
      this.sendHeaders();
      this.#end(status, undefined);
    }
  }

  /** Aborts the handler and ends the call with `status`. */
  giveUp(status: GrpcStatusError): void {
    if (this.#finished) return;
    this.finish(status);
    this.#abort.abort(status);
    this.messages.finish(status);
  }

  async #sendCompressed(message: Uint8Array): Promise<void> {
    const packed = await deflate(message);
    if (!this.#finished) await writeMessage(this.#stream, packed, true);
  }

  async #finishCompressed(message: Uint8Array): Promise<void> {
    const packed = await deflate(message);
    if (!this.#finished) this.#end(OK, encodeFrame(packed, true));
  }

  #listen(): void {
    const stream = this.#stream;
    stream.on('data', (chunk: Uint8Array) => {
      this.#options.keepalive.received();
      const fault = this.messages.data(chunk);
      if (fault !== undefined) this.giveUp(fault);
    });
    stream.on('end', () => this.#inputEnded());
    stream.on('aborted', () => this.#gone());
    stream.on('error', (error) => this.log.debug('gRPC stream error', { error }));
    stream.on('close', () => this.#gone());
  }

  /** Node reports a reset as an end first and as a reset a moment later; only a stream of requests must not mix them up. */
  #inputEnded(): void {
    if (this.oneRequest) this.messages.finish();
    else setImmediate(() => this.messages.finish());
  }

  #gone(): void {
    if (this.#finished) return;
    this.#finished = true;
    this.#deadline?.cancel();
    const status = new GrpcStatusError(GrpcCode.Canceled, 'context canceled');
    this.#abort.abort(status);
    this.messages.finish(status);
    this.onFinished?.(status);
  }

  #startDeadline(text: string | undefined): void {
    if (text === undefined) return;
    const ms = parseTimeout(text);
    if (ms === undefined) {
      this.giveUp(new GrpcStatusError(GrpcCode.Internal, `malformed grpc-timeout: ${timeoutFault(text)}`));
      return;
    }
    this.#deadlineAt = this.#options.clock.monotonicMs() + ms;
    this.#deadline = this.#options.clock.startTimer(ms, () => this.giveUp(deadlineExceeded()), true);
  }

  #headerFields(): Record<string, string | string[]> {
    const fields: Record<string, string | string[]> = { ':status': '200', 'content-type': this.#contentType };
    if (this.#compress) fields['grpc-encoding'] = 'gzip';
    if (this.#headers.length > 0) addMetadata(fields, this.#headers);
    return fields;
  }

  #checkSize(message: Uint8Array): void {
    const max = this.#options.maxMessageBytes;
    if (message.byteLength <= max) return;
    throw new GrpcStatusError(
      GrpcCode.ResourceExhausted,
      `grpc: trying to send message larger than max (${message.byteLength} vs. ${max})`,
    );
  }

  #end(status: GrpcStatus, last: Uint8Array | undefined): void {
    const stream = this.#stream;
    this.#settle(status);
    if (stream.destroyed || stream.closed) return;
    const trailers = trailersOfStatus(status);
    if (this.#trailers.length > 0) addMetadata(trailers, this.#trailers);
    stream.once('wantTrailers', () => {
      stream.sendTrailers(trailers);
      this.#stopSender();
    });
    if (last === undefined) stream.end();
    else stream.end(last);
    this.#options.keepalive.sent();
  }

  #endAlone(status: GrpcStatus): void {
    const stream = this.#stream;
    this.#settle(status);
    if (stream.destroyed || stream.closed) return;
    const fields = { ...this.#headerFields(), ...trailersOfStatus(status) };
    delete fields['grpc-encoding'];
    if (this.#trailers.length > 0) addMetadata(fields, this.#trailers);
    stream.respond(fields, RESPOND_ALONE);
    this.#options.keepalive.sent();
    this.#stopSender();
  }

  #settle(status: GrpcStatus): void {
    this.#finished = true;
    this.#headersSent = true;
    this.#deadline?.cancel();
    this.onFinished?.(status);
  }

  /** The answer is complete: what the client still sends is of no use. */
  #stopSender(): void {
    const stream = this.#stream;
    if (stream.readableEnded) return;
    this.messages.finish(new GrpcStatusError(GrpcCode.Canceled, 'the call has ended'));
    stream.resume();
    setImmediate(() => {
      if (!stream.readableEnded && !stream.destroyed) stream.close(0);
    });
  }
}

const ENCODINGS = new Set(['', 'identity', 'gzip']);

/** Said before anything is decoded, also when no message is compressed. */
function unknownEncoding(name: string): GrpcStatusError {
  const text = `grpc: Decompressor is not installed for grpc-encoding ${JSON.stringify(name)}`;
  return new GrpcStatusError(GrpcCode.Unimplemented, text);
}

/** A client that says nothing takes what it sends itself. */
function takesGzip(accepted: unknown): boolean {
  return typeof accepted !== 'string' || accepted.split(',').some((word) => word.trim() === 'gzip');
}
