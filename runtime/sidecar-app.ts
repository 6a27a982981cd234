/**
 * The app's side of a sidecar's life: wait for its port, watch its health, and run what needs a healthy app
 * (configuration call, subscriptions, input bindings) exactly while it is healthy (HTTP reference, sections 20 and 21).
 */

import type { AppHealthWatch } from './app-channel/app-health.ts';
import { waitForApp } from './app-channel/wait-for-app.ts';
import type { InputBindings } from './building-blocks/bindings/input.ts';
import type { AppChannel } from './contracts/app-channel.ts';
import type { Clock } from './contracts/clock.ts';
import { errorText } from './contracts/error.ts';
import type { Logger } from './contracts/logger.ts';
import type { SidecarOptions } from './flags.ts';

/** The parts of the subscriptions block that follow the app's health. */
export interface AppSubscriptions {
  start(): Promise<void>;
  pause(): Promise<void>;
  resume(): Promise<void>;
  /** Brokers that can are asked to hand out nothing more, and what they had handed out is handled. */
  drain?(): Promise<void>;
}

export interface AppLifeParts {
  readonly options: SidecarOptions;
  readonly channel: AppChannel | undefined;
  readonly health: AppHealthWatch;
  readonly subscriptions: AppSubscriptions;
  readonly inputs: InputBindings;
  /** Its consumers start with the first healthy state and stay. */
  readonly outbox: { start(): Promise<void> };
  readonly clock: Clock;
  readonly log: Logger;
  /** The app side is up (or there is none): `healthz` may answer. */
  readonly ready: () => void;
}

export interface AppLife {
  /** Runs in the background until `stop`. */
  start(signal: AbortSignal): void;
  /** Stops inputs for good and waits for deliveries in flight. */
  stop(): Promise<void>;
  /** Resolves once the app is unhealthy (never, when it is not watched). */
  untilUnhealthy(): Promise<void>;
}

export function createAppLife(parts: AppLifeParts): AppLife {
  const { options, channel, health, log } = parts;
  let started = false;
  let stopped = false;
  /** Transitions run one after the other, in the order they happened. */
  let turn: Promise<void> = Promise.resolve();
  const inTurn = (run: () => Promise<void>): Promise<void> => {
    turn = turn
      .then(run)
      .catch((error) => log.error(`following the app's health failed: ${errorText(error)}`));
    return turn;
  };

  const whenHealthy = async (signal: AbortSignal): Promise<void> => {
    if (stopped) return;
    const first = !started;
    if (first) {
      started = true;
      if (channel !== undefined && options.disabledInitEndpoints.includes('config')) {
        log.warn("Skipping programmatic dapr configuration loading (see 'disable-init-endpoints' flag)");
      } else if (channel !== undefined) {
        await channel
          .configuration(signal)
          .catch((error) => log.debug(`the app gave no configuration: ${errorText(error)}`));
      }
      await parts.subscriptions.start();
    } else {
      await parts.subscriptions.resume();
    }
    await parts.inputs.start();
    if (first) await parts.outbox.start();
  };
  const whenUnhealthy = async (): Promise<void> => {
    if (stopped) return;
    await Promise.all([parts.subscriptions.pause(), parts.inputs.stop()]);
  };

  return {
    start: (signal) => {
      const run = async (): Promise<void> => {
        if (channel === undefined) {
          await parts.subscriptions.start();
          await parts.outbox.start();
          parts.ready();
          return;
        }
        log.info(
          `application protocol: ${options.appProtocol}. waiting on port ${options.appPort}.  This will block until the app is listening on that port.`,
        );
        const tls = options.appProtocol === 'https' || options.appProtocol === 'grpcs';
        await waitForApp(
          { address: options.appAddress, port: options.appPort, tls, clock: parts.clock },
          signal,
        );
        log.info(`application discovered on port ${options.appPort}`);
        if (options.appHealth.enabled) parts.ready();
        health.onChange((healthy) => void inTurn(() => (healthy ? whenHealthy(signal) : whenUnhealthy())));
        health.start();
        if (!options.appHealth.enabled) {
          await inTurn(async () => {});
          parts.ready();
        }
      };
      run().catch((error) => {
        if (!signal.aborted) log.error(`the app side of the sidecar failed: ${errorText(error)}`);
      });
    },
    stop: async () => {
      if (stopped) return;
      stopped = true;
      await turn;
      const { subscriptions } = parts;
      const paused = (subscriptions.drain?.() ?? Promise.resolve()).then(() => subscriptions.pause());
      await Promise.all([paused, parts.inputs.stop()]);
    },
    untilUnhealthy: () =>
      new Promise((resolve) => {
        if (options.appHealth.enabled && started && !health.healthy) return resolve();
        const end = health.onChange((healthy) => {
          if (healthy) return;
          end();
          resolve();
        });
      }),
  };
}
