/**
 * Incoming messages of one connection between arrival and acknowledgement.
 *
 * A message is acknowledged only after its handler succeeded. Handlers start in the order of arrival and may overlap,
 * up to a limit. Acknowledgements leave in the order of arrival ([MQTT-4.6.0-2]), except that a message whose handler
 * failed steps aside and does not hold up the others. MQTT 3.1.1 redelivers only after a reconnect, so a failed message
 * is tried again here, with growing pauses, for as long as it takes; it stays unacknowledged and therefore safe at the
 * broker. When the broker sends it again after a reconnect, the copy joins the message that is still here.
 */

import type { Clock, Timer } from '../../../runtime/contracts/clock.ts';
import { errorText } from '../../../runtime/contracts/error.ts';
import type { Logger } from '../../../runtime/contracts/logger.ts';
import { SubscriptionClosingError } from '../../../runtime/contracts/pubsub.ts';

export interface InboxMessage {
  readonly topic: string;
  readonly payload: Buffer;
  readonly qos: number;
  readonly retain: boolean;
  readonly dup: boolean;
  /** 0 for QoS 0. */
  readonly packetId: number;
}

/** Work for one message; `undefined` when nobody handles its topic now. */
export type InboxHandler = (message: InboxMessage) => Promise<unknown> | undefined;

export interface InboxOptions {
  readonly handle: InboxHandler;
  /** Sends PUBACK or PUBREC on the current connection. */
  readonly acknowledge: (message: InboxMessage) => void;
  /** Pause before attempt `attempt` (1 is the first repetition). */
  readonly retryDelayMs: (attempt: number) => number;
  readonly clock: Clock;
  readonly log: Logger;
  readonly maxConcurrent: number;
  /** QoS 0 messages that may wait; beyond it the oldest is dropped. */
  readonly maxWaitingQos0?: number;
}

type State = 'waiting' | 'running' | 'pausing' | 'parked' | 'done';

interface Entry {
  readonly message: InboxMessage;
  /** Order of arrival. */
  readonly number: number;
  state: State;
  /** Connection on which the broker expects the acknowledgement; 0 when on none. */
  epoch: number;
  /** Holds its place in the order of acknowledgements. */
  ordered: boolean;
  attempts: number;
  timer?: Timer;
}

const MAX_WAITING_QOS0 = 1000;
/** Messages that failed and that no broker has any more; beyond it the oldest is given up. */
const MAX_PAUSING = 5000;

export class Inbox {
  readonly #options: InboxOptions;
  #waiting: Entry[] = [];
  #order: Entry[] = [];
  readonly #parked = new Set<Entry>();
  readonly #pausing = new Set<Entry>();
  /** Unacknowledged messages by packet id; after a reconnect, those the broker may send again. */
  #unacknowledged = new Map<number, Entry>();
  #arrivals = 0;
  #running = 0;
  #epoch = 1;
  #waitingQos0 = 0;
  #dropped = 0;
  #closed = false;
  #idle: (() => void)[] = [];

  constructor(options: InboxOptions) {
    this.#options = options;
  }

  /** Messages dropped because too many waited. */
  get dropped(): number {
    return this.#dropped;
  }

