import t from 'tap';
import { runtimeError } from '../../../../runtime/contracts/error.ts';
import {
  DecryptRequestSchema,
  DecryptResponseSchema,
  EncryptRequestSchema,
  EncryptResponseSchema,
  SubtleSignRequestSchema,
  SubtleSignResponseSchema,
} from '../../../../runtime/generated/dapr/proto/runtime/v1/crypto_pb.ts';
import { daprCall, daprStream } from '../../../support/dapr-calls.ts';
import { daprPath, startDapr } from '../../../support/fake-blocks.ts';
import { fakeClock } from '../../../support/fake-clock.ts';
import { bareRequest } from '../../../support/grpc-harness.ts';

interface Test {
  teardown(run: () => unknown): void;
}
const options = { componentName: 'keys', keyName: 'k', keyWrapAlgorithm: 'A256KW' };
const TRACE = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
const payload = (text: string, seq: number) => ({ data: Buffer.from(text), seq: BigInt(seq) });

/** A "cipher" that hands back what it gets. */
async function encrypting(t: Test) {
  const seen: unknown[] = [];
  const clock = fakeClock();
  const server = await startDapr(
    t,
    {
      crypto: {
        encrypt: async (provider, asked, plain) => {
          seen.push([provider, asked.keyName, asked.omitDecryptionKeyName]);
          return plain;
        },
        decrypt: async (provider, keyName, cipher) => {
          seen.push([provider, keyName]);
          return cipher;
        },
      },
    },
    { clock },
  );
  return {
    server,
    seen,
    clock,
    stream: daprStream(server, 'EncryptAlpha1', EncryptRequestSchema, EncryptResponseSchema),
  };
}

t.test('payload goes through in numbered chunks', async (t) => {
  const { server, stream, seen } = await encrypting(t);
  stream.send({ options: { ...options, omitDecryptionKeyName: true }, payload: payload('a', 0) });
  stream.send({ payload: payload('b', 1) });
  t.match(await stream.next(), { payload: { data: Buffer.from('a'), seq: 0n } });
  t.match(await stream.next(), { payload: { data: Buffer.from('b'), seq: 1n } });
  stream.end();
  t.same(await stream.status, { code: 0, text: '' });
  const decrypt = daprStream(server, 'DecryptAlpha1', DecryptRequestSchema, DecryptResponseSchema);
  decrypt.send({ options: { componentName: 'keys', keyName: 'k' } });
  decrypt.send({ payload: payload('c', 0) });
  decrypt.end();
  t.match(await decrypt.next(), { payload: { data: Buffer.from('c'), seq: 0n } });
  t.same(seen, [
    ['keys', 'k', true],
    ['keys', 'k'],
  ]);
});

t.test('streams that break the rules', async (t) => {
  const outcome = async (...messages: object[]): Promise<unknown> => {
    const { stream } = await encrypting(t);
    for (const message of messages) stream.send(message);
    stream.end();
    return stream.status;
  };
  const failed = 'failed to perform operation:';
  t.match(await outcome(), { code: 13, text: `${failed} error receiving the first message: EOF` });
  t.match(await outcome({ payload: payload('a', 0) }), {
    code: 3,
    text: 'invalid request: first message does not contain the required options',
  });
  t.match(await outcome({ options: { ...options, keyName: '' } }), {
    code: 3,
    text: "invalid request: missing property 'keyName' in the options message",
  });
  t.match(await outcome({ options: { ...options, keyWrapAlgorithm: '' } }), {
    code: 3,
    text: /keyWrapAlgorithm/,
  });
  t.match(await outcome({ options, payload: payload('a', 0) }, { payload: payload('b', 5) }), {
    code: 13,
    text: `${failed} invalid sequence number received: 5 (expected: 1)`,
  });
  t.match(await outcome({ options }, { options }), {
    code: 13,
    text: `${failed} options found in non-leading message`,
  });
});

t.test('a document that turns out to be damaged, and no provider named', async (t) => {
  const server = await startDapr(t, {
    crypto: {
      encrypt: async () => Promise.reject(runtimeError('badRequest', { error: 'missing component name' })),
      decrypt: async () =>
        (async function* () {
          yield Buffer.from('a');
          throw runtimeError('unknown', { error: 'error processing segment 1: failed to decrypt segment' });
        })(),
    },
  });
  const decrypt = daprStream(server, 'DecryptAlpha1', DecryptRequestSchema, DecryptResponseSchema);
  decrypt.send({ options: { componentName: 'keys' } });
  decrypt.end();
  t.same(await decrypt.status, {
    code: 13,
    text: 'failed to perform operation: error processing segment 1: failed to decrypt segment',
  });
  const encrypt = daprStream(server, 'EncryptAlpha1', EncryptRequestSchema, EncryptResponseSchema);
  encrypt.send({ options: { ...options, componentName: '' } });
  t.same(await encrypt.status, { code: 3, text: 'invalid request: missing component name' });
});

t.test('a stream that fails before its first message shows its trace', async (t) => {
  const { server } = await encrypting(t);
  const { headers } = await bareRequest(
    server.port,
    { ':path': daprPath('EncryptAlpha1'), traceparent: TRACE },
    [],
  );
  t.equal(headers['grpc-trace-bin'], 'AAAK92UZFs1D3YRI6yEcgDGcAbeta3FpIDMxAgE');
});

t.test('the first message must come within five seconds', async (t) => {
  const { stream, clock } = await encrypting(t);
  // The limit starts when the server has seen the call.
  while (clock.pending < 1) await new Promise((resolve) => setImmediate(resolve));
  await clock.advance(5000);
  t.same(await stream.status, {
    code: 3,
    text: 'invalid request: error waiting for first message: context deadline exceeded',
  });
});

t.test('raw key operations are not implemented', async (t) => {
  const { server } = await encrypting(t);
  t.match(await daprCall(server, 'SubtleSignAlpha1', SubtleSignRequestSchema, SubtleSignResponseSchema, {}), {
    code: 12,
    text: 'this API is currently not implemented',
  });
});
