/** A socket folder with a component in it, and instances made by the definitions that are found there. */

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Category, CategoryInstances } from '../../runtime/contracts/component.ts';
import { systemClock } from '../../runtime/platform/system-clock.ts';
import { type PluggableDefinitions, pluggableDefinitions } from '../../runtime/pluggable/sockets.ts';
import { componentDeps } from './component-deps.ts';
import { type PluggableComponent, type PluggableRequest, startPluggable } from './pluggable-component.ts';
import { type RecordingLogger, recordingLogger } from './recording-logger.ts';

interface Teardown {
  teardown(run: () => unknown): void;
}

export interface SocketFolder {
  readonly folder: string;
  readonly log: RecordingLogger;
  readonly definitions: PluggableDefinitions;
  /** Starts a component whose socket has this file name. */
  start(file: string, given?: Omit<PluggableRequest, 'socket'>): Promise<PluggableComponent>;
  /** Finds the definition, creates an instance named `name` and initialises it. */
  open<C extends Category>(
    type: `${C}.${string}`,
    name: string,
    items?: Record<string, string>,
  ): Promise<CategoryInstances[C]>;
}

/** Everything that was started is closed with the test. */
export function socketFolder(t: Teardown): SocketFolder {
  // Not in the test's own folder: a socket's path has room for about 100 bytes.
  const folder = mkdtempSync(join(tmpdir(), 'skerry-'));
  const open: { close(): Promise<void> }[] = [];
  t.teardown(async () => {
    for (const one of open.reverse()) await one.close();
    rmSync(folder, { recursive: true, force: true });
  });
  const log = recordingLogger();
  const clock = systemClock();
  const definitions = pluggableDefinitions({
    env: { DAPR_COMPONENTS_SOCKETS_FOLDER: folder },
    clock,
    log,
    maxMessageBytes: 4 * 1024 * 1024,
  });
  return {
    folder,
    log,
    definitions,
    start: async (file, given = {}) => {
      const component = await startPluggable({ socket: join(folder, file), ...given });
      open.push(component);
      return component;
    },
    open: async (type, name, items = {}) => {
      const definition = await definitions.find(type);
      if (definition === undefined) throw new Error(`there is no ${type}`);
      const instance = definition.create(items, componentDeps({ componentName: name, clock, log }));
      open.push(instance);
      await instance.init(AbortSignal.timeout(5000));
      return instance as never;
    },
  };
}
