/** The app side of the JavaScript program: what the sidecar delivers to it. */

import { type CommunicationProtocolEnum, DaprPubSubStatusEnum, DaprServer, HttpMethod } from '@dapr/dapr';

export interface Heard {
  readonly events: unknown[];
  readonly many: unknown[];
  readonly bulk: unknown[];
  readonly routed: [string, unknown][];
  readonly retried: unknown[];
  readonly dead: unknown[];
  readonly raw: unknown[];
  readonly reports: unknown[];
  ticks: number;
}

/** The SDK logs what it also throws. */
const nothing = (): void => {};
export const SILENT = {
  service: { error: nothing, warn: nothing, info: nothing, verbose: nothing, debug: nothing },
};

async function subscribe({ pubsub }: DaprServer, heard: Heard): Promise<void> {
  await pubsub.subscribe('pubsub', 'orders', async (data: unknown) => void heard.events.push(data));
  await pubsub.subscribe('pubsub', 'many', async (data: unknown) => void heard.many.push(data));
  await pubsub.subscribe('pubsub', 'raw', async (data: unknown) => void heard.raw.push(data), undefined, {
    // The SDK writes the value as JSON.
    rawPayload: true,
  });
  await pubsub.subscribeWithOptions('pubsub', 'routed', {
    route: {
      rules: [{ match: 'event.type == "big"', path: '/big' }],
      default: '/small',
    },
  });
  pubsub.subscribeToRoute('pubsub', 'routed', '/big', async (data: unknown) => {
    heard.routed.push(['big', data]);
  });
  pubsub.subscribeToRoute('pubsub', 'routed', '/small', async (data: unknown) => {
    heard.routed.push(['small', data]);
  });
  await pubsub.subscribe('pubsub', 'retried', async (data: unknown) => {
    heard.retried.push(data);
    return heard.retried.length < 3 ? DaprPubSubStatusEnum.RETRY : DaprPubSubStatusEnum.SUCCESS;
  });
  await pubsub.subscribeWithOptions('pubsub', 'dropped', {
    callback: async () => DaprPubSubStatusEnum.DROP,
    deadLetterTopic: 'dead',
  });
  await pubsub.subscribe('pubsub', 'dead', async (data: unknown) => void heard.dead.push(data));
}

/** An app server with everything that the checks ask for, not started yet. */
export async function createApp(
  protocol: CommunicationProtocolEnum,
  port: string,
  heard: Heard,
  bulk: boolean,
): Promise<DaprServer> {
  const server = new DaprServer({
    serverHost: '127.0.0.1',
    serverPort: port,
    communicationProtocol: protocol,
    clientOptions: { communicationProtocol: protocol, logger: SILENT },
    logger: SILENT,
  });
  await subscribe(server, heard);
  if (bulk) {
    await server.pubsub.subscribeBulk('pubsub', 'bulk', async (data: unknown) => void heard.bulk.push(data), {
      maxMessagesCount: 10,
      maxAwaitDurationMs: 100,
    });
  }
  await server.binding.receive('reports', async (data: unknown) => void heard.reports.push(data));
  await server.binding.receive('tick', async () => {
    heard.ticks += 1;
  });
  await server.invoker.listen('double', async ({ body }) => ({ twice: 2 * JSON.parse(String(body)).n }), {
    method: HttpMethod.POST,
  });
  await server.invoker.listen('hello', async () => ({ hello: 'there' }), { method: HttpMethod.GET });
  return server;
}
