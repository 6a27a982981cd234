/** What an app's answer to an event means (HTTP reference, sections 8.5 and 8.6). */

import type { DeliveryResult } from '../contracts/app-channel.ts';

const SUCCESS: DeliveryResult = Object.freeze({ kind: 'success' });
export const DROP: DeliveryResult = Object.freeze({ kind: 'drop' });
/** The app does not know the route. */
export const UNKNOWN_ROUTE: DeliveryResult = Object.freeze({ kind: 'drop', unknown: true });
/** The same, and not even a dead letter is left. */
export const DROP_FOR_GOOD: DeliveryResult = Object.freeze({ kind: 'drop', unknown: true, final: true });

/** Verdict of a 2xx answer to one event; what is no JSON object with a text `status` accepts the event. */
export function resultOfReply(body: Uint8Array, event: string): DeliveryResult {
  if (body.byteLength === 0) return SUCCESS;
  const reply = parseObject(body);
  const status = reply === undefined ? undefined : field(reply, 'status');
  return typeof status === 'string' ? resultOfStatus(status, event, SUCCESS) : SUCCESS;
}

/** Verdict of a status word; `empty` is what a missing word means. */
function resultOfStatus(status: string, event: string, empty: DeliveryResult): DeliveryResult {
  switch (status) {
    case '':
      return empty;
    case 'SUCCESS':
      return SUCCESS;
    case 'DROP':
      return DROP;
    case 'RETRY':
      return retry(`RETRY status returned from app while processing pub/sub event ${event}`);
    default:
      return retry(
        `unknown status returned from app while processing pub/sub event ${event}, status: ${status}`,
      );
  }
}

/** Verdicts of a 2xx answer to a batch, in the order of `entryIds`; entries it does not settle are retried. */
export function resultsOfBulkReply(body: Uint8Array, entryIds: readonly string[]): DeliveryResult[] {
  const reply = parseObject(body);
  const statuses = reply === undefined ? undefined : field(reply, 'statuses');
  if (!Array.isArray(statuses)) {
    return entryIds.map((id) => retry(`app did not answer with statuses for bulk entry ${id}`));
  }
  const words = new Map<string, string>();
  for (const entry of statuses) {
    if (typeof entry !== 'object' || entry === null) continue;
    const id = field(entry as Json, 'entryId');
    const word = field(entry as Json, 'status');
    if (typeof id === 'string' && typeof word === 'string') words.set(id, word);
  }
  return entryIds.map((id) => {
    const word = words.get(id);
    if (word === undefined) return retry(`app did not answer for bulk entry ${id}`);
    return resultOfStatus(word, id, retry(`app answered bulk entry ${id} with an empty status`));
  });
}

/** A verdict that asks for another delivery. */
export function retry(text: string, status: { httpStatus?: number; grpcCode?: number } = {}): DeliveryResult {
  return { kind: 'retry', error: new Error(text), ...status };
}

type Json = Readonly<Record<string, unknown>>;

function parseObject(body: Uint8Array): Json | undefined {
  try {
    const value: unknown = JSON.parse(
      Buffer.from(body.buffer, body.byteOffset, body.byteLength).toString('utf8'),
    );
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Json) : undefined;
  } catch {
    return undefined;
  }
}

/** Member by name, another letter case when the exact one is missing. */
function field(object: Json, name: string): unknown {
  if (Object.hasOwn(object, name)) return object[name];
  const lower = name.toLowerCase();
  const key = Object.keys(object).find((candidate) => candidate.toLowerCase() === lower);
  return key === undefined ? undefined : object[key];
}
