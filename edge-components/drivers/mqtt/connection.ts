/**
 * One MQTT 3.1.1 connection on MQTT.js, kept up by us: own reconnection (injected clock and random), own subscriptions,
 * manual acknowledgement (`inbox.ts`). To the node's own broker it goes in-process, without a socket.
 *
 * Invariants: PUBACK and PUBREC are sent only after the handler succeeded; a publish is confirmed by the broker or
 * rejected within `PUBLISH_TIMEOUT_MS`; no handler holds up the acknowledgements of other messages or of publishes.
 */

import type { Duplex } from 'node:stream';
import type { IClientOptions, IConnackPacket, IPublishPacket, MqttClient } from 'mqtt';
import type { Timer } from '../../../runtime/contracts/clock.ts';
import type { ComponentDeps } from '../../../runtime/contracts/component.ts';
import { errorText } from '../../../runtime/contracts/error.ts';
import { backoffMs } from './backoff.ts';
import { Confirmations } from './confirmations.ts';
import { clientOptions, shownUrl, type TlsMaterial } from './connection-options.ts';
import { Inbox, type InboxHandler } from './inbox.ts';
import { PacketFlow } from './packet-flow.ts';
import { PublishWindow } from './publish-window.ts';
import { topicFilterFault, topicNameFault } from './topic.ts';

export interface MqttConnectionOptions {
  readonly url: string;
  readonly clientId: string;
  readonly cleanSession: boolean;
  readonly tls: TlsMaterial;
  /** How long `open` waits for the broker, and a publish or subscription for its confirmation. */
  readonly timeoutMs: number;
  /** Work for incoming messages; without it nothing is expected. */
  readonly handle?: InboxHandler;
  /** Pause before a failed message is tried again; default 1 s growing to 30 s. */
  readonly retryDelayMs?: (attempt: number) => number;
  readonly deps: Pick<ComponentDeps, 'broker' | 'clock' | 'log' | 'random'>;
}

export interface PublishOptions {
  readonly qos: 0 | 1 | 2;
  readonly retain: boolean;
}

/** Messages whose handlers run at the same time. */
const MAX_CONCURRENT = 64;
/** QoS 2 publishes under way: mosquitto (seen with 2.0.11) loses what goes beyond its window of 20. */
const MAX_EXACT = 16;
const KEEP_ALIVE_S = 30;
/** How long DISCONNECT may take to leave. */
const GOODBYE_MS = 1000;
const RECONNECT_BASE_MS = 500;
const RECONNECT_MAX_MS = 30_000;
const UNACCEPTABLE_PROTOCOL = 1;
const REFUSED_FOR_GOOD = new Set([2, 4, 5]);

/** Tells MQTT.js to take the next packet and to leave the acknowledgement to us. */
const HELD_BACK = new Error('acknowledged later');

