import t from 'tap';
import { createActorsBlock } from '../../../../runtime/building-blocks/actors/actors.ts';
import type { JobRequest } from '../../../../runtime/contracts/blocks.ts';
import { runtimeError } from '../../../../runtime/contracts/error.ts';
import { fakeBlocks, serve } from '../fake-api.ts';

const post = (path: string, body?: string | object) => ({
  method: 'POST',
  path,
  ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
});

t.test('lock: both spellings of names, answers that are always complete', async (t) => {
  const seen: unknown[] = [];
  const api = await serve(
    t,
    fakeBlocks({
      lock: {
        tryLock: async (_store, request) => {
          seen.push(request);
          return false;
        },
        unlock: async () => 0,
      },
    }),
    { limits: { maxBodyBytes: 200, readBufferBytes: 4096 } },
  );
  const path = '/v1.0-alpha1/lock/l';
  t.equal(
    (await api.call(post(path, { resource_id: 'r', lock_owner: 'o', expiry_in_seconds: '5', unknown: 1 })))
      .text,
    '{"success":false}',
  );
  t.equal(
    (await api.call(post('/v1.0-alpha1/unlock/l', { resourceId: 'r', lockOwner: null }))).text,
    '{"status":0}',
  );
  t.equal((await api.call(post(path))).status, 200, 'no body is an empty message');
  t.strictSame(seen, [
    { resourceId: 'r', lockOwner: 'o', expiryInSeconds: 5 },
    { resourceId: '', lockOwner: '', expiryInSeconds: 0 },
  ]);
  for (const body of [
    'nonsense',
    '[]',
    '{"resourceId":5}',
    '{"expiryInSeconds":1.5}',
    '{"expiryInSeconds":4294967296}',
  ]) {
    t.match((await api.call(post(path, body))).json, { errorCode: 'ERR_MALFORMED_REQUEST' }, body);
  }
  t.match((await api.call(post(path, `{"resourceId":"${'x'.repeat(200)}"}`))).json, {
    errorCode: 'ERR_BODY_READ',
    message: 'failed to read request body: stream too large',
  });
});

t.test('crypto: headers, required ones by name, late failures without code', async (t) => {
  const seen: unknown[] = [];
  const api = await serve(
    t,
    fakeBlocks({
      crypto: {
        encrypt: async (_provider, options, plain) => {
          seen.push(options);
          return plain;
        },
        decrypt: async () =>
          (async function* () {
            yield Buffer.from('x');
            throw new Error('tampered');
          })(),
      },
    }),
    { limits: { maxBodyBytes: 10, readBufferBytes: 4096 } },
  );
  const put = (action: string, headers: Record<string, string>, body = 'abc') =>
    api.call({ method: 'PUT', path: `/v1.0-alpha1/crypto/c/${action}`, headers, body });
  t.match((await put('encrypt', {})).json, {
    errorCode: 'ERR_BAD_REQUEST',
    message: "invalid request: missing header 'dapr-key-name'",
  });
  t.match((await put('encrypt', { 'dapr-key-name': 'k' })).json, {
    message: "invalid request: missing header 'dapr-key-wrap-algorithm'",
  });
  const headers = {
    'dapr-key-name': 'k',
    'dapr-key-wrap-algorithm': 'AES',
    'dapr-omit-decryption-key-name': 'yes',
  };
  const done = await put('encrypt', headers);
  t.strictSame(
    [done.status, done.headers['content-type'], done.text],
    [200, 'application/octet-stream', 'abc'],
  );
  t.strictSame(seen[0], {
    keyName: 'k',
    keyWrapAlgorithm: 'AES',
    dataEncryptionCipher: '',
    omitDecryptionKeyName: true,
    decryptionKeyName: '',
  });
  t.match((await put('decrypt', {})).json, { errorCode: 'ERROR', message: 'tampered' });
  t.match((await put('encrypt', headers, 'x'.repeat(11))).json, {
    errorCode: 'ERROR',
    message: 'stream too large',
  });
  t.equal((await api.call(post('/v1.0-alpha1/subtlecrypto/c/sign', {}))).status, 501);
});

