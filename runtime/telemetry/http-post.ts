/** One POST of a batch to a collector, judged by its status: OTLP over HTTP and Zipkin share it. */

import { bytesBody, readBody } from '../contracts/body.ts';
import type { Clock } from '../contracts/clock.ts';
import { createHttp1Transport } from '../http-client/http1-transport.ts';
import { headerText, type TransportTls } from '../http-client/transport.ts';
import { ExportError } from './span-queue.ts';

export interface HttpTarget {
  readonly host: string;
  readonly port: number;
  readonly path: string;
  readonly tls?: TransportTls;
}

export interface HttpPostOptions {
  readonly target: HttpTarget;
  readonly headers: Readonly<Record<string, string>>;
  readonly timeoutMs: number;
  /** Statuses after which the same batch may be sent again. */
  readonly retryable: ReadonlySet<number>;
  readonly clock: Clock;
}

export interface HttpPost {
  post(body: Uint8Array, signal: AbortSignal): Promise<void>;
  close(): void;
}

/** What a collector says in its answer is of no use beyond this. */
const MAX_ANSWER_BYTES = 64 * 1024;
const MAX_QUOTED = 200;

export function createHttpPost(options: HttpPostOptions): HttpPost {
  const { host, port, path, tls } = options.target;
  const transport = createHttp1Transport({
    host,
    port,
    ...(tls === undefined ? {} : { tls }),
    dialLimit: { ms: options.timeoutMs, clock: options.clock },
    clock: options.clock,
  });
  const headers = Object.entries(options.headers).flatMap(([name, value]) => [name, headerText(value)]);
  return {
    post: async (body, signal) => {
      const answer = await transport.send({ verb: 'POST', path, headers, body: bytesBody(body) }, signal);
      const text = await readBody(answer.body, MAX_ANSWER_BYTES);
      if (answer.status >= 200 && answer.status < 300) return;
      const said = Buffer.from(text).toString('utf8', 0, MAX_QUOTED).trim();
      throw new ExportError(
        `status ${answer.status}${said === '' ? '' : `: ${said}`}`,
        options.retryable.has(answer.status),
      );
    },
    close: () => transport.close(),
  };
}
