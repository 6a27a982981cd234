/**
 * Where pluggable components are (Dapr: pluggable components, discovery): socket files in one folder, named like the
 * component types they serve. Only this small module is always loaded; the rest comes with the first socket in use.
 */

import { readdir } from 'node:fs/promises';
import { join, parse } from 'node:path';
import type { Clock } from '../contracts/clock.ts';
import type { AnyComponentDefinition } from '../contracts/component.ts';
import { errorText } from '../contracts/error.ts';
import type { Logger } from '../contracts/logger.ts';

const FOLDER_VARIABLE = 'DAPR_COMPONENTS_SOCKETS_FOLDER';
const DEFAULT_FOLDER = '/tmp/dapr-components-sockets';
/** Categories that Dapr has a protocol for. */
const CATEGORIES: ReadonlySet<string> = new Set(['state', 'pubsub', 'bindings', 'secretstores']);

export interface PluggableOptions {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly clock: Clock;
  readonly log: Logger;
  /** Bytes of one message from a component. */
  readonly maxMessageBytes: number;
  /** How long a socket may be there before somebody listens; default 30 s. */
  readonly patienceMs?: number;
}

/** Definitions of components that live in other processes. */
export interface PluggableDefinitions {
  /** The definition behind `category.socket-name` (lower case); `undefined` when no socket has that name or none serves it. */
  find(type: string, signal?: AbortSignal): Promise<AnyComponentDefinition | undefined>;
}

/** Looks a type up when it is asked for: a component that starts later is found by hot reload. */
export function pluggableDefinitions(options: PluggableOptions): PluggableDefinitions {
  const folder = options.env[FOLDER_VARIABLE] || DEFAULT_FOLDER;
  return {
    find: async (type, signal) => {
      const [category = '', ...rest] = type.split('.');
      if (!CATEGORIES.has(category)) return undefined;
      const socket = await socketNamed(folder, rest.join('.'), options.log);
      if (socket === undefined) return undefined;
      const { discover } = await import('./discover.ts');
      return discover(socket, type, options, signal);
    },
  };
}

/** Path of the socket whose file name without its last extension is `name`, in any letter case. */
async function socketNamed(folder: string, name: string, log: Logger): Promise<string | undefined> {
  const entries = await readdir(folder, { withFileTypes: true }).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'ENOENT')
      log.error(`pluggable components: the folder ${folder} cannot be read: ${errorText(error)}`);
    return [];
  });
  const named = entries.filter((entry) => parse(entry.name).name.toLowerCase() === name);
  const socket = named.find((entry) => entry.isSocket());
  const other = named.find((entry) => entry.isFile());
  if (socket === undefined && other !== undefined)
    log.warn(`pluggable components: ${join(folder, other.name)} is no socket and is left aside`);
  return socket === undefined ? undefined : join(folder, socket.name);
}
