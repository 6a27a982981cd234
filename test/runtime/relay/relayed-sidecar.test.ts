import t from 'tap';
import { GrpcCode } from '../../../runtime/contracts/grpc-code.ts';
import { GrpcStatusError } from '../../../runtime/contracts/grpc-wire/status.ts';
import type { GrpcStream } from '../../../runtime/grpc-client/call.ts';
import { createPacker, createUnpacker, PACKING, packAlone, plain } from '../../../runtime/relay/packing.ts';
import { relayMessage, type SidecarOffer } from '../../../runtime/relay/protocol.ts';
import { createRelayedSidecar } from '../../../runtime/relay/relayed-sidecar.ts';
import type { ReverseCall } from '../../../runtime/relay/reverse-call.ts';
import { decodeRequest, encodeAnswer, type SidecarRequest } from '../../../runtime/relay/sidecar-message.ts';

const LIMIT = 100_000;
const OFFER: SidecarOffer = { http: true, subscribe: true, packings: ['other', PACKING] };

/** A link whose relay unpacks and answers as the test says. */
function rig(
  options: {
    readonly offer?: SidecarOffer | undefined;
    readonly fail?: GrpcStatusError;
    readonly full?: boolean;
  } = {},
) {
  const offer = 'offer' in options ? options.offer : OFFER;
  const calls: ReverseCall[] = [];
  const requests: SidecarRequest[] = [];
  const sizes: number[] = [];
  let unpacker = createUnpacker();
  const open = async (call: ReverseCall): Promise<GrpcStream> => {
    calls.push(call);
    if (options.full === true)
      throw new GrpcStatusError(GrpcCode.ResourceExhausted, 'the relay takes no more calls');
    let answers: Promise<Uint8Array | undefined>[] = [];
    const serve = async (bytes: Uint8Array): Promise<Uint8Array> => {
      if (options.fail !== undefined) throw options.fail;
      sizes.push(bytes.byteLength);
      const message = await unpacker.unpack(bytes, LIMIT).catch((cause: Error) => {
        throw new GrpcStatusError(GrpcCode.FailedPrecondition, cause.message);
      });
      requests.push(decodeRequest(message));
      const answer = encodeAnswer({ status: 200, headers: { etag: '"1"' }, body: Buffer.from('{"n":1}') });
      return call.packing === undefined ? plain(answer).bytes : await packAlone(answer);
    };
    return {
      end: (last?: Uint8Array) => {
        answers = last === undefined ? [] : [serve(last), Promise.resolve(undefined)];
      },
      next: () => answers.shift() ?? Promise.resolve(undefined),
    } as unknown as GrpcStream;
  };
  const sidecar = createRelayedSidecar(
    {
      offer: async () => offer,
      open,
      onUp: () => ({ stop: () => {} }),
      packer: createPacker(),
      maxMessageBytes: LIMIT,
    },
    { appId: 'edge', namespace: 'default' },
  );
  const save = (
    n: number,
    body: Uint8Array = Buffer.from(
      JSON.stringify([{ key: `sensor-${n}`, value: { n, celsius: 21.5, status: 'running' } }]),
    ),
  ) =>
    sidecar.request({
      method: 'POST',
      path: '/v1.0/state/store',
      headers: { 'Content-Type': 'application/json' },
      body,
      signal: AbortSignal.timeout(5000),
      maxAnswerBytes: LIMIT,
    });
  return {
    sidecar,
    save,
    calls,
    requests,
    sizes,
    forget: () => {
      unpacker = createUnpacker();
    },
  };
}

t.test('requests go in the name of the app, each smaller than the first', async (t) => {
  const { save, calls, requests, sizes } = rig();
  const answer = await save(1);
  t.same([answer.status, answer.headers['etag'], String(answer.body)], [200, '"1"', '{"n":1}']);
  await save(2);
  t.match(calls[0], { caller: 'edge', packing: PACKING });
  t.match(requests[1], {
    method: 'POST',
    path: '/v1.0/state/store',
    headers: { 'content-type': 'application/json' },
  });
  t.match(String(requests[1]?.body), /sensor-2/);
  t.ok((sizes[1] ?? 0) < (sizes[0] ?? 0), sizes.join());
});

t.test('a relay that has forgotten gets the message alone', async (t) => {
  const { save, requests, forget } = rig();
  await save(1);
  forget();
  t.equal((await save(2)).status, 200);
  forget();
  const both = await Promise.all([save(3), save(4)]);
  t.same(
    both.map(({ status }) => status),
    [200, 200],
  );
  t.equal(requests.length, 4, 'each was understood once');
});

t.test('a relay that knows no packing gets messages as they are', async (t) => {
  const { save, calls, requests } = rig({ offer: { http: true, subscribe: false, packings: ['zstd-9'] } });
  t.equal((await save(1)).status, 200);
  t.equal(calls[0]?.packing, undefined);
  t.match(String(requests[0]?.body), /sensor-1/);
});

t.test('a relay without a sidecar, or of an earlier version', async (t) => {
  const { save, sidecar } = rig({ offer: undefined });
  await t.rejects(save(1), /no sidecar beside it for its nodes \(skerry relay --sidecar-http\)/);
  await t.rejects(sidecar.subscribe(AbortSignal.timeout(1000)), /--sidecar-grpc/);
  const old = { type: 'welcome', node: 'n', accepted: [], refused: [] };
  t.same(relayMessage.parse(old), old);
});

t.test('what is too large is refused for good, what the link lost is not', async (t) => {
  const { save } = rig();
  t.match(await save(1, Buffer.alloc(LIMIT + 1)), { status: 413 });
  const full = rig({
    fail: new GrpcStatusError(GrpcCode.ResourceExhausted, 'received message larger than max'),
  });
  t.match(await full.save(1), { status: 413 });
  t.match(await rig({ full: true }).save(1), { status: 429 }, 'no room for now');
  const lost = rig({ fail: new GrpcStatusError(GrpcCode.Unavailable, 'the link to the relay was lost') });
  await t.rejects(lost.save(1), /was lost/);
});
