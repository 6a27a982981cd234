/** What the broker tells about itself below `$SYS/broker`, to whoever asks: at once, and every ten seconds. */

import { matcher } from '../drivers/mqtt/topic.ts';
import type { Connection } from './connection.ts';
import { messageOf } from './message.ts';
import type { Router } from './router.ts';

export const SYS_INTERVAL_MS = 10_000;

export class SysTopics {
  readonly #values: () => Readonly<Record<string, string>>;
  readonly #router: Router;
  readonly #publish: (message: ReturnType<typeof messageOf>) => void;

  /** `values` by topic without the common prefix. */
  constructor(
    router: Router,
    values: () => Readonly<Record<string, string>>,
    publish: (message: ReturnType<typeof messageOf>) => void,
  ) {
    this.#router = router;
    this.#values = values;
    this.#publish = publish;
  }

  /** The values under a filter that was just subscribed, as retained messages. */
  show(connection: Connection, filter: string): void {
    const matches = matcher(filter);
    for (const [name, value] of Object.entries(this.#values())) {
      const topic = `$SYS/broker/${name}`;
      if (matches(topic))
        connection.publishLive(messageOf(topic, Buffer.from(value), 0, true), true, undefined);
    }
  }

  /** Publishes what somebody listens to. */
  tell(): void {
    let values: Readonly<Record<string, string>> | undefined;
    for (const name of NAMES) {
      const { targets, groups } = this.#router.match(`$SYS/broker/${name}`);
      if (targets.length === 0 && groups.length === 0) continue;
      values ??= this.#values();
      this.#publish(messageOf(`$SYS/broker/${name}`, Buffer.from(values[name] ?? ''), 0, false));
    }
  }
}

/** All topics. */
export const NAMES = [
  'version',
  'uptime',
  'clients/connected',
  'clients/total',
  'clients/disconnected',
  'subscriptions/count',
  'retained messages/count',
  'store/messages/count',
  'messages/received',
  'messages/sent',
  'publish/messages/received',
  'publish/messages/sent',
  'publish/messages/dropped',
  'bytes/received',
  'bytes/sent',
] as const;
