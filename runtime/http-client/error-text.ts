/** Texts of failed requests as Dapr's clients know them: `Get "http://host:port/path": dial tcp ...`. */

import { DIAL_FAULTS } from '../contracts/dial-fault.ts';
import { errorText } from '../contracts/error.ts';

const PLAIN: Readonly<Record<string, string>> = {
  ECONNRESET: 'EOF',
  EPIPE: 'write: broken pipe',
  ECONNABORTED: 'EOF',
  HPE_INVALID_CONSTANT: 'malformed HTTP response',
};

interface SystemError extends Error {
  readonly code?: string;
  readonly syscall?: string;
  readonly errors?: readonly SystemError[];
  readonly hostname?: string;
}

/** Text of a transport failure; `address` is `host:port`. */
export function transportErrorText(cause: unknown, address: string): string {
  const error = cause as SystemError;
  const code = error?.code ?? error?.errors?.[0]?.code ?? '';
  const dial =
    DIAL_FAULTS[code] ??
    (code === 'ECONNRESET' && error.syscall === 'connect' ? 'connect: connection reset by peer' : undefined);
  if (dial !== undefined) return `dial tcp ${address}: ${dial}`;
  if (code === 'ENOTFOUND' || code === 'EAI_AGAIN') {
    return `dial tcp: lookup ${error.hostname ?? address.replace(/:\d+$/, '')}: no such host`;
  }
  return PLAIN[code] ?? errorText(cause);
}

/** The failed request with its cause, e.g. `Post "http://127.0.0.1:80/x": EOF`. */
export function requestErrorText(verb: string, url: string, cause: unknown, address: string): string {
  const word = verb.charAt(0) + verb.slice(1).toLowerCase();
  return `${word} ${JSON.stringify(url)}: ${transportErrorText(cause, address)}`;
}