export class MqttConnection {
  readonly #options: MqttConnectionOptions;
  readonly #inbox: Inbox;
  readonly #filters = new Map<string, 0 | 1 | 2>();
  /** QoS 2 packet ids answered with PUBREC and not yet released ([MQTT-4.3.3-2]). */
  readonly #received = new Set<number>();
  readonly #confirmations: Confirmations;
  /** Those who wait for a connection. */
  readonly #waiters = new Set<(error: Error | undefined) => void>();
  #client: MqttClient | undefined;
  #stream: Duplex | undefined;
  /** CONNACK was seen: acknowledgements can be sent. */
  #online = false;
  /** MQTT.js is done with its own repetitions: publishes can be sent. */
  #ready = false;
  #everOnline = false;
  #attempts = 0;
  #reconnectTimer: Timer | undefined;
  readonly #exact = new PublishWindow(MAX_EXACT);
  /** Publishes not yet confirmed. */
  #unconfirmed = 0;
  readonly #flow = new PacketFlow({
    unconfirmed: () => this.#unconfirmed,
    ping: () => {
      if (this.#online) this.#client?.['_sendPacket']({ cmd: 'pingreq' });
    },
  });
  #closed = false;
  #lastFault: Error | undefined;

  constructor(options: MqttConnectionOptions) {
    this.#options = options;
    const { clock, log, random } = options.deps;
    this.#confirmations = new Confirmations({
      clock,
      timeoutMs: options.timeoutMs,
      cause: () => {
        if (this.#ready) return '';
        return `: not connected${this.#lastFault === undefined ? '' : ` (${errorText(this.#lastFault)})`}`;
      },
    });
    this.#inbox = new Inbox({
      handle: options.handle ?? (() => undefined),
      acknowledge: ({ packetId, qos }) => this.#acknowledge(packetId, qos),
      retryDelayMs: options.retryDelayMs ?? ((attempt) => backoffMs(attempt, 1000, 30_000, random)),
      clock,
      log,
      maxConcurrent: MAX_CONCURRENT,
    });
  }

  /** Connects; rejects when the broker has not accepted the connection within the timeout. */
  async open(signal?: AbortSignal): Promise<void> {
    signal?.throwIfAborted();
    const where = shownUrl(this.#options.url);
    await this.#start();
    const refused = await this.#untilReady(signal).then(
      () => undefined,
      (error: unknown) => error,
    );
    if (refused === undefined) return;
    await this.close();
    throw new Error(`failed to establish connection to MQTT broker ${where}: ${errorText(refused)}`, {
      cause: refused,
    });
  }

  /** Resolves once the broker confirmed the message (QoS 0: once it was written). */
  async publish(
    topic: string,
    data: Uint8Array,
    options: PublishOptions,
    signal?: AbortSignal,
  ): Promise<void> {
    const fault = topicNameFault(topic);
    if (fault !== undefined) throw new Error(`cannot publish: ${fault}`);
    signal?.throwIfAborted();
    await this.#untilReady(signal);
    const client = this.#client;
    if (client === undefined || this.#closed) throw new Error('the MQTT connection is closed');
    const exact = options.qos === 2 ? this.#exact : undefined;
    await exact?.enter((act) => this.#confirmations.wait('earlier messages', signal, act));
    try {
      await this.#publishNow(client, topic, data, options, signal);
    } finally {
      exact?.leave();
    }
  }

  /** Subscribes now and after every reconnect; resolves with the broker's grant. */
  async subscribe(filter: string, qos: 0 | 1 | 2): Promise<void> {
    const fault = topicFilterFault(filter);
    if (fault !== undefined) throw new Error(`cannot subscribe: ${fault}`);
    this.#filters.set(filter, qos);
    try {
      await this.#untilReady();
      await this.#subscribeNow([[filter, qos]]);
    } catch (error) {
      this.#filters.delete(filter);
      throw error;
    }
    this.#inbox.retryParked();
  }

  /** Messages that nobody handled get another chance: who handles them has changed. */
  offerAgain(): void {
    this.#inbox.retryParked();
  }

  /** Ends a subscription here; at the broker only with `atBroker`, so that a session keeps collecting otherwise. */
  async unsubscribe(filter: string, atBroker: boolean): Promise<void> {
    this.#filters.delete(filter);
    const client = this.#client;
    if (!atBroker || !this.#ready || client === undefined) return;
    await this.#confirmations.wait('the unsubscription', undefined, (done) => {
      client.unsubscribe(filter, (error) => done(error ?? undefined));
    });
  }

  /** Rejects when the broker is not connected. */
  ping(): void {
    if (!this.#ready) throw new Error(`not connected to MQTT broker ${shownUrl(this.#options.url)}`);
  }

  /** Waits for running handlers, then disconnects. Works at any time, also twice. */
  async close(): Promise<void> {
    if (this.#closed) return;
    await this.#inbox.close();
    this.#closed = true;
    this.#reconnectTimer?.cancel();
    this.#confirmations.close(new Error('the MQTT connection is closed'));
    const client = this.#client;
    if (client === undefined) return;
    // An unanswered publish would keep a polite goodbye waiting for ever.
    const force = !this.#ready || Object.keys(client.outgoing).length > 0;
    const slow = this.#options.deps.clock.startTimer(GOODBYE_MS, () => client.stream?.destroy());
    await new Promise<void>((resolve) => client.end(force, () => resolve()));
    slow.cancel();
    client.removeAllListeners();
    client.on('error', () => {});
    this.#stream?.destroy();
  }

  async #start(): Promise<void> {
    const { url, tls, clientId, cleanSession, timeoutMs, deps } = this.#options;
    const embedded = deps.broker.owns(url);
    const options: IClientOptions = {
      ...(embedded ? {} : clientOptions(url, tls)),
      clientId,
      clean: cleanSession,
      keepalive: KEEP_ALIVE_S,
      connectTimeout: timeoutMs,
      protocolVersion: 4,
      resubscribe: false,
      manualConnect: true,
      reconnectPeriod: 0,
      log: () => {}, // its own tracing costs a few percent even when nobody looks
    };
    // Loaded here: an unused component costs nothing.
    const { connect, MqttClient: Client } = (await import('mqtt')).default;
    const client = embedded ? new Client(() => this.#takeStream() as never, options) : connect(options);
    this.#client = client;
    client.handleMessage = (packet, done) => this.#receive(packet, done);
    client.options.customHandleAcks = (_topic, _message, packet, done) => {
      if (packet.qos !== 2) done(0);
      else this.#receive(packet as IPublishPacket, done as (error?: Error) => void);
    };
    client.on('connect', () => this.#connected(client));
    client.on('close', () => this.#lost());
    client.on('error', (error) => this.#faulted(client, error));
    client.on('packetsend', () => this.#flow.sending(client.stream));
    client.on('packetreceive', (packet) => {
      this.#flow.received(packet.cmd);
      if (packet.cmd === 'pubrel') this.#received.delete(packet.messageId ?? 0);
      else if (packet.cmd === 'connack' && (packet as IConnackPacket).returnCode === 0)
        this.#accepted(client, packet as IConnackPacket);
    });
    await this.#dial(client, true);
  }

  /** One attempt; MQTT.js takes its stream synchronously, so the in-process one is fetched before. */
  async #dial(client: MqttClient, first: boolean): Promise<void> {
    const { broker } = this.#options.deps;
    try {
      if (broker.owns(this.#options.url)) this.#stream = await broker.connect();
    } catch (error) {
      if (first) throw error;
      this.#options.deps.log.warn('MQTT broker of this node is not available', { error: errorText(error) });
      this.#lost();
      return;
    }
    if (this.#closed) return;
    if (first) client.connect();
    else
      client.reconnect({
        incomingStore: client.incomingStore as never,
        outgoingStore: client.outgoingStore as never,
      });
  }

  #takeStream(): Duplex {
    const stream = this.#stream;
    if (stream === undefined) throw new Error('no stream to the MQTT broker of this node');
    return stream;
  }

  /** CONNACK. MQTT.js says `connect` later, when it has re-sent its own; the broker's messages come before that. */
  #accepted(client: MqttClient, packet: IConnackPacket): void {
    this.#flow.begin(client.stream);
    const sessionPresent = packet.sessionPresent && !this.#options.cleanSession;
    this.#online = true;
    this.#attempts = 0;
    if (!sessionPresent) this.#received.clear();
    if (this.#everOnline) {
      this.#inbox.reconnected(sessionPresent);
      const url = shownUrl(this.#options.url);
      this.#options.deps.log.info('MQTT broker is connected again', { url, sessionPresent });
    }
    this.#everOnline = true;
  }

  #connected(client: MqttClient): void {
    this.#ready = true;
    this.#settleWaiters(undefined);
    if (this.#filters.size === 0) return;
    this.#subscribeNow([...this.#filters]).catch((error: unknown) => {
      this.#options.deps.log.error('MQTT subscriptions were not renewed', { error: errorText(error) });
      // A connection without its subscriptions is worth nothing: the next one tries again.
      if (this.#ready) client.stream.destroy();
    });
  }

  #lost(): void {
    const { log, clock, random } = this.#options.deps;
    if (this.#online) {
      this.#inbox.disconnected();
      if (!this.#closed) log.warn('MQTT connection lost', { url: shownUrl(this.#options.url) });
    }
    this.#online = false;
    this.#ready = false;
    if (this.#closed || this.#reconnectTimer !== undefined) return;
    this.#attempts += 1;
    const delayMs = backoffMs(this.#attempts, RECONNECT_BASE_MS, RECONNECT_MAX_MS, random);
    this.#reconnectTimer = clock.startTimer(delayMs, () => {
      this.#reconnectTimer = undefined;
      if (this.#client !== undefined && !this.#closed) void this.#dial(this.#client, false);
    });
  }

  #faulted(client: MqttClient, error: Error): void {
    if (error === HELD_BACK || this.#closed) return;
    const code = (error as { code?: unknown }).code;
    if (code === UNACCEPTABLE_PROTOCOL && client.options.protocolVersion === 4) {
      client.options.protocolVersion = 3;
      client.options.protocolId = 'MQIsdp';
      return;
    }
    this.#options.deps.log.debug('MQTT connection fault', {
      error: errorText(error),
      url: shownUrl(this.#options.url),
    });
    this.#lastFault = error;
    if (typeof code === 'number' && REFUSED_FOR_GOOD.has(code)) this.#settleWaiters(error);
  }

  /** Hands a message to the inbox. QoS 1 and 2: the error keeps MQTT.js from acknowledging, not from going on. */
  #receive(packet: IPublishPacket, done: (error?: Error) => void): void {
    const packetId = packet.messageId ?? 0;
    const { topic, qos, retain, dup } = packet;
    if (qos === 2 && this.#received.has(packetId)) this.#acknowledge(packetId, 2);
    else {
      const payload = typeof packet.payload === 'string' ? Buffer.from(packet.payload) : packet.payload;
      this.#inbox.accept({ topic, payload, qos, retain, dup, packetId });
    }
    // Last: MQTT.js may take the next packet within this call, and the order of arrival must hold.
    done(qos === 0 ? undefined : HELD_BACK);
  }

  #acknowledge(packetId: number, qos: number): void {
    if (!this.#online || this.#client === undefined) return;
    if (qos === 2) this.#received.add(packetId);
    // MQTT.js has no public call for an acknowledgement of one's own.
    this.#client['_sendPacket']({ cmd: qos === 2 ? 'pubrec' : 'puback', messageId: packetId });
  }

  async #subscribeNow(filters: readonly (readonly [string, 0 | 1 | 2])[]): Promise<void> {
    const client = this.#client;
    if (client === undefined) throw new Error('the MQTT connection is closed');
    const request = Object.fromEntries(filters.map(([filter, qos]) => [filter, { qos }]));
    await this.#confirmations.wait('the subscription', undefined, (done) => {
      client.subscribe(request, (error) => done(error ?? undefined));
    });
  }

  async #untilReady(signal?: AbortSignal): Promise<void> {
    if (this.#ready) return;
    let waiter: ((error: Error | undefined) => void) | undefined;
    try {
      await this.#confirmations.wait('the connection', signal, (done) => {
        waiter = done;
        this.#waiters.add(done);
      });
    } finally {
      if (waiter !== undefined) this.#waiters.delete(waiter);
    }
  }

  #publishNow(
    client: MqttClient,
    topic: string,
    data: Uint8Array,
    options: PublishOptions,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    const payload = Buffer.from(data.buffer, data.byteOffset, data.byteLength);
    let packetId: number | undefined;
    this.#unconfirmed += 1;
    return this.#confirmations
      .wait(
        'the publish',
        signal,
        (done) => {
          client.publish(topic, payload, options, (error) => done(error ?? undefined));
          if (options.qos > 0) packetId = client.getLastMessageId();
        },
        () => {
          // Given up: MQTT.js must not keep and send it behind our back.
          if (packetId !== undefined) client.removeOutgoingMessage(packetId);
        },
      )
      .finally(() => {
        this.#unconfirmed -= 1;
      });
  }

  #settleWaiters(error: Error | undefined): void {
    const waiting = [...this.#waiters];
    if (error !== undefined || this.#ready) for (const done of waiting) done(error);
  }
}