t.test('jobs: name from the path only, data wrapped on the way back', async (t) => {
  const seen: unknown[] = [];
  const api = await serve(
    t,
    fakeBlocks({
      jobs: {
        schedule: async (job) => void seen.push(job),
        get: async (name) => ({
          name,
          overwrite: false,
          schedule: '@daily',
          data: { a: 1 },
          failurePolicy: { kind: 'constant', intervalMs: 1500, maxRetries: 3 },
        }),
        delete: async () => {},
      },
    }),
  );
  t.equal(
    (await api.call(post('/v1.0/jobs/a%2Fb', { due_time: '1s', repeats: 2, data: null, overwrite: true })))
      .status,
    204,
  );
  t.strictSame(seen, [{ overwrite: true, dueTime: '1s', repeats: 2, name: 'a/b' }]);
  t.match((await api.call(post('/v1.0-alpha1/jobs/j', { name: 'j' }))).json, {
    errorCode: 'DAPR_SCHEDULER_JOB_NAME',
    details: [{ metadata: { appID: 'app' } }],
  });
  const policies = [
    { drop: {} },
    { constant: { interval: '1.5s', max_retries: 2 } },
    { constant: {} },
    {},
    null,
  ];
  seen.length = 0;
  for (const failurePolicy of policies)
    await api.call(post('/v1.0/jobs/j', { schedule: '@daily', failurePolicy }));
  t.strictSame(
    seen.map((job) => (job as JobRequest).failurePolicy),
    [
      { kind: 'drop' },
      { kind: 'constant', intervalMs: 1500, maxRetries: 2 },
      { kind: 'constant' },
      undefined,
      undefined,
    ],
  );
  for (const body of [
    'nonsense',
    '{"repeats":-1}',
    '{"schedule":5}',
    '{"overwrite":"yes"}',
    '{"failurePolicy":"x"}',
    '{"failurePolicy":{"drop":{},"constant":{}}}',
    '{"failurePolicy":{"constant":{"interval":"3"}}}',
    '{"failurePolicy":{"constant":{"interval":3}}}',
    '{"failurePolicy":{"constant":{"interval":"400000000000s"}}}',
    '{"failurePolicy":{"constant":{"maxRetries":-1}}}',
  ]) {
    t.match((await api.call(post('/v1.0/jobs/j', body))).json, { errorCode: 'ERR_MALFORMED_REQUEST' }, body);
  }
  t.strictSame((await api.call({ path: '/v1.0/jobs/j' })).json, {
    name: 'j',
    schedule: '@daily',
    data: { '@type': 'type.googleapis.com/google.protobuf.Value', value: { a: 1 } },
    failurePolicy: { constant: { interval: '1.5s', maxRetries: 3 } },
  });
  t.equal((await api.call({ method: 'DELETE', path: '/v1.0/jobs/j' })).status, 204);
});

