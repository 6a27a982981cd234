/** Who gets events: the app behind its channel, or the holder of one stream. */

import type { AppChannel, DeliveryResult } from '../../contracts/app-channel.ts';
import type { StreamedEvent } from '../../contracts/blocks.ts';
import type { Receive } from './delivery.ts';
import type { Receivers } from './subscription-opener.ts';

/** The app as receiver. HTTP apps get a path with a leading slash, gRPC apps the path as they declared it. */
export function appReceivers(appChannel: () => AppChannel | undefined): Required<Receivers> {
  const channel = (): AppChannel => {
    const current = appChannel();
    if (current === undefined) throw new Error('app channel is not initialized');
    return current;
  };
  const pathFor = (path: string, { protocol }: AppChannel): string =>
    protocol.startsWith('grpc') || path.startsWith('/') ? path : `/${path}`;
  return {
    receive: async (delivery, signal) => {
      const app = channel();
      const path = pathFor(delivery.path, app);
      return app.deliverEvent(path === delivery.path ? delivery : { ...delivery, path }, signal);
    },
    receiveBulk: async (delivery, signal) => {
      const app = channel();
      return app.deliverBulk({ ...delivery, path: pathFor(delivery.path, app) }, signal);
    },
  };
}

/** One streaming subscriber as receiver. */
export function streamReceiver(
  deliver: (event: StreamedEvent, signal: AbortSignal) => Promise<DeliveryResult>,
): Receive {
  return ({ envelope, topic, pubsubName, metadata }, signal) =>
    deliver({ envelope, topic, pubsubName, metadata }, signal);
}
