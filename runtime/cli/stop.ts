/** `skerry stop`: ends apps and their sidecars by app id, or those of a run file, as `dapr stop`; waits until they are gone. */

import { existsSync, statSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { errorText } from '../contracts/error.ts';
import { FlagError } from '../flags.ts';
import { systemClock } from '../platform/system-clock.ts';
import { print, printError } from './output.ts';
import { type RunningNode, runningNodes } from './running-nodes.ts';

const GONE_LIMIT_MS = 15_000;
const LOOK_EVERY_MS = 50;

type Env = Readonly<Record<string, string | undefined>>;

/** The exit code: 0 when everything that was asked for was stopped. */
export async function stopCommand(args: readonly string[], env: Env): Promise<number> {
  const { ids, file } = asked(args);
  let failures = 0;
  if (file !== undefined && !(await stopRunFile(file, await runningNodes(env)))) failures += 1;
  for (const id of ids) if (!(await stopApp(id, await runningNodes(env)))) failures += 1;
  return failures === 0 ? 0 : 1;
}

function asked(args: readonly string[]): { readonly ids: readonly string[]; readonly file?: string } {
  let given: { values: { 'app-id'?: string[]; 'run-file'?: string }; positionals: string[] };
  try {
    given = parseArgs({
      args: [...args],
      options: {
        'app-id': { type: 'string', short: 'a', multiple: true },
        'run-file': { type: 'string', short: 'f' },
      },
      allowPositionals: true,
    });
  } catch (error) {
    throw new FlagError(`stop: ${(error as Error).message}`);
  }
  const { 'app-id': named = [], 'run-file': file } = given.values;
  const ids = [...given.positionals, ...named];
  if (ids.length === 0 && file === undefined)
    throw new FlagError('stop needs --app-id ID or --run-file FILE');
  return file === undefined ? { ids } : { ids, file };
}

async function stopApp(id: string, nodes: readonly RunningNode[]): Promise<boolean> {
  const node = nodes.find(({ apps }) => apps.some(({ appId }) => appId === id));
  try {
    if (node === undefined) throw new Error(`couldn't find app id ${id}`);
    await end(node, [id]);
    print(`app stopped successfully: ${id}`);
    return true;
  } catch (error) {
    printError(`failed to stop app id ${id}: ${errorText(error)}`);
    return false;
  }
}

async function stopRunFile(file: string, nodes: readonly RunningNode[]): Promise<boolean> {
  const path = resolve(existsSync(file) && statSync(file).isDirectory() ? join(file, 'dapr.yaml') : file);
  const found = nodes.filter(({ apps }) => apps.some(({ runTemplatePath }) => runTemplatePath === path));
  try {
    if (found.length === 0) throw new Error(`couldn't find apps with run file "${path}"`);
    for (const node of found)
      await end(
        node,
        node.apps.map(({ appId }) => appId),
      );
    print('Dapr and app processes stopped successfully');
    return true;
  } catch (error) {
    printError(`Failed to stop Dapr and app processes: ${errorText(error)}`);
    return false;
  }
}

/** A node that loses its last app ends, and has ended when this resolves. */
async function end(node: RunningNode, ids: readonly string[]): Promise<void> {
  for (const id of ids) await node.stopApp(id);
  const rest = node.apps.filter(({ appId }) => !ids.includes(appId));
  const [first] = node.apps;
  if (rest.length > 0 || first === undefined) return;
  const clock = systemClock();
  const limit = clock.monotonicMs() + GONE_LIMIT_MS;
  while (isAlive(first.daprdPid) && clock.monotonicMs() < limit) await clock.sleep(LOOK_EVERY_MS);
  if (isAlive(first.daprdPid)) throw new Error(`process ${first.daprdPid} has not ended yet`);
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}
