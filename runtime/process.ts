/**
 * The process: starts the node and its sidecars, answers signals, ends with the right exit code. SIGTERM and SIGINT stop
 * gracefully, SIGHUP restarts the sidecars in the same process (CLI reference, section 11).
 */

import { formatGoDuration } from './contracts/duration.ts';
import { errorText } from './contracts/error.ts';
import type { NodeOptions, SidecarOptions } from './flags.ts';
import { createNode, type Node } from './node.ts';
import { type Sidecar, startSidecar } from './sidecar.ts';

export interface ProcessSetup {
  readonly node: NodeOptions;
  readonly sidecars: readonly SidecarOptions[];
  readonly name: string;
  /** Version shown by the APIs. */
  readonly version: string;
  /** Without a resources folder `statestore` and `pubsub` exist by default. */
  readonly defaults: boolean;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly workerEntry: URL;
  /** Called once every sidecar serves its APIs (apps may be started now). */
  readonly onServing?: (
    node: Node,
    sidecars: readonly Sidecar[],
    stop: (why: string) => void,
  ) => Promise<void>;
  /** Called when the stop begins, before the sidecars close. */
  readonly onStopping?: () => Promise<void>;
  /** Exit code of a clean end; default 0. */
  readonly exitCode?: () => number;
}

const FORCED_EXIT_DELAY_MS = 100;
/** Parts that keep to the grace period themselves get this much to say so. */
const GRACE_SLACK_MS = 250;

/** Runs until the process ends; resolves when everything is closed. */
export async function runProcess(setup: ProcessSetup): Promise<void> {
  const stopping = new AbortController();
  const end = (code: number): never => {
    node.log.flush();
    process.exit(code);
  };
  const node = createNode({
    options: setup.node,
    name: setup.name,
    version: setup.version,
    env: setup.env,
    workerEntry: setup.workerEntry,
    onFatal: () => end(1),
  });
  let reason = 'Shutdown requested via API';
  let finish: (() => void) | undefined;
  const stopped = new Promise<void>((resolve) => {
    finish = resolve;
  });
  const stop = (why: string): void => {
    if (stopping.signal.aborted) return;
    reason = why;
    stopping.abort(new Error('the sidecar is shutting down'));
    finish?.();
  };
  process.on('SIGTERM', () => stop("Received signal 'terminated'; beginning shutdown"));
  process.on('SIGINT', () => stop("Received signal 'interrupt'; beginning shutdown"));

  const shutdown = (force: boolean): void => {
    if (force) node.clock.startTimer(FORCED_EXIT_DELAY_MS, () => end(1));
    else stop('Shutdown requested via API');
  };
  const startAll = async (): Promise<readonly Sidecar[]> => {
    const started: Sidecar[] = [];
    const siblings = new Map<string, Sidecar>();
    try {
      for (const options of setup.sidecars) {
        const sidecar = await startSidecar({
          node,
          options,
          defaults: setup.defaults,
          siblings,
          shutdown,
          signal: stopping.signal,
        });
        siblings.set(options.appId, sidecar);
        started.push(sidecar);
      }
      return started;
    } catch (error) {
      await Promise.all(started.map((sidecar) => sidecar.close()));
      throw error;
    }
  };

  let sidecars: readonly Sidecar[];
  try {
    node.log.info(`Starting Dapr Runtime -- version ${setup.version} -- commit skerry`);
    if (setup.node.inert.length > 0)
      node.log.warn(`These flags are accepted and have no effect yet: ${setup.node.inert.join(', ')}`);
    await node.startBroker();
    sidecars = await startAll();
    await setup.onServing?.(node, sidecars, stop);
  } catch (error) {
    if (!stopping.signal.aborted) {
      node.log.fatal(`Fatal error from runtime: ${errorText(error)}`);
      process.exitCode = 1;
    }
    await node.close().catch(() => undefined);
    return end(process.exitCode === 1 ? 1 : 0);
  }

  let restarting = Promise.resolve();
  process.on('SIGHUP', () => {
    restarting = restarting
      .then(async () => {
        if (stopping.signal.aborted) return;
        node.log.info("Received signal 'hangup'; restarting the runtime");
        await Promise.all(sidecars.map((sidecar) => sidecar.close()));
        sidecars = await startAll();
      })
      .catch((error) => {
        node.log.fatal(`Fatal error from runtime: ${errorText(error)}`);
        end(1);
      });
  });

  await stopped;
  node.log.info(reason);
  await restarting;
  await holdBack(setup, sidecars, node);
  await setup.onStopping?.();
  const grace = Math.max(...setup.sidecars.map((options) => options.gracefulShutdownMs));
  if (grace > 0) {
    const giveUp = (): void => {
      node.log.fatal('Graceful shutdown timeout exceeded, forcing shutdown');
      end(1);
    };
    node.clock.startTimer(grace + GRACE_SLACK_MS, giveUp, true);
  }
  try {
    await Promise.all(sidecars.map((sidecar) => sidecar.close()));
    await node.close();
    node.log.info('Daprd shutdown gracefully');
  } catch (error) {
    node.log.error(`Error shutting down runtime: ${errorText(error)}`);
    end(1);
  }
  end(setup.exitCode?.() ?? 0);
}

/** `--dapr-block-shutdown-duration`: inputs stop for good, the APIs serve on until the time is over or the app is unhealthy. */
async function holdBack(setup: ProcessSetup, sidecars: readonly Sidecar[], node: Node): Promise<void> {
  const durations = setup.sidecars.flatMap((options) =>
    options.blockShutdownMs === undefined ? [] : [options.blockShutdownMs],
  );
  if (durations.length === 0) return;
  const blockMs = Math.max(...durations);
  node.log.info(
    `Blocking graceful shutdown for ${formatGoDuration(blockMs)} or until app reports unhealthy...`,
  );
  await Promise.all(sidecars.map((sidecar) => sidecar.stopInputs()));
  const over = node.clock.sleep(blockMs).then(() => 'Block shutdown period expired, entering shutdown...');
  const unhealthy = Promise.race(sidecars.map((sidecar) => sidecar.untilUnhealthy())).then(
    () => 'App reported unhealthy, entering shutdown...',
  );
  node.log.info(await Promise.race([over, unhealthy]));
}
