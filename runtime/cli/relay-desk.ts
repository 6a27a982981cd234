/**
 * What the commands about a relay ask, and whom: the registry that relays share, where one is named, or the relay that runs on the
 * data folder. A password never stands on a command line, where everybody on the machine could read it.
 */

import { readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { z } from 'zod';
import { errorText } from '../contracts/error.ts';
import { FlagError } from '../flags.ts';
import { systemRandom } from '../platform/system-random.ts';
import { askRelay, tokenRequest } from '../relay/admin.ts';
import type { TokenRequest } from '../relay/enrolling.ts';
import type { NodeView } from '../relay/relay.ts';
import { openRegistryDesk } from '../relay/shared-registry.ts';

type Env = Readonly<Record<string, string | undefined>>;

export interface DeskFlags {
  readonly 'data-dir'?: string | undefined;
  readonly registry?: string | undefined;
  readonly 'registry-file'?: string | undefined;
}

/** Of `parseArgs`. */
export const DESK_OPTIONS = {
  'data-dir': { type: 'string' },
  registry: { type: 'string' },
  'registry-file': { type: 'string' },
} as const;

export const REGISTRY_VARIABLE = 'SKERRY_RELAY_REGISTRY';

export interface Desk {
  token(request: TokenRequest): Promise<string>;
  /** Rejects when there is no such node. */
  revoke(node: string): Promise<void>;
  nodes(): Promise<readonly NodeView[]>;
  close(): Promise<void>;
}

export function relayDataDir(flags: DeskFlags, env: Env): string {
  return flags['data-dir'] ?? env['SKERRY_DATA_DIR'] ?? join(homedir(), '.skerry', 'relay');
}

/** Connection string of the shared registry; `undefined` when none is named. */
export function registryUrl(flags: DeskFlags, env: Env): string | undefined {
  const { registry, 'registry-file': file } = flags;
  if (registry !== undefined && file !== undefined)
    throw new FlagError('--registry and --registry-file exclude each other');
  if (registry !== undefined) {
    const url = checked(registry, '--registry');
    if (URL.canParse(url) && new URL(url).password !== '')
      throw new FlagError(
        `--registry holds a password, which others can read there: give the address by --registry-file or ${REGISTRY_VARIABLE}`,
      );
    return url;
  }
  if (file !== undefined) return checked(contents(file), `the file ${file} of --registry-file`);
  const given = env[REGISTRY_VARIABLE];
  return given === undefined || given === '' ? undefined : checked(given, REGISTRY_VARIABLE);
}

function contents(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    throw new FlagError(`--registry-file cannot be read: ${errorText(error)}`);
  }
}

function checked(given: string, where: string): string {
  const url = given.trim();
  if (/^postgres(?:ql)?:\/\//.test(url) && URL.canParse(url)) return url;
  // Without what was given: there may be a password in it.
  throw new FlagError(`${where}: expected postgres://user@host:5432/database`);
}

/** The registry, or the relay of the data folder. */
export async function openDesk(flags: DeskFlags, env: Env): Promise<Desk> {
  const url = registryUrl(flags, env);
  if (url === undefined) return relayDesk(relayDataDir(flags, env));
  const desk = await openRegistryDesk(url, systemRandom());
  return {
    ...desk,
    token: async (request) => {
      const asked = tokenRequest.safeParse(request);
      if (!asked.success) throw new Error(z.prettifyError(asked.error));
      return await desk.token(asked.data);
    },
    async revoke(node) {
      if (!(await desk.revoke(node))) throw new Error(`there is no node ${node} that could be revoked`);
    },
  };
}

function relayDesk(dataDir: string): Desk {
  return {
    token: async (request) =>
      ((await askRelay(dataDir, 'POST', '/token', request)) as { token: string }).token,
    revoke: async (node) => void (await askRelay(dataDir, 'POST', '/revoke', { node })),
    nodes: async () => ((await askRelay(dataDir, 'GET', '/nodes')) as { nodes: readonly NodeView[] }).nodes,
    close: async () => {},
  };
}
