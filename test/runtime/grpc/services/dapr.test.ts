import t from 'tap';
import { OPERATIONS } from '../../../../runtime/contracts/operations.ts';
import { file_dapr_proto_runtime_v1_dapr as file } from '../../../../runtime/generated/dapr/proto/runtime/v1/dapr_pb.ts';
import { createDaprService } from '../../../../runtime/grpc/services/dapr.ts';
import { fakeBlocks } from '../../../support/fake-blocks.ts';
import { fakeClock } from '../../../support/fake-clock.ts';

const service = createDaprService({
  blocks: fakeBlocks({}),
  appId: 'a',
  namespace: '',
  clock: fakeClock(),
  topicEventFields: () => ({}),
  draining: new AbortController().signal,
});

t.test('every gRPC method of the operations table is served, and nothing else', async (t) => {
  const expected = Object.values(OPERATIONS).flatMap(({ grpc }) => grpc.map(({ method }) => method));
  t.same(Object.keys(service.methods).sort(), [...expected].sort());
});

t.test('the kinds of methods are those of the proto', async (t) => {
  const kinds: Readonly<Record<string, string>> = {
    unary: 'unary',
    server_streaming: 'server-stream',
    client_streaming: 'client-stream',
    bidi_streaming: 'bidi',
  };
  for (const method of file.services[0]?.methods ?? []) {
    t.equal(service.methods[method.name]?.kind, kinds[method.methodKind], method.name);
  }
});
