/** What a request must be before anything is done for it, how many may be in progress, and how long a body may stand still. */

import type { IncomingMessage } from 'node:http';
import type { Clock, Timer } from '../contracts/clock.ts';
import { runtimeError } from '../contracts/error.ts';
import type { RequestBody } from './body.ts';
import { errorReply } from './error-response.ts';
import { hasMalformedEscape } from './path.ts';
import type { Reply } from './respond.ts';

/** A body that an endpoint reads whole may stand still this long. */
const STALL_MS = 60_000;

/** Refused before routing, in the words of Go's server; the connection ends, since its framing cannot be trusted. */
function refusal(status: number, text: string): Reply {
  return {
    status,
    headers: ['Content-Type', 'text/plain; charset=utf-8', 'Connection', 'close'],
    body: `${status} ${text}`,
  };
}

const BAD_REQUEST = refusal(400, 'Bad Request');
const TWO_HOSTS = refusal(400, 'Bad Request: too many Host headers');
const UNSUPPORTED_CODING = refusal(501, 'Not Implemented: unsupported transfer encoding');

/** The answer to a request that more than one reader could understand in more than one way; `undefined`: it is fine. */
export function requestFault(incoming: IncomingMessage, rawPath: string): Reply | undefined {
  if (incoming.httpVersionMajor === 0 || hasMalformedEscape(rawPath)) return BAD_REQUEST;
  if (incoming.httpVersionMajor !== 1) return undefined;
  // RFC 9112, section 6.1: `gzip, chunked` would be handed on with its framing misunderstood by somebody.
  const coding = incoming.headers['transfer-encoding'];
  if (coding !== undefined && coding.toLowerCase() !== 'chunked') return UNSUPPORTED_CODING;
  return hasTwoHosts(incoming.rawHeaders) ? TWO_HOSTS : undefined;
}

/** RFC 9112, section 3.2. */
function hasTwoHosts(rawHeaders: readonly string[]): boolean {
  let hosts = 0;
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const name = rawHeaders[i] as string;
    if (name.length === 4 && name.toLowerCase() === 'host') hosts += 1;
  }
  return hosts > 1;
}

/** The answer to a request beyond a bound: `what` is full. */
export function tooMany(what: string): Reply {
  return errorReply(runtimeError('overloaded', { what }));
}

/** Ends requests whose body stands still. One timer looks after all of them, and only while there are some. */
export class StallWatch {
  readonly #clock: Clock;
  readonly #bodies: () => Iterable<RequestBody>;
  #timer: Timer | undefined;

  constructor(clock: Clock, bodies: () => Iterable<RequestBody>) {
    this.#clock = clock;
    this.#bodies = bodies;
  }

  /** A request came. */
  watch(): void {
    this.#timer ??= this.#clock.startTimer(STALL_MS / 2, () => this.#look(), true);
  }

  #look(): void {
    this.#timer = undefined;
    let some = false;
    for (const body of this.#bodies()) {
      some = true;
      body.dropIfStalled?.();
    }
    if (some) this.watch();
  }
}
