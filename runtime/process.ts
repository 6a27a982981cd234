/**
 * The process: starts the node and its sidecars, answers signals, ends with the right exit code. SIGTERM and SIGINT stop
 * gracefully, SIGHUP restarts the sidecars in the same process (CLI reference, section 11).
 */

import type { Timer } from './contracts/clock.ts';
import { formatGoDuration } from './contracts/duration.ts';
import { errorText } from './contracts/error.ts';
import type { NodeOptions, SidecarOptions } from './flags.ts';
import { createNode, type Node } from './node.ts';
import { trimHeapOfManyCalls, trimHeapWhenQuiet, trimHeapWhileStreaming } from './platform/trim-heap.ts';
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
    /** Closes one sidecar for good while the others go on. */
    closeOne: (appId: string) => Promise<void>,
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
  let failure: { readonly error: unknown } | undefined;
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
  /** Ends the process with exit code 1, as gracefully as it can be done. */
  const fail = (error: unknown): void => {
    if (stopping.signal.aborted) return;
    failure = { error };
    stop('');
  };
  const shutdown = (force: boolean): void => {
    if (force) {
      node.log.info('Force shutdown requested, exiting immediately without graceful shutdown');
      node.clock.startTimer(FORCED_EXIT_DELAY_MS, () => end(1));
    } else {
      stop('Shutdown requested via API');
    }
  };

  const sidecars = new Map<string, Sidecar>();
  /** Starts and restarts happen one after the other. */
  let turn: Promise<void> = Promise.resolve();
  let waiting = new Set<SidecarOptions>();
  const close = async (which: Iterable<SidecarOptions>): Promise<void> => {
    const closing = [...which].map(({ appId }) => sidecars.get(appId)?.close());
    await Promise.all(closing);
    for (const { appId } of which) sidecars.delete(appId);
  };
  const start = async (which: Iterable<SidecarOptions>): Promise<void> => {
    for (const options of which) {
      const { appId } = options;
      const sidecar = await startSidecar({
        node,
        options,
        defaults: setup.defaults,
        siblings: sidecars,
        shutdown,
        restart: () => restart([options]),
        fail,
        signal: stopping.signal,
      });
      sidecars.set(appId, sidecar);
    }
  };
  /** Closes sidecars and starts them anew; requests that wait for their turn become one. */
  const restart = (which: readonly SidecarOptions[]): void => {
    const queued = waiting.size > 0;
    for (const options of which) waiting.add(options);
    if (queued) return;
    turn = turn
      .then(async () => {
        const now = waiting;
        waiting = new Set();
        if (stopping.signal.aborted) return;
        await close(now);
        if (!stopping.signal.aborted) await start(wanted.filter((options) => now.has(options)));
      })
      .catch(fail);
  };

  let wanted = setup.sidecars;
  const closeOne = async (appId: string): Promise<void> => {
    const leaving = wanted.filter((options) => options.appId === appId);
    wanted = wanted.filter((options) => options.appId !== appId);
    turn = turn.then(() => close(leaving)).catch(fail);
    await turn;
  };

  process.on('SIGTERM', () => stop("Received signal 'terminated'; beginning shutdown"));
  process.on('SIGINT', () => stop("Received signal 'interrupt'; beginning shutdown"));
  process.on('SIGHUP', () => {
    node.log.info("Received signal 'hangup'; restarting");
    node.reloadBroker().catch(fail);
    restart(wanted);
  });

  turn = (async () => {
    node.log.info(`Starting Dapr Runtime -- version ${setup.version} -- commit skerry`);
    node.log.info(`Log level set to: ${setup.node.logLevel}`);
    if (setup.node.inert.length > 0)
      node.log.warn(`These flags are accepted and have no effect yet: ${setup.node.inert.join(', ')}`);
    await node.startBroker();
    await start(setup.sidecars);
    await setup.onServing?.(node, [...sidecars.values()], stop, closeOne);
    trimHeapWhenQuiet(node.clock);
    trimHeapWhileStreaming();
    trimHeapOfManyCalls(node.clock);
  })().catch(fail);

  await stopped;
  if (failure === undefined) node.log.info(reason);
  const starting = limitStop(setup, node, end);
  await turn;
  starting?.cancel();
  if (failure === undefined) await holdBack(setup, [...sidecars.values()], node);
  await setup.onStopping?.();
  limitStop(setup, node, end);
  try {
    await close(setup.sidecars);
    await node.close();
  } catch (error) {
    node.log.error(`Error shutting down runtime: ${errorText(error)}`);
    end(1);
  }
  if (failure !== undefined) {
    node.log.fatal(`Fatal error from runtime: ${errorText(failure.error)}`);
    end(1);
  }
  node.log.info('Daprd shutdown gracefully');
  end(setup.exitCode?.() ?? 0);
}

/** From now on the process ends within the grace period. */
function limitStop(setup: ProcessSetup, node: Node, end: (code: number) => never): Timer | undefined {
  const grace = Math.max(...setup.sidecars.map((options) => options.gracefulShutdownMs));
  if (grace <= 0) return undefined;
  const giveUp = (): void => {
    node.log.fatal('Graceful shutdown timeout exceeded, forcing shutdown');
    end(1);
  };
  return node.clock.startTimer(grace + GRACE_SLACK_MS, giveUp, true);
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
