/** Batches: what is ready together goes together; each message gets its own outcome. */

import t from 'tap';
import { type BulkAnswer, BulkSender } from '../../../../edge-components/drivers/dapr-api/bulk-sender.ts';
import type { DeliveryOutcome, StoredMessage } from '../../../../runtime/contracts/spool.ts';

const signal = new AbortController().signal;

function message(n: number, text = `{"n":${n}}`, contentType = 'application/json'): StoredMessage {
  return {
    id: `id-${n}`,
    sequence: n,
    key: `k${n}`,
    priority: 4,
    acceptedAt: 0,
    attempts: 0,
    headers: { contentType },
    payload: Buffer.from(text),
  };
}

function sender(answer: (body: string) => BulkAnswer | Error) {
  const bodies: string[] = [];
  const targets: string[] = [];
  const singles: string[] = [];
  const bulk = new BulkSender({
    maxMessages: 3,
    maxBytes: 10_000,
    maxBatches: 1,
    metadata: ({ id }) => ({ 'cloudevent.id': id, tier: 'gold' }),
    target: ({ headers: { topic = 't' } }) => (topic === 'alone' ? undefined : topic),
    send: async (target, body) => {
      targets.push(target);
      bodies.push(Buffer.from(body).toString());
      const given = answer(bodies.at(-1) ?? '');
      if (given instanceof Error) throw given;
      return given;
    },
    single: async ({ id }): Promise<DeliveryOutcome> => {
      singles.push(id);
      return id === 'id-2' ? { park: 'bad' } : 'delivered';
    },
  });
  const all = (...messages: StoredMessage[]) => Promise.all(messages.map((one) => bulk.deliver(one, signal)));
  return { bodies, targets, singles, all };
}

const status = (code: number, body: object = {}): BulkAnswer => ({
  status: code,
  body: Buffer.from(JSON.stringify(body)),
});

t.test('one request for what is ready at once, bounded', async (t) => {
  const { bodies, singles, all } = sender(() => status(204));
  t.same(await all(...[1, 2, 3, 4].map((n) => message(n))), Array(4).fill('delivered'));
  t.equal(bodies.length, 1);
  t.match(JSON.parse(bodies[0] ?? '')[0], {
    entryId: 'id-1',
    event: { n: 1 },
    contentType: 'application/json',
    metadata: { 'cloudevent.id': 'id-1', tier: 'gold' },
  });
  t.same(singles, ['id-4'], 'the fourth is a batch of its own, so it goes alone');
});

t.test('forms of content', async (t) => {
  const { bodies, singles, all } = sender(() => status(200));
  await all(
    message(1, 'plain "text"', 'text/plain'),
    message(3, '\u0001', 'application/octet-stream'),
    message(4, 'no json'),
  );
  const events = (JSON.parse(bodies[0] ?? '') as { event: unknown }[]).map(({ event }) => event);
  t.same(events, ['plain "text"', 'AQ==']);
  t.same(singles, ['id-4'], 'what only claims to be JSON goes alone');
});

t.test(
  'entries that failed go alone, the others are done; when all failed the broker is in trouble',
  async (t) => {
    const failed = { failedEntries: [{ entryId: 'id-2', error: 'full' }], errorCode: 'X' };
    const { all, singles } = sender(() => status(500, failed));
    t.same(await all(message(1), message(2), message(3)), ['delivered', { park: 'bad' }, 'delivered']);
    t.same(singles, ['id-2']);
    const every = [1, 3].map((n) => ({ entryId: `id-${n}`, error: 'away' }));
    const trouble = sender(() => status(500, { failedEntries: every }));
    t.same(await trouble.all(message(1), message(3)), Array(2).fill({ retry: 'away' }));
    t.same(trouble.singles, []);
  },
);

t.test('a request per topic; what must go alone does', async (t) => {
  const { all, bodies, targets, singles } = sender(() => status(204));
  const of = (n: number, topic: string): StoredMessage => {
    const one = message(n);
    return { ...one, headers: { ...one.headers, topic } };
  };
  await all(of(1, 'a'), of(3, 'b'), of(4, 'alone'), of(5, 'a'), of(6, 'b'));
  t.same(targets, ['a', 'b']);
  t.same(
    bodies.map((body) => (JSON.parse(body) as { entryId: string }[]).map(({ entryId }) => entryId)),
    [
      ['id-1', 'id-5'],
      ['id-3', 'id-6'],
    ],
  );
  t.same(singles, ['id-4']);
});

t.test('a component that is missing says nothing of the API', async (t) => {
  const { all, bodies } = sender(() => status(404, { errorCode: 'ERR_PUBSUB_NOT_FOUND' }));
  await all(message(1), message(3));
  await all(message(4), message(5));
  t.equal(bodies.length, 2);
});

t.test('a batch that is refused as a whole goes one by one, so that the one at fault is found', async (t) => {
  const { singles, all } = sender(() => status(400, { errorCode: 'X' }));
  t.same(await all(message(1), message(2)), ['delivered', { park: 'bad' }]);
  t.same(singles, ['id-1', 'id-2']);
});

t.test('a far side without the API, and one that is away', async (t) => {
  const without = sender(() => status(404));
  await without.all(message(1), message(3));
  await without.all(message(4), message(5));
  t.equal(without.bodies.length, 1, 'it is not asked again');
  const away = sender(() => new Error('connection refused'));
  t.same(await away.all(message(1), message(2)), Array(2).fill({ retry: 'connection refused' }));
});
