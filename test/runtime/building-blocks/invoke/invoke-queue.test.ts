// Calls that wait: what goes onto the disk, what is made of it, and what becomes of the answers.

import t from 'tap';
import { createInvokeQueue } from '../../../../runtime/building-blocks/invoke/invoke-queue.ts';
import type { InvokeRequest, InvokeResponse } from '../../../../runtime/contracts/app-channel.ts';
import type { CallContext } from '../../../../runtime/contracts/call-context.ts';
import type {
  DeliveryOutcome,
  Spool,
  SpoolMessage,
  SpoolSource,
  StoredMessage,
} from '../../../../runtime/contracts/spool.ts';
import { recordingLogger } from '../../../support/recording-logger.ts';

const NOTHING = { bytes: new Uint8Array(0), length: 0, async *stream() {} };

async function rig(answer: () => Promise<InvokeResponse>) {
  const kept: SpoolMessage[] = [];
  const made: { readonly id: string; readonly request: InvokeRequest }[] = [];
  let deliver: ((message: StoredMessage, signal: AbortSignal) => Promise<DeliveryOutcome>) | undefined;
  const spool = {
    append: async (message: SpoolMessage) => `id-${kept.push(message)}`,
    drain: (run: typeof deliver) => {
      deliver = run;
    },
    wake: () => {},
    close: async () => {},
  } as unknown as Spool;
  const names: string[] = [];
  const spools: SpoolSource = {
    open: async ({ name }) => {
      names.push(name);
      return spool;
    },
    list: async () => [],
  };
  const queue = createInvokeQueue({
    appId: 'door',
    spools,
    invoke: ({ id }, request) => {
      made.push({ id, request });
      return answer();
    },
    context: (signal) => ({ signal }) as CallContext,
    log: recordingLogger(),
  });
  const send = (n: number): Promise<DeliveryOutcome> | undefined =>
    deliver?.(
      { ...(kept[n] as SpoolMessage), id: `id-${n + 1}`, sequence: n, acceptedAt: 0, attempts: 0 },
      new AbortController().signal,
    );
  return { queue, kept, made, names, send };
}

const request: InvokeRequest = {
  method: 'pay/it',
  verb: 'PUT',
  query: 'a=b',
  headers: [
    ['X-Mine', 'yes'],
    ['Skerry-Queue', 'true'],
  ],
  contentType: 'text/plain',
  body: {
    async *stream() {
      yield Buffer.from('in two ');
      yield Buffer.from('parts');
    },
  },
};
const CALL = { signal: new AbortController().signal } as CallContext;
const status = (code: number, grpc = false): InvokeResponse => ({
  status: code,
  grpc,
  headers: [],
  body: NOTHING,
});

t.test('a call comes out as it went in, with its id', async (t) => {
  const { queue, kept, made, names, send } = await rig(async () => status(204));
  await queue.resume();
  t.same(names, [], 'nothing is opened for a node that queued nothing');
  const accepted = await queue.invoke({ id: 'billing' }, request, CALL);
  t.match(accepted, {
    status: 202,
    grpc: false,
    headers: [['skerry-message-id', 'id-1']],
    contentType: 'application/json',
  });
  t.equal(String(Buffer.from(accepted.body.bytes ?? [])), '{"id":"id-1"}\n');
  t.same(made, [], 'it is made later');
  t.same([names, kept[0]?.key], [['door/invoke'], 'billing']);
  t.equal(await send(0), 'delivered');
  t.match(made[0], {
    id: 'billing',
    request: {
      method: 'pay/it',
      verb: 'PUT',
      query: 'a=b',
      contentType: 'text/plain',
      headers: [
        ['X-Mine', 'yes'],
        ['skerry-message-id', 'id-1'],
      ],
    },
  });
  t.equal(String(Buffer.from(made[0]?.request.body.bytes ?? [])), 'in two parts');
});

t.test('answers', async (t) => {
  const outcomes: readonly (readonly [InvokeResponse | Error, string])[] = [
    [status(302), 'delivered'],
    [status(0, true), 'delivered'],
    [status(404), 'park'],
    [status(429), 'retry'],
    [status(503), 'retry'],
    [status(3, true), 'park'],
    [status(14, true), 'retry'],
    [new Error('no link'), 'retry'],
    [Object.assign(new Error('denied'), { httpStatus: 403 }), 'park'],
  ];
  for (const [answer, expected] of outcomes) {
    const { queue, send } = await rig(async () => {
      if (answer instanceof Error) throw answer;
      return answer;
    });
    await queue.invoke({ id: 'billing' }, request, CALL);
    const outcome = await send(0);
    t.equal(typeof outcome === 'string' ? outcome : Object.keys(outcome ?? {})[0], expected);
  }
});

t.test('a call that may not wait is made at once', async (t) => {
  const { queue, kept, made } = await rig(async () => status(204));
  for (const headers of [[], [['skerry-queue', 'false']], [['skerry-queues', 'true']]] as const) {
    t.equal((await queue.invoke({ id: 'billing' }, { ...request, headers }, CALL)).status, 204);
  }
  t.equal(made.length, 3);
  t.equal(kept.length, 0);
});

t.test('a queue that takes nothing is an error of the call', async (t) => {
  const queue = createInvokeQueue({
    appId: 'door',
    spools: {
      open: async () =>
        ({
          append: async () => {
            throw new Error('the queue door/invoke is full');
          },
          drain: () => {},
        }) as unknown as Spool,
      list: async () => [],
    },
    invoke: async () => {
      throw new Error('not called');
    },
    context: (signal) => ({ signal }) as CallContext,
    log: recordingLogger(),
  });
  await t.rejects(queue.invoke({ id: 'billing' }, request, CALL), {
    errorCode: 'ERR_DIRECT_INVOKE',
    message: /billing.*the queue door\/invoke is full/,
  });
});
