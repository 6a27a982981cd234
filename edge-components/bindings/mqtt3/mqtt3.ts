/** Input and output over MQTT, QoS 1. Each direction has a connection of its own, made on first use. */

import type { Binding, BindingHandler, BindingRequest } from '../../../runtime/contracts/binding.ts';
import type { ComponentDeps } from '../../../runtime/contracts/component.ts';
import { MqttConnection } from '../../drivers/mqtt/connection.ts';
import { clientOptions } from '../../drivers/mqtt/connection-options.ts';
import type { InboxHandler } from '../../drivers/mqtt/inbox.ts';
import type { Mqtt3BindingMetadata } from './metadata.ts';

const TIMEOUT_MS = 10_000;
const ATTEMPTS = 3;
const ATTEMPT_PAUSE_MS = 200;
const RETRY_MS = 5000;
const SLOW_RETRY_MS = 30_000;
/** How long handlers may take to finish when the input stops. */
const GRACE_MS = 5000;

/** Makes the component; nothing is connected before the first `invoke` or `read`. */
export function mqtt3Binding(metadata: Readonly<Mqtt3BindingMetadata>, deps: ComponentDeps): Binding {
  const { url, topic, consumerID, cleanSession, backOffMaxRetries, caCert, clientCert, clientKey } = metadata;
  const tls = { caCert, clientCert, clientKey };
  /** What `close` has to end. */
  const open = new Set<{ close(): Promise<void> }>();
  let producer: Promise<MqttConnection> | undefined;
  let closed = false;

  const connection = (role: string, handle?: InboxHandler): MqttConnection =>
    new MqttConnection({
      url,
      clientId: `${consumerID}-${role}`,
      cleanSession,
      tls,
      timeoutMs: TIMEOUT_MS,
      ...(handle === undefined ? {} : { handle }),
      retryDelayMs: (attempt) =>
        backOffMaxRetries < 0 || attempt <= backOffMaxRetries ? RETRY_MS : SLOW_RETRY_MS,
      deps,
    });

  const openProducer = async (): Promise<MqttConnection> => {
    const made = connection('producer');
    open.add(made);
    try {
      await made.open();
      return made;
    } catch (error) {
      producer = undefined;
      open.delete(made);
      throw new Error('failed to create producer connection', { cause: error });
    }
  };

  const send = async (target: string, data: Uint8Array, signal: AbortSignal): Promise<void> => {
    producer ??= openProducer();
    const connected = await producer;
    for (let attempt = 1; ; attempt += 1) {
      try {
        await connected.publish(target, data, { qos: 1, retain: metadata.retain }, signal);
        return;
      } catch (error) {
        if (attempt >= ATTEMPTS || signal.aborted || closed) throw error;
        deps.log.debug('MQTT message was not published, trying again', { topic: target, attempt });
        await deps.clock.sleep(ATTEMPT_PAUSE_MS, signal);
      }
    }
  };

  return {
    operations: ['create'],
    init: async () => {
      if (metadata.qos !== '')
        deps.log.warn("metadata item 'qos' has no effect on bindings.mqtt3: QoS is always 1");
      if (!deps.broker.owns(url)) clientOptions(url, tls);
    },
    invoke: async (request: BindingRequest, signal: AbortSignal) => {
      if (closed) throw new Error('component is closed');
      const target = request.metadata['topic'];
      await send(target === undefined || target === '' ? topic : target, request.data, signal);
      return undefined;
    },
    read: async (handler: BindingHandler) => {
      if (closed) throw new Error('component is closed');
      const stop = new AbortController();
      const consumer = connection('consumer', (message) =>
        handler({ data: message.payload, metadata: { topic: message.topic } }, stop.signal),
      );
      const close = async (): Promise<void> => {
        open.delete(input);
        const patience = deps.clock.startTimer(GRACE_MS, () =>
          stop.abort(new Error('the binding was stopped')),
        );
        await consumer.close();
        patience.cancel();
      };
      const input = { close };
      open.add(input);
      try {
        await consumer.open();
        await consumer.subscribe(topic, 1);
      } catch (error) {
        await close();
        throw error;
      }
      return input;
    },
    close: async () => {
      closed = true;
      const connections = [...open];
      open.clear();
      await Promise.all(connections.map((one) => one.close()));
    },
  };
}
