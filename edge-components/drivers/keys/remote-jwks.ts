/**
 * A JSON Web Key Set (RFC 7517) behind a URL. Once read it stays in force until a newer one could be read, so that a
 * lost link does not take keys away; how often it is asked for is bounded, whatever callers look for.
 */

import type { Clock } from '../../../runtime/contracts/clock.ts';
import { errorText } from '../../../runtime/contracts/error.ts';
import type { Logger } from '../../../runtime/contracts/logger.ts';
import type { HttpClient } from '../http/request.ts';

export interface JwkSet {
  readonly keys: readonly Readonly<Record<string, unknown>>[];
}

export interface RemoteJwksOptions {
  /** Resolves with the URL of the set; asked before the first successful read only. */
  readonly url: () => Promise<string>;
  readonly client: HttpClient;
  readonly clock: Clock;
  readonly log: Logger;
  /** Shortest time between two successful reads. */
  readonly minRefreshMs: number;
  readonly timeoutMs: number;
}

export interface RemoteJwks {
  /** The set in force; reads it when there is none yet. An old set is given at once and renewed in the background. */
  current(): Promise<JwkSet>;
  /** The first read, waited for at most `waitMs`; a failure is logged and left to later calls. */
  start(waitMs: number): Promise<void>;
  /** A set read because a key was missing in `known`, or `undefined` when it is too early to ask again. */
  newerThan(known: JwkSet): Promise<JwkSet | undefined>;
  close(): void;
}

const MAX_SET_BYTES = 1024 * 1024;
/** Shortest time between two attempts while there is no set at all. */
const RETRY_MS = 5_000;
const MAX_REDIRECTS = 5;

export function createRemoteJwks(options: RemoteJwksOptions): RemoteJwks {
  const { clock, client } = options;
  const closed = new AbortController();
  let url: string | undefined;
  let set: JwkSet | undefined;
  let lastRead = Number.NEGATIVE_INFINITY;
  let failure: { readonly at: number; readonly error: Error } | undefined;
  let reading: Promise<JwkSet> | undefined;

  const read = async (): Promise<JwkSet> => {
    const limit = new AbortController();
    const timer = clock.startTimer(options.timeoutMs, () => limit.abort(new Error('timed out')), true);
    try {
      url ??= await options.url();
      const answer = await client.call({
        method: 'GET',
        url,
        headers: { accept: 'application/json' },
        signal: AbortSignal.any([closed.signal, limit.signal]),
        maxAnswerBytes: MAX_SET_BYTES,
        maxRedirects: MAX_REDIRECTS,
      });
      if (answer.status !== 200) throw new Error(`${url} answered with status ${answer.status}`);
      if (answer.truncated) throw new Error(`${url} answered with more than ${MAX_SET_BYTES} bytes`);
      set = parseJwkSet(Buffer.from(answer.body).toString('utf8'));
      lastRead = clock.monotonicMs();
      failure = undefined;
      return set;
    } catch (error) {
      failure = { at: clock.monotonicMs(), error: new Error(`failed to fetch JWKS: ${errorText(error)}`) };
      throw failure.error;
    } finally {
      timer.cancel();
    }
  };
  const refresh = (): Promise<JwkSet> => {
    reading ??= read().finally(() => {
      reading = undefined;
    });
    return reading;
  };
  /** Whether the far side may be asked now. */
  const mayAsk = (): boolean => {
    const now = clock.monotonicMs();
    if (failure !== undefined && now - failure.at < RETRY_MS) return false;
    return now - lastRead >= options.minRefreshMs;
  };

  return {
    start: async (waitMs) => {
      const first = refresh().then(
        () => undefined,
        (error) => options.log.warn(`starting without keys: ${errorText(error)}`),
      );
      const waited = new AbortController();
      await Promise.race([first, clock.sleep(waitMs, waited.signal).catch(() => undefined)]);
      waited.abort();
    },
    current: async () => {
      if (set === undefined) {
        if (reading === undefined && !mayAsk() && failure !== undefined) throw failure.error;
        return await refresh();
      }
      if (reading === undefined && mayAsk()) {
        refresh().catch((error) =>
          options.log.warn(`the key set could not be renewed, the old one stays: ${errorText(error)}`),
        );
      }
      return set;
    },
    newerThan: async (known) => {
      if (set !== undefined && set !== known) return set;
      if (reading === undefined && !mayAsk()) return undefined;
      return await refresh().catch(() => undefined);
    },
    close: () => closed.abort(new Error('the component is closed')),
  };
}

/** Reads the text of a key set; throws when it is not one. */
export function parseJwkSet(text: string): JwkSet {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new Error(`not valid JSON: ${errorText(error)}`);
  }
  const keys = (value as { keys?: unknown } | null)?.keys;
  const isKey = (key: unknown): boolean => typeof key === 'object' && key !== null && !Array.isArray(key);
  if (!Array.isArray(keys) || !keys.every(isKey)) throw new Error('expected an object {"keys": [...]}');
  return value as JwkSet;
}
