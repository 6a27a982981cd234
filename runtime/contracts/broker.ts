/** The node's own MQTT broker as local components see it: an MQTT connection without a socket. */

import type { Duplex } from 'node:stream';

export interface EmbeddedBroker {
  /** True when `url` means this broker: `embedded:` or the address of one of its own listeners. */
  owns(url: string): boolean;
  /** Starts the broker if needed and opens an in-process MQTT connection with full rights. */
  connect(): Promise<Duplex>;
  /** What is there to see: listeners, clients, retained messages, queued messages. */
  status(): BrokerStatus;
}

export interface BrokerStatus {
  readonly running: boolean;
  readonly listeners: readonly string[];
  readonly connectedClients: number;
  /** Sessions with a durable queue, connected or not. */
  readonly sessions: number;
  readonly queuedMessages: number;
  readonly retainedMessages: number;
}
