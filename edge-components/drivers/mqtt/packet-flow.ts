/**
 * When packets go to the network. Those of one turn of the event loop leave in one write; and where a broker holds back its
 * acknowledgements, something is sent that makes it go on.
 *
 * A broker with Nagle's algorithm on (mosquitto's default) sends a second PUBACK only when the first was acknowledged by TCP,
 * and the kernel on this side delays that for 40 ms unless it has data to put it on. A PINGREQ is such data, allowed at any time
 * (MQTT 3.1.1, section 3.12).
 */

import type { Duplex } from 'node:stream';

export interface PacketFlowOptions {
  /** Publishes that the broker has not confirmed. */
  readonly unconfirmed: () => number;
  /** Sends a PINGREQ. */
  readonly ping: () => void;
}

/** Looks after one MQTT connection at a time. */
export class PacketFlow {
  readonly #options: PacketFlowOptions;
  #corked: Duplex | undefined;
  #checking = false;
  #sentSince = false;
  #pinging = false;

  constructor(options: PacketFlowOptions) {
    this.#options = options;
  }

  /** A new connection. */
  begin(stream: Duplex): void {
    this.#pinging = false;
    (stream as { setNoDelay?: (on: boolean) => void }).setNoDelay?.(true);
  }

  /** A packet is about to be written to `stream`. */
  sending(stream: Duplex): void {
    this.#sentSince = true;
    if (this.#corked === stream) return;
    this.#corked = stream;
    stream.cork();
    setImmediate(() => {
      if (this.#corked === stream) this.#corked = undefined;
      stream.uncork();
    });
  }

  /** A packet has come. */
  received(command: string): void {
    if (command === 'pingresp') this.#pinging = false;
    if (this.#checking || this.#pinging || this.#options.unconfirmed() < 2) return;
    this.#checking = true;
    this.#sentSince = false;
    setImmediate(() => {
      this.#checking = false;
      if (this.#sentSince || this.#options.unconfirmed() === 0) return;
      this.#pinging = true;
      this.#options.ping();
    });
  }
}
