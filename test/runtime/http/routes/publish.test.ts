import t from 'tap';
import type {
  BulkPublishEntry,
  BulkPublishResult,
  PublishRequest,
} from '../../../../runtime/contracts/blocks.ts';
import { runtimeError } from '../../../../runtime/contracts/error.ts';
import { type FakeApi, fakeBlocks, serve } from '../fake-api.ts';

type Test = Parameters<typeof serve>[0];

async function withPublish(
  t: Test,
  result: BulkPublishResult = { failedEntries: [] },
): Promise<FakeApi & { single: PublishRequest[]; bulk: (readonly BulkPublishEntry[])[] }> {
  const single: PublishRequest[] = [];
  const bulk: (readonly BulkPublishEntry[])[] = [];
  const api = await serve(
    t,
    fakeBlocks({
      publish: {
        check: (pubsub) => {
          if (pubsub !== 'ps') throw runtimeError('pubsubNotFound', { pubsub });
        },
        publish: async (request) => void single.push(request),
        bulkPublish: async (_pubsub, _topic, entries) => {
          bulk.push(entries);
          return result;
        },
      },
    }),
    { limits: { maxBodyBytes: 1024, readBufferBytes: 4096 } },
  );
  return { ...api, single, bulk };
}

t.test('topic, body, content type and metadata reach the block', async (t) => {
  const api = await withPublish(t);
  const sent = await api.call({
    method: 'POST',
    path: '/v1.0/publish/ps/deep/sp%20ace?metadata.rawPayload=true&other=1',
    body: 'x',
    headers: { 'content-type': 'text/x; charset=utf-8' },
  });
  t.equal(sent.status, 204);
  await api.call({ method: 'PUT', path: '/v1.0/publish/ps/t' });
  t.match(api.single, [
    {
      pubsubName: 'ps',
      topic: 'deep/sp ace',
      contentType: 'text/x; charset=utf-8',
      metadata: { rawPayload: 'true' },
    },
    { topic: 't', contentType: '', metadata: {} },
  ]);
  t.equal(Buffer.from(api.single[0]?.data ?? []).toString(), 'x');
});

t.test('a body too long is the failure of a publish, after the check', async (t) => {
  const api = await withPublish(t);
  t.equal(
    (await api.call({ method: 'POST', path: '/v1.0/publish/ps/t', body: 'x'.repeat(1024) })).status,
    204,
  );
  for (const part of [{ body: 'x'.repeat(1025) }, { chunks: ['x'.repeat(1000), 'x'.repeat(25)] }]) {
    const refused = await api.call({ method: 'POST', path: '/v1.0/publish/ps/t', ...part });
    t.equal(refused.status, 500);
    t.match(refused.json, {
      errorCode: 'ERR_PUBSUB_PUBLISH_MESSAGE',
      message: 'error when publishing to topic t in pubsub ps: stream too large',
      details: [{}, { metadata: { error: 'stream too large', topic: 't' } }],
    });
  }
  t.equal(
    (await api.call({ method: 'POST', path: '/v1.0/publish/nope/t', body: 'x'.repeat(2000) })).status,
    404,
  );
});

t.test('bulk: events are converted by their content type', async (t) => {
  const api = await withPublish(t);
  const entries = [
    { entryId: '1', event: { b: 1, a: 2 }, contentType: 'application/json' },
    { entryId: '2', event: 'text', contentType: 'text/plain' },
    {
      entryId: '3',
      event: 'AAEC',
      contentType: 'application/octet-stream',
      metadata: { own: 'x', both: 'entry' },
    },
    { entryId: '4', contentType: 'application/json; charset=utf-8' },
  ];
  const sent = await api.call({
    method: 'POST',
    path: '/v1.0/publish/bulk/ps/t?metadata.both=request',
    body: JSON.stringify(entries),
  });
  t.equal(sent.status, 204);
  const got = api.bulk[0] ?? [];
  t.strictSame(
    got.map(({ event }) => Buffer.from(event).toString('latin1')),
    ['{"a":2,"b":1}', 'text', '\x00\x01\x02', 'null'],
  );
  t.strictSame(
    got.map(({ metadata }) => metadata),
    [undefined, undefined, { own: 'x', both: 'entry' }, undefined],
  );
  t.equal(
    (await api.call({ method: 'POST', path: '/v1.0-alpha1/publish/bulk/ps/t', body: '[]' })).status,
    204,
  );
});

t.test('bulk: what is refused', async (t) => {
  const api = await withPublish(t);
  const reason = async (body: string): Promise<unknown> => {
    const { status, json } = await api.call({ method: 'POST', path: '/v1.0/publish/bulk/ps/t', body });
    t.equal(status, 400);
    return (json as { details: { reason?: string }[] }).details[1]?.reason;
  };
  const one = (entry: object): string =>
    JSON.stringify([{ entryId: '1', contentType: 'application/json', event: 1, ...entry }]);
  t.equal(await reason('nonsense'), 'DAPR_PUBSUB_UNMARSHAL_EVENTS');
  t.equal(await reason('{"entryId":"1"}'), 'DAPR_PUBSUB_UNMARSHAL_EVENTS');
  const noList = await api.call({ method: 'POST', path: '/v1.0/publish/bulk/ps/t', body: 'true' });
  t.match(
    (noList.json as { message: string }).message,
    /: json: cannot unmarshal bool into Go value of type \[\]http\.bulk/,
  );
  t.equal(await reason('x'.repeat(2000)), 'DAPR_PUBSUB_UNMARSHAL_EVENTS');
  t.equal(await reason(one({ entryId: '' })), 'DAPR_PUBSUB_MARSHAL_EVENTS');
  t.equal(
    await reason(JSON.stringify([...JSON.parse(one({})), ...JSON.parse(one({}))])),
    'DAPR_PUBSUB_MARSHAL_EVENTS',
  );
  t.equal(await reason(one({ contentType: 'text/plain' })), 'DAPR_PUBSUB_MARSHAL_ENVELOPE');
  t.equal(await reason(one({ contentType: 'image/png', event: 'x' })), 'DAPR_PUBSUB_MARSHAL_ENVELOPE');
  t.equal(
    await reason(one({ contentType: 'application/octet-stream', event: 'not base64!' })),
    'DAPR_PUBSUB_MARSHAL_ENVELOPE',
  );
  t.equal(api.bulk.length, 0);
});

t.test('bulk: failed entries are listed in body and header', async (t) => {
  const api = await withPublish(t, { failedEntries: [{ entryId: '1', error: 'down' }] });
  const answer = await api.call({
    method: 'POST',
    path: '/v1.0/publish/bulk/ps/t',
    body: '[{"entryId":"1","event":1,"contentType":"application/json"}]',
  });
  t.equal(answer.status, 500);
  const wanted =
    '{"failedEntries":[{"entryId":"1","error":"down"}],"errorCode":"ERR_PUBSUB_PUBLISH_MESSAGE"}';
  t.equal(answer.text, wanted);
  t.equal(answer.headers['metadata.responsedata'], wanted);
  t.equal(
    answer.headers['metadata.error'],
    'api error: code = Internal desc = error when publishing to topic t in pubsub ps: down',
  );
});
