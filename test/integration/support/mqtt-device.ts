/** A device on a real MQTT connection. */

import mqtt, { type IClientOptions, type MqttClient } from 'mqtt';
import type { Test } from 'tap';

/** Connects; the connection ends with the test. */
export async function connectDevice(t: Test, url: string, options: IClientOptions = {}): Promise<MqttClient> {
  const client = await mqtt.connectAsync(url, { reconnectPeriod: 0, connectTimeout: 5000, ...options });
  client.on('error', () => {});
  t.teardown(async () => void (await client.endAsync(true)));
  return client;
}

/** Subscribes and collects what arrives, as `[topic, text]`. */
export async function collect(
  client: MqttClient,
  filter: string,
  qos: 0 | 1 = 1,
): Promise<[string, string][]> {
  const messages: [string, string][] = [];
  client.on('message', (topic, payload) => messages.push([topic, payload.toString()]));
  await client.subscribeAsync(filter, { qos });
  return messages;
}
