/** Messages that wait for a target that is away: where each is and why, and what people may do about it. */

import type { NodeBlock } from '../../contracts/blocks.ts';
import { runtimeError } from '../../contracts/error.ts';
import type { SpoolDesk, SpoolEntry } from '../../contracts/spool.ts';
import { jsonReply, NO_CONTENT, type Reply } from '../respond.ts';
import type { HttpHandlers } from '../router.ts';

type SpoolHandlers = Pick<
  HttpHandlers,
  'spoolStatus' | 'spoolMessages' | 'spoolFind' | 'spoolRetry' | 'spoolDrop'
>;

const DEFAULT_LIMIT = 100;
const MAX_LIMIT = 1000;

export function spoolHandlers(node: NodeBlock): SpoolHandlers {
  const desk = (): SpoolDesk => {
    if (node.spoolDesk === undefined) throw refusal('this node has no queues');
    return node.spoolDesk;
  };
  return {
    spoolStatus: async () => {
      const queues = (await node.spools()).map(({ name, counts }) => ({ name, ...counts }));
      const storage = node.cardWear?.();
      return json(200, { queues, ...(storage === undefined ? {} : { storage }) });
    },
    spoolMessages: async (request) => {
      const value = (name: string): string | undefined => {
        const given = request.queryValue(name);
        return given === '' ? undefined : given;
      };
      const [queue, state, after] = ['queue', 'state', 'after'].map(value);
      const limit = Number(value('limit') ?? DEFAULT_LIMIT);
      if (!Number.isInteger(limit) || limit < 1 || limit > MAX_LIMIT)
        throw refusal(`limit: expected a number from 1 to ${MAX_LIMIT}, got '${value('limit')}'`);
      if (state !== undefined && state !== 'pending' && state !== 'parked')
        throw refusal(`state: expected pending or parked, got '${state}'`);
      const messages = await desk().list({
        limit,
        ...(queue === undefined ? {} : { queue }),
        ...(state === undefined ? {} : { state }),
        ...(after === undefined ? {} : { after }),
      });
      return json(200, { messages });
    },
    spoolFind: async (request) => {
      const id = request.param(0);
      const entry = await desk().find(id);
      if (entry === undefined) return absent(id);
      if (request.queryValue('content') !== 'true') return json(200, entry);
      return json(200, await withContent(desk(), entry));
    },
    spoolRetry: async (request) => {
      const queue = request.queryValue('queue') ?? '';
      const byId = request.path.includes('/messages/');
      if (!byId && queue === '') throw refusal('queue: the name of a queue is required');
      const released = await desk().retry(byId ? { id: request.param(0) } : { queue });
      return byId && released === 0 ? absent(request.param(0), 'parked') : json(200, { released });
    },
    spoolDrop: async (request) => {
      const outcome = await desk().drop(request.param(0));
      if (outcome === 'absent') return absent(request.param(0));
      if (outcome === 'busy')
        return json(409, {
          errorCode: 'ERR_SPOOL_MESSAGE_BUSY',
          message: `message ${request.param(0)} is being delivered right now`,
        });
      return NO_CONTENT;
    },
  };
}

/** Headers and payload go along: as text where they are text, else in base64. */
async function withContent(desk: SpoolDesk, entry: SpoolEntry): Promise<object> {
  const content = await desk.content(entry.id);
  if (content === undefined) return entry;
  const bytes = Buffer.from(content.payload);
  const text = bytes.toString('utf8');
  const isText = Buffer.from(text).equals(bytes);
  return {
    ...entry,
    headers: content.headers,
    ...(isText ? { payload: text } : { payloadBase64: bytes.toString('base64') }),
  };
}

function json(status: number, value: object): Reply {
  return jsonReply(status, `${JSON.stringify(value)}\n`);
}

function refusal(error: string): Error {
  return runtimeError('malformedText', { error });
}

function absent(id: string, state = 'known'): Reply {
  return json(404, {
    errorCode: 'ERR_SPOOL_MESSAGE_NOT_FOUND',
    message: `there is no ${state} message ${id}: it was never accepted here, or it left long ago`,
  });
}
