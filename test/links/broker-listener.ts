/**
 * What reaches the broker of a real daprd, told by a client of the broker that is never killed: daprd itself leaves messages that
 * its session brings before the subscription is there without an acknowledgement, until it connects the next time.
 */

import mqtt from 'mqtt';
import type { AppEvent } from './world.ts';

export async function listenAtBroker(
  url: string,
  topics: readonly string[],
  take: (event: AppEvent) => void,
): Promise<{ close(): Promise<void> }> {
  const client = await mqtt.connectAsync(url, { clientId: 'listener', clean: false, reconnectPeriod: 200 });
  client.on('error', () => {});
  client.on('message', (topic, payload) => {
    const body = JSON.parse(payload.toString()) as Record<string, unknown>;
    take({ path: `/${topic}`, headers: {}, body });
  });
  await client.subscribeAsync([...topics], { qos: 1 });
  return { close: async () => void (await client.endAsync(true)) };
}
