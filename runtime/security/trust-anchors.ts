/**
 * The certificates that a mesh trusts: fixed (`DAPR_TRUST_ANCHORS`), or a file that is read again when it changes
 * (`DAPR_TRUST_ANCHORS_FILE`). A file that became unreadable leaves the anchors as they are.
 */

import { readFile } from 'node:fs/promises';
import type { Clock, Timer } from '../contracts/clock.ts';
import { errorText } from '../contracts/error.ts';
import type { Logger } from '../contracts/logger.ts';
import { parseCertificates } from './pem.ts';

export interface TrustAnchors {
  /** PEM. Rejects while there are none yet. */
  current(): Promise<string>;
  /** Calls `run` with anchors that replace the earlier ones. */
  watch(run: (pem: string) => void): void;
  close(): void;
}

/** How often the file is looked at. It is small, and events of replaced files get lost (mounted secrets are links). */
const LOOK_EVERY_MS = 5000;

/** Throws when `pem` holds no certificates. */
export function fixedTrustAnchors(pem: string): TrustAnchors {
  try {
    parseCertificates(pem);
  } catch (cause) {
    throw new Error(`failed to decode trust anchors: ${errorText(cause)}`, { cause });
  }
  return { current: async () => pem, watch: () => {}, close: () => {} };
}

/** The file may appear later. */
export function trustAnchorsFile(file: string, options: { clock: Clock; log: Logger }): TrustAnchors {
  const { clock, log } = options;
  let known: string | undefined;
  let refused: string | undefined;
  let timer: Timer | undefined;
  let watching = false;
  let closed = false;

  const read = async (): Promise<string> => {
    let pem: string;
    try {
      pem = await readFile(file, 'utf8');
    } catch (cause) {
      throw new Error(`failed to read trust anchors file '${file}': ${errorText(cause)}`, { cause });
    }
    if (pem === known) return pem;
    try {
      parseCertificates(pem);
    } catch (cause) {
      throw new Error(`failed to decode trust anchors file '${file}': ${errorText(cause)}`, { cause });
    }
    return pem;
  };

  const look = async (run: (pem: string) => void): Promise<void> => {
    try {
      const pem = await read();
      refused = undefined;
      if (closed || pem === known) return;
      known = pem;
      log.info(`Trust anchors file '${file}' changed, reloading trust anchors`);
      run(pem);
    } catch (cause) {
      const text = errorText(cause);
      if (text !== refused) log.error(`${text}; the trust anchors stay as they are`);
      refused = text;
    }
  };

  return {
    current: async () => {
      // From then on it is the watch that replaces them, so that everybody hears of it.
      if (known === undefined || !watching) known = await read();
      return known;
    },
    watch: (run) => {
      watching = true;
      const next = (): void => {
        if (closed) return;
        timer = clock.startTimer(LOOK_EVERY_MS, () => void look(run).finally(next), true);
      };
      next();
    },
    close: () => {
      closed = true;
      timer?.cancel();
    },
  };
}
