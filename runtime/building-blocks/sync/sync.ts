/** The Sync resources of one sidecar at work: their flows, and how they stand. */

import { createHash } from 'node:crypto';
import type { SyncBlock } from '../../contracts/blocks.ts';
import type { Timer } from '../../contracts/clock.ts';
import { errorText } from '../../contracts/error.ts';
import type { SyncResource } from '../../contracts/resource.ts';
import type { SharedParts, SyncDeps } from './deps.ts';
import { createReturns } from './returns.ts';
import { createStateFlow } from './state-flow.ts';
import { createTopicFlow, type Flow } from './topic-flow.ts';
import { createTurns } from './turns.ts';
import { createUsage } from './usage.ts';

export interface Sync extends SyncBlock {
  /** Changes are noted and topics subscribed from now on; what has to reach the app waits for `appReady`. */
  start(): Promise<void>;
  appReady(): Promise<void>;
  close(): Promise<void>;
}

/** The gauges are brought up to date so often. */
const GAUGES_MS = 15_000;

export async function createSync(syncs: readonly SyncResource[], deps: SyncDeps): Promise<Sync> {
  const closing = new AbortController();
  const usage = createUsage(deps);
  const nodeMark = shortHash(await deps.nodeKey());
  const parts: SharedParts = {
    ...deps,
    usage,
    turns: createTurns(),
    returns: createReturns(),
    closing: closing.signal,
    nodeMark,
  };
  const flows: readonly Flow[] = syncs.flatMap((sync) =>
    sync.flows.map((spec) => {
      const name = `${sync.name}/${spec.name}`;
      return spec.kind === 'topic'
        ? createTopicFlow(spec, name, shortHash(nodeMark, deps.appId, name), parts)
        : createStateFlow(spec, name, sync.conflictTopic, parts);
    }),
  );
  let timer: Timer | undefined;
  let stopWatching: () => void = () => {};
  const status: Sync['status'] = () => Promise.all(flows.map((flow) => flow.status()));
  const arm = (): void => {
    timer = deps.clock.startTimer(
      GAUGES_MS,
      () => {
        status().catch((error) => deps.log.debug(`the gauges of sync: ${errorText(error)}`));
        arm();
      },
      true,
    );
  };

  return {
    status,
    retry: (wanted) => {
      const woken = flows.filter(({ name }) => wanted === undefined || name === wanted);
      for (const flow of woken) flow.wake();
      return woken.length;
    },
    start: async () => {
      await usage.open();
      stopWatching = deps.components.onChange(({ component }) => {
        for (const flow of flows) flow.componentChanged(component.category, component.name);
      });
      await Promise.all(flows.map((flow) => flow.start()));
      arm();
    },
    appReady: async () => {
      await Promise.all(flows.map((flow) => flow.appReady()));
    },
    close: async () => {
      stopWatching();
      timer?.cancel();
      closing.abort(new Error('the sidecar is closing'));
      await Promise.all(flows.map((flow) => flow.close()));
      await usage.close();
    },
  };
}

const MARK_LENGTH = 8;

function shortHash(...parts: readonly (string | Uint8Array)[]): string {
  const hash = createHash('sha256');
  for (const part of parts) hash.update(part).update('\0');
  return hash.digest('hex').slice(0, MARK_LENGTH);
}