t.test('actors and workflows: bodies are looked at before the block refuses', async (t) => {
  const seen: unknown[] = [];
  const block = createActorsBlock();
  const api = await serve(
    t,
    fakeBlocks({
      actors: {
        refuse: async ({ check, ...names }, call) => {
          if (check === undefined) seen.push(names);
          return block.refuse({ ...names, ...(check === undefined ? {} : { check }) }, call);
        },
      },
      workflow: {
        refuse: async (request) => {
          seen.push(request);
          throw runtimeError('actorNoPlacement');
        },
      },
    }),
    { limits: { maxBodyBytes: 20, readBufferBytes: 4096 } },
  );
  const code = async (path: string, body?: string): Promise<unknown> =>
    ((await api.call(post(path, body))).json as { errorCode: string }).errorCode;
  for (const path of [
    '/v1.0/actors/T/1/state',
    '/v1.0/actors/T/1/reminders/r',
    '/v1.0/actors/T/1/timers/t',
  ]) {
    t.equal(await code(path, 'nonsense'), 'ERR_MALFORMED_REQUEST');
    t.equal(await code(path.replace('/T/', '/dapr.internal.x/'), 'nonsense'), 'ERR_ACTOR_TYPE_RESERVED');
  }
  for (const [name, error] of [
    ['a%2Fb', 'name contains forbidden character: "a/b"'],
    ['%C3%A4%01b%7F', 'name contains control character at position 2: "ä\\x01b\\x7f"'],
    ['%2e%2e', 'name is a path traversal sequence: ".."'],
  ] as const) {
    for (const kind of ['reminders', 'timers'])
      t.strictSame((await api.call(post(`/v1.0/actors/T/1/${kind}/${name}`, {}))).json, {
        errorCode: 'ERR_BAD_REQUEST',
        message: `invalid request: ${error}`,
      });
  }
  t.equal(await code('/v1.0/actors/T/1/timers/good', '{}'), 'ERR_ACTOR_NO_PLACEMENT');
  t.equal(await code('/v1.0/actors/T/1/method/m', 'x'.repeat(50)), 'ERR_ACTOR_NO_PLACEMENT');
  t.equal(await code('/v1.0/workflows/dapr/wf/start?instanceID=i', 'x'.repeat(50)), 'ERR_BODY_READ');
  t.equal(await code('/v1.0/workflows/dapr/wf/start?instanceID=i', '1'), 'ERR_ACTOR_NO_PLACEMENT');
  t.equal(await code('/v1.0/workflows/dapr/i/pause', '1'), 'ERR_MALFORMED_REQUEST');
  t.equal(await code('/v1.0/workflows/dapr/i/purge'), 'ERR_ACTOR_NO_PLACEMENT');
  t.strictSame(seen, [
    { type: 'T', id: '1', direct: false, name: 'm' },
    { operation: 'start', instanceId: 'i', workflowName: 'wf' },
    { operation: 'purge', instanceId: 'i' },
  ]);
});

t.test('conversation: both versions', async (t) => {
  const seen: unknown[] = [];
  const api = await serve(
    t,
    fakeBlocks({
      conversation: {
        converse: async (_component, request) => {
          seen.push(request);
          return {
            contextId: request.contextId ?? '',
            outputs: [{ content: 'hi', finishReason: 'stop' }],
            usage: { completionTokens: 1, promptTokens: 0, totalTokens: 1 },
          };
        },
      },
    }),
  );
  t.strictSame(
    (
      await api.call(
        post('/v1.0-alpha1/conversation/c/converse', {
          inputs: [{ content: 'a', role: 'system' }],
          contextID: 'x',
          scrubPII: true,
        }),
      )
    ).json,
    { contextID: 'x', outputs: [{ result: 'hi' }] },
  );
  const body = {
    inputs: [
      {
        scrubPii: true,
        messages: [
          { of_user: { content: [{ text: 'a' }, { text: 'b' }] } },
          { ofTool: { name: 'n', toolId: 't', content: [] } },
        ],
      },
    ],
    toolChoice: 'auto',
    tools: [{ function: { name: 'f' } }],
  };
  t.strictSame((await api.call(post('/v1.0-alpha2/conversation/c/converse', body))).json, {
    outputs: [
      {
        choices: [{ finishReason: 'stop', message: { content: 'hi' } }],
        usage: { completionTokens: '1', totalTokens: '1' },
      },
    ],
  });
  t.match(seen, [
    { messages: [{ role: 'system', content: ['a'] }], contextId: 'x', scrubPii: true },
    {
      messages: [
        { role: 'user', content: ['a', 'b'], scrubPii: true },
        { role: 'tool', name: 'n', toolId: 't', content: [] },
      ],
      toolChoice: 'auto',
      scrubPii: false,
    },
  ]);
  for (const version of ['v1.0-alpha1', 'v1.0-alpha2']) {
    await api.call(post(`/${version}/conversation/c/converse`, { inputs: [] }));
    t.match(
      seen.at(-1),
      { messages: [], withoutInputs: true },
      'the block says so, once it has the component',
    );
    t.match((await api.call(post(`/${version}/conversation/c/converse`, { inputs: 'x' }))).json, {
      errorCode: 'ERR_MALFORMED_REQUEST',
    });
  }
  t.match(
    (await api.call(post('/v1.0-alpha2/conversation/c/converse', { inputs: [{ messages: [{}] }] }))).json,
    { errorCode: 'ERR_MALFORMED_REQUEST' },
  );
});
