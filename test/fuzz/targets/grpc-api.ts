/** The gRPC API without sockets: every method of the operations table with drawn, damaged or foreign messages. */

import { errorText } from '../../../runtime/contracts/error.ts';
import type { AnyGrpcMethod, GrpcCall } from '../../../runtime/contracts/grpc-wire/service.ts';
import { GrpcStatusError, trailersOfStatus } from '../../../runtime/contracts/grpc-wire/status.ts';
import { createDaprService } from '../../../runtime/grpc/services/dapr.ts';
import { toGrpcStatus } from '../../../runtime/grpc/status.ts';
import type { Draw } from '../support/draw.ts';
import { METHODS, requestBytes } from '../support/messages.ts';
import { startRig } from '../support/rig.ts';
import { ensure, type Fuzzing, type FuzzTarget } from '../support/target.ts';

const DULL = /Actor|Workflow|Job|Shutdown/;
const LIVELY = METHODS.filter(({ name }) => !DULL.test(name));
/** What is taken from a stream of answers before it is left. */
const FEW = 3;

async function open(): Promise<Fuzzing> {
  const rig = await startRig();
  const { log, clock } = rig.node;
  const draining = new AbortController();
  const { methods } = createDaprService({
    blocks: rig.sidecar.blocks,
    appId: 'fuzz',
    namespace: '',
    clock,
    topicEventFields: () => ({}),
    draining: draining.signal,
  });
  const one = async (draw: Draw): Promise<void> => {
    const chosen = draw.pick(draw.chance(0.9) ? LIVELY : METHODS);
    const method = methods[chosen.name];
    if (method === undefined) return;
    const messages = Array.from(
      { length: method.kind === 'bidi' || method.kind === 'duplex' ? draw.int(0, 4) : 1 },
      () => requestBytes(draw, chosen),
    );
    const abort = new AbortController();
    const metadata = draw.list(4, () => [draw.word(), draw.text(100)] as const);
    const span = { context: {}, child: () => span, setAttribute: () => {}, end: () => {} };
    const call = {
      path: `/dapr.proto.runtime.v1.Dapr/${chosen.name}`,
      signal: abort.signal,
      protocol: 'grpc',
      span,
      log,
      metadata,
      peer: '',
      addHeaders: () => {},
      sendHeaders: () => {},
      addTrailers: () => {},
    } as unknown as GrpcCall;
    const what = (): string =>
      `${chosen.name} ${messages.map((bytes) => Buffer.from(bytes).toString('hex').slice(0, 200)).join(' ')}`;
    let status = { code: 0, message: '' };
    try {
      await serve(method, messages, call, abort);
    } catch (error) {
      status = toGrpcStatus(error, log);
    }
    const fault = rig.logged().find(({ message }) => message.startsWith('unexpected failure'));
    ensure(
      fault === undefined,
      () =>
        `unforeseen: ${errorText(fault?.fields['error'])} ${(fault?.fields['error'] as Error)?.stack} in ${what()}`,
    );
    ensure(status.code >= 0 && status.code <= 16, () => `code ${status.code} of ${what()}`);
    const sent = trailersOfStatus(status)['grpc-message'] ?? '';
    ensure(/^[\x20-\x7e]*$/.test(String(sent)), () => `a message that HTTP/2 cannot carry: ${what()}`);
  };
  return {
    one,
    close: async () => {
      draining.abort();
      await rig.close();
    },
  };
}

function decode(method: AnyGrpcMethod, bytes: Uint8Array): unknown {
  try {
    return method.request.decode(bytes);
  } catch (cause) {
    ensure(!(cause instanceof RangeError && /call stack/.test(cause.message)), () => 'decoding recurses');
    throw new GrpcStatusError(13, `grpc: error unmarshalling request: ${errorText(cause)}`, { cause });
  }
}

async function serve(
  method: AnyGrpcMethod,
  messages: readonly Uint8Array[],
  call: GrpcCall,
  abort: AbortController,
): Promise<void> {
  async function* all(): AsyncGenerator<unknown> {
    for (const bytes of messages) yield decode(method, bytes);
  }
  const first = (): unknown => decode(method, messages[0] as Uint8Array);
  switch (method.kind) {
    case 'unary':
      method.response.encode(await method.handle(first(), call));
      return;
    case 'client-stream':
      method.response.encode(await method.handle(all(), call));
      return;
    case 'duplex': {
      const requests = all();
      const encode = (message: unknown): undefined => void method.response.encode(message);
      const receive = async (): Promise<unknown> => (await requests.next()).value;
      await method.handle({ receive, send: encode, finishWith: encode }, call);
      return;
    }
    default: {
      const answers = method.kind === 'bidi' ? method.handle(all(), call) : method.handle(first(), call);
      // A subscription has no end of its own.
      const leave = setTimeout(() => abort.abort(new GrpcStatusError(1, 'context canceled')), 5);
      let seen = 0;
      try {
        for await (const answer of answers) {
          method.response.encode(answer);
          seen += 1;
          if (seen >= FEW) break;
        }
      } finally {
        clearTimeout(leave);
        abort.abort(new GrpcStatusError(1, 'context canceled'));
      }
    }
  }
}

export const grpcApi: FuzzTarget = { name: 'grpc-api', inputs: 12_000, open };
