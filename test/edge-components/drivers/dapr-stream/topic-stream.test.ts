// A subscription at a far sidecar after an outage: whatever was dialled before the link was known to be back may be cut at the
// far end alone, and is dialled anew; what came later stands.

import type { ServerHttp2Stream } from 'node:http2';
import t from 'tap';
import { openTopicStream } from '../../../../edge-components/drivers/dapr-stream/topic-stream.ts';
import { componentDeps } from '../../../support/component-deps.ts';
import { fakeClock } from '../../../support/fake-clock.ts';
import { handmade } from '../../../support/grpc-client-rig.ts';

t.test('a stream that was dialled during an outage does not outlive it', async (t) => {
  let arrived: (stream: ServerHttp2Stream) => void = () => {};
  const next = () =>
    new Promise<ServerHttp2Stream>((resolve) => {
      arrived = resolve;
    });
  const { target } = await handmade(t, (stream) => {
    stream.respond({ ':status': 200, 'content-type': 'application/grpc' });
    stream.resume();
    arrived(stream);
  });
  const clock = fakeClock();
  const opened = next();
  const stream = openTopicStream(
    {
      grpcAddress: target,
      credentials: { headers: {}, tls: {} },
      pubsubName: 'pubsub',
      topic: 'commands',
      metadata: {},
      silenceLimitMs: 55_000,
      handle: async () => undefined,
    },
    componentDeps({ clock }),
  );
  const first = await opened;
  const dialledAt = clock.monotonicMs();

  // The link was lost before that dial and asked after it.
  const again = next();
  const over = new Promise<void>((resolve) => first.once('close', () => resolve()));
  stream.linkBack(dialledAt + 1);
  await over;
  await clock.advance(2000);
  const second = await again;
  t.not(second.session, first.session, 'over a connection of its own');

  stream.linkBack(dialledAt + 1);
  await new Promise(setImmediate);
  t.notOk(second.destroyed, 'what was dialled behind the question stands');
  const closing = stream.close();
  second.end();
  await closing;
});