  accept(message: InboxMessage): void {
    if (this.#closed) return;
    if (message.qos > 0) {
      const known = this.#unacknowledged.get(message.packetId);
      if (known !== undefined && known.epoch !== this.#epoch && sameMessage(known.message, message)) {
        this.#join(known);
        return;
      }
    }
    this.#arrivals += 1;
    const entry: Entry = {
      message,
      number: this.#arrivals,
      state: 'waiting',
      epoch: this.#epoch,
      ordered: message.qos > 0,
      attempts: 0,
    };
    if (message.qos > 0) {
      this.#unacknowledged.set(message.packetId, entry);
      this.#order.push(entry);
    } else if (!this.#roomForQos0()) return;
    this.#waiting.push(entry);
    this.#startMore();
  }

  /** The connection is gone; nothing can be acknowledged until the broker sends it again. */
  disconnected(): void {
    this.#epoch += 1;
    this.#order = [];
    for (const entry of this.#unacknowledged.values()) entry.ordered = false;
  }

  /**
   * A new connection is up. With the session kept by the broker everything unacknowledged comes again, so what is not
   * running waits for that copy; with a new session nothing comes again and the messages here are the only ones left.
   */
  reconnected(sessionPresent: boolean): void {
    for (const [packetId, entry] of this.#unacknowledged) {
      const { state } = entry;
      if (sessionPresent && (state === 'running' || entry.epoch === this.#epoch - 1)) {
        if (state !== 'running' && state !== 'done') this.#shelve(entry);
        continue;
      }
      // Older still: the broker gave the message another packet id. Otherwise: the broker forgot it.
      this.#unacknowledged.delete(packetId);
      if (sessionPresent) this.#shelve(entry);
      else entry.epoch = 0;
    }
    this.#waiting = this.#waiting.filter((entry) => entry.state === 'waiting');
    for (const entry of this.#pausing) {
      if (this.#pausing.size <= MAX_PAUSING) break;
      this.#shelve(entry);
      this.#dropped += 1;
    }
  }

  /** A handler was added: messages that nobody wanted get another chance, in the order in which they came. */
  retryParked(): void {
    if (this.#parked.size === 0) return;
    for (const entry of this.#parked) {
      entry.state = 'waiting';
      this.#waiting.push(entry);
    }
    this.#parked.clear();
    this.#waiting.sort((a, b) => a.number - b.number);
    this.#startMore();
  }

  /** Starts nothing more; resolves when no handler runs. */
  async close(): Promise<void> {
    this.#closed = true;
    for (const entry of this.#pausing) entry.timer?.cancel();
    this.#pausing.clear();
    this.#parked.clear();
    this.#waiting = [];
    if (this.#running > 0) await new Promise<void>((resolve) => this.#idle.push(resolve));
  }

  #join(entry: Entry): void {
    entry.epoch = this.#epoch;
    entry.ordered = true;
    this.#order.push(entry);
    if (entry.state === 'done') this.#acknowledgeInOrder();
    else if (entry.state !== 'running') {
      entry.state = 'waiting';
      this.#waiting.push(entry);
      this.#startMore();
    }
  }

  #startMore(): void {
    while (this.#running < this.#options.maxConcurrent && !this.#closed) {
      const entry = this.#waiting.shift();
      if (entry === undefined) return;
      if (entry.message.qos === 0) this.#waitingQos0 -= 1;
      this.#start(entry);
    }
  }

  #start(entry: Entry): void {
    let work: Promise<unknown> | undefined;
    try {
      work = this.#options.handle(entry.message);
    } catch (error) {
      work = Promise.reject(error);
    }
    if (work === undefined) {
      this.#park(entry);
      return;
    }
    entry.state = 'running';
    this.#running += 1;
    work.then(
      () => this.#settled(entry, undefined),
      (error: unknown) => this.#settled(entry, error ?? new Error('the handler failed')),
    );
  }

  #settled(entry: Entry, error: unknown): void {
    this.#running -= 1;
    if (error === undefined) this.#succeeded(entry);
    // Nobody had it: the next handler gets it in its place among the others.
    else if (error instanceof SubscriptionClosingError) this.#park(entry);
    else this.#failed(entry, error);
    this.#startMore();
    if (this.#running > 0) return;
    const idle = this.#idle;
    this.#idle = [];
    for (const resolve of idle) resolve();
  }

  #succeeded(entry: Entry): void {
    entry.state = 'done';
    if (entry.message.qos === 0) return;
    if (entry.ordered) this.#acknowledgeInOrder();
    else this.#acknowledge(entry);
  }

  #failed(entry: Entry, error: unknown): void {
    const { topic, qos } = entry.message;
    entry.attempts += 1;
    if (this.#closed) return;
    if (qos === 0) {
      this.#options.log.warn('MQTT message of QoS 0 was not handled and is lost', {
        topic,
        error: errorText(error),
      });
      return;
    }
    const delayMs = this.#options.retryDelayMs(entry.attempts);
    const fields = {
      topic,
      qos,
      attempts: entry.attempts,
      retryInMs: Math.round(delayMs),
      error: errorText(error),
    };
    this.#options.log.warn(
      'MQTT message was not handled; it stays unacknowledged and is tried again',
      fields,
    );
    this.#stepAside(entry);
    if (entry.epoch !== 0 && entry.epoch !== this.#epoch) {
      // The broker has it and sends it again on the next connection.
      entry.state = 'parked';
      return;
    }
    entry.state = 'pausing';
    this.#pausing.add(entry);
    entry.timer = this.#options.clock.startTimer(delayMs, () => {
      this.#pausing.delete(entry);
      entry.state = 'waiting';
      this.#waiting.push(entry);
      this.#startMore();
    });
  }

  #park(entry: Entry): void {
    if (entry.message.qos === 0 || this.#closed) return;
    entry.state = 'parked';
    // One of an earlier connection comes again by itself.
    if (entry.epoch === 0 || entry.epoch === this.#epoch) this.#parked.add(entry);
    this.#options.log.debug('MQTT message without a handler stays unacknowledged', {
      topic: entry.message.topic,
    });
    this.#stepAside(entry);
  }

  /** Waits for the broker's own copy. */
  #shelve(entry: Entry): void {
    entry.timer?.cancel();
    this.#pausing.delete(entry);
    this.#parked.delete(entry);
    entry.state = 'parked';
  }

  #stepAside(entry: Entry): void {
    if (!entry.ordered) return;
    entry.ordered = false;
    this.#acknowledgeInOrder();
  }

  #acknowledgeInOrder(): void {
    let count = 0;
    for (const entry of this.#order) {
      if (entry.ordered && entry.state !== 'done') break;
      count += 1;
      if (entry.ordered) this.#acknowledge(entry);
    }
    if (count > 0) this.#order.splice(0, count);
  }

  #acknowledge(entry: Entry): void {
    // An acknowledgement on another connection could name another message ([MQTT-4.4.0-1]).
    if (entry.epoch !== this.#epoch) return;
    this.#unacknowledged.delete(entry.message.packetId);
    this.#options.acknowledge(entry.message);
  }

  #roomForQos0(): boolean {
    const limit = this.#options.maxWaitingQos0 ?? MAX_WAITING_QOS0;
    this.#waitingQos0 += 1;
    if (this.#waitingQos0 <= limit) return true;
    const oldest = this.#waiting.findIndex((entry) => entry.message.qos === 0);
    if (oldest >= 0) this.#waiting.splice(oldest, 1);
    this.#waitingQos0 -= 1;
    this.#dropped += 1;
    if (this.#dropped % 1000 === 1) {
      this.#options.log.warn('MQTT messages of QoS 0 are dropped: handlers are slower than the broker', {
        dropped: this.#dropped,
      });
    }
    return oldest >= 0;
  }
}

function sameMessage(a: InboxMessage, b: InboxMessage): boolean {
  // [MQTT-3.3.1-1]: a repetition says so. Without the flag an equal payload is a new message.
  return b.dup && a.topic === b.topic && a.qos === b.qos && a.payload.equals(b.payload);
}
