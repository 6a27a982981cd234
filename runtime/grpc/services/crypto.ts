/**
 * Encryption and decryption of streams (gRPC reference, section 2.6): options come with the first message, payload in
 * numbered chunks both ways.
 */

import type { CallContext } from '../../contracts/call-context.ts';
import { errorText, RuntimeError, runtimeError } from '../../contracts/error.ts';
import type { StreamPayload } from '../../generated/dapr/proto/common/v1/common_pb.ts';
import {
  type DecryptRequestOptions,
  DecryptRequestSchema,
  DecryptResponseSchema,
  type EncryptRequestOptions,
  EncryptRequestSchema,
  EncryptResponseSchema,
} from '../../generated/dapr/proto/runtime/v1/crypto_pb.ts';
import { bidi, type Operations, type ServiceDeps } from './method.ts';

const FIRST_MESSAGE_MS = 5000;

interface Chunk<O> {
  readonly options?: O | undefined;
  readonly payload?: StreamPayload | undefined;
}

/** The crypto operations. */
export function cryptoOperations(deps: ServiceDeps): Operations<'cryptoEncrypt' | 'cryptoDecrypt'> {
  const { crypto } = deps.blocks;
  return {
    cryptoEncrypt: bidi(EncryptRequestSchema, EncryptResponseSchema, (requests, call) =>
      process<EncryptRequestOptions>(requests, call, deps, (options, payload) => {
        if (options.keyName === '') throw invalid("missing property 'keyName' in the options message");
        if (options.keyWrapAlgorithm === '')
          throw invalid("missing property 'keyWrapAlgorithm' in the options message");
        return crypto.encrypt(options.componentName, options, payload, call);
      }),
    ),
    cryptoDecrypt: bidi(DecryptRequestSchema, DecryptResponseSchema, (requests, call) =>
      process<DecryptRequestOptions>(requests, call, deps, (options, payload) =>
        crypto.decrypt(options.componentName, options.keyName, payload, call),
      ),
    ),
  };
}

const invalid = (error: string): Error => runtimeError('badRequest', { error });

async function* process<O>(
  requests: AsyncIterable<Chunk<O>>,
  call: CallContext,
  deps: ServiceDeps,
  start: (options: O, payload: AsyncIterable<Uint8Array>) => Promise<AsyncIterable<Uint8Array>>,
): AsyncGenerator<{ payload: { data: Uint8Array; seq: bigint } }> {
  const reader = requests[Symbol.asyncIterator]();
  const first = await firstChunk(reader, deps);
  if (first.options === undefined) throw invalid('first message does not contain the required options');
  const output = await start(first.options, payloads(first, reader));
  let seq = 0n;
  try {
    for await (const data of output) {
      if (call.signal.aborted) return;
      if (data.byteLength > 0) yield { payload: { data, seq: seq++ } };
    }
  } catch (cause) {
    // Over gRPC trouble in the middle of a document is told like trouble at its beginning.
    if (cause instanceof RuntimeError && cause.key !== 'unknown') throw cause;
    throw runtimeError('crypto', { error: errorText(cause) }, { cause });
  }
}

/** The first message, which must not keep the stream waiting for long. */
async function firstChunk<O>(reader: AsyncIterator<Chunk<O>>, deps: ServiceDeps): Promise<Chunk<O>> {
  const limit = new AbortController();
  const late = deps.clock.sleep(FIRST_MESSAGE_MS, limit.signal).then(
    () => 'late' as const,
    () => 'late' as const,
  );
  try {
    const next = await Promise.race([reader.next(), late]);
    if (next === 'late') throw invalid('error waiting for first message: context deadline exceeded');
    if (next.done === true) throw runtimeError('crypto', { error: 'error receiving the first message: EOF' });
    return next.value;
  } finally {
    limit.abort();
  }
}

/** Payload of all messages in order; a gap or repeated options end it with an error. */
async function* payloads<O>(first: Chunk<O>, reader: AsyncIterator<Chunk<O>>): AsyncGenerator<Uint8Array> {
  let expected = 0n;
  const checked = (payload: StreamPayload): Uint8Array => {
    if (payload.seq !== expected) {
      throw runtimeError('crypto', {
        error: `invalid sequence number received: ${payload.seq} (expected: ${expected})`,
      });
    }
    expected += 1n;
    return payload.data;
  };
  if (first.payload !== undefined) yield checked(first.payload);
  for (let next = await reader.next(); next.done !== true; next = await reader.next()) {
    if (next.value.options !== undefined)
      throw runtimeError('crypto', { error: 'options found in non-leading message' });
    if (next.value.payload !== undefined) yield checked(next.value.payload);
  }
}
