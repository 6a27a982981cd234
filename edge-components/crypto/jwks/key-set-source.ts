/** Where the item `jwks` takes its keys from: a URL, a file, or the set itself, as JSON or base64 of JSON. */

import { readFile, stat } from 'node:fs/promises';
import type { ComponentDeps } from '../../../runtime/contracts/component.ts';
import { errorText } from '../../../runtime/contracts/error.ts';
import { createHttpClient } from '../../drivers/http/request.ts';
import { createRemoteJwks, type JwkSet, parseJwkSet } from '../../drivers/keys/remote-jwks.ts';

export interface KeySetOptions {
  readonly jwks: string;
  readonly requestTimeoutMs: number;
  readonly minRefreshMs: number;
}

export interface KeySetSource {
  /** The set in force. */
  current(): Promise<JwkSet>;
  /** Asks again because a key was missing; `undefined` when there is nothing newer. */
  newerThan(known: JwkSet): Promise<JwkSet | undefined>;
  close(): void;
}

/** How long a start waits for the first read. */
const START_WAIT_MS = 2000;

export async function openKeySet(
  options: KeySetOptions,
  deps: Pick<ComponentDeps, 'clock' | 'log'>,
): Promise<KeySetSource> {
  if (/^https?:\/\//.test(options.jwks)) return await remote(options, deps);
  const info = await stat(options.jwks).catch(() => undefined);
  if (info?.isFile() === true) return await file(options.jwks, deps);
  return fixed(literalSet(options.jwks));
}

function literalSet(text: string): JwkSet {
  const isBase64 = /^[A-Za-z0-9+/]+={0,2}$/.test(text.trim());
  try {
    return parseJwkSet(isBase64 ? Buffer.from(text, 'base64').toString('utf8') : text);
  } catch (error) {
    throw new Error(
      `metadata item 'jwks': expected a URL, the path of a file, or a JSON key set (also as base64): ${errorText(error)}`,
    );
  }
}

function fixed(set: JwkSet): KeySetSource {
  return { current: async () => set, newerThan: async () => undefined, close: () => {} };
}

/** Without a link at start the keys come later; what is asked for meanwhile fails and says why. */
async function remote(
  options: KeySetOptions,
  deps: Pick<ComponentDeps, 'clock' | 'log'>,
): Promise<KeySetSource> {
  const { clock, log } = deps;
  if (options.jwks.startsWith('http:')) log.warn('the key set is read over HTTP without TLS');
  const client = createHttpClient();
  const jwks = createRemoteJwks({
    url: async () => options.jwks,
    client,
    clock,
    log,
    minRefreshMs: options.minRefreshMs,
    timeoutMs: options.requestTimeoutMs,
  });
  await jwks.start(START_WAIT_MS);
  return {
    current: jwks.current,
    newerThan: jwks.newerThan,
    close: () => {
      jwks.close();
      client.close();
    },
  };
}

/** A file is read again when it changed; one that cannot be read any more leaves the old keys in force. */
async function file(path: string, deps: Pick<ComponentDeps, 'log'>): Promise<KeySetSource> {
  let mark = '';
  let set: JwkSet | undefined;
  const load = async (): Promise<JwkSet> => {
    try {
      const { mtimeMs, size, ino } = await stat(path);
      const now = `${mtimeMs}/${size}/${ino}`;
      if (set !== undefined && now === mark) return set;
      const read = parseJwkSet(await readFile(path, 'utf8'));
      mark = now;
      set = read;
    } catch (error) {
      if (set === undefined) throw new Error(`metadata item 'jwks': ${path}: ${errorText(error)}`);
      deps.log.error(`the key set in ${path} could not be read, the old one stays: ${errorText(error)}`);
    }
    return set;
  };
  await load();
  return { current: load, newerThan: async () => undefined, close: () => {} };
}
