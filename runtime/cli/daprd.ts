/** The program `daprd`: one node with one sidecar, flags and exit codes as the original. */

import { daprVersion, skerryVersion } from '../build-info.ts';
import { errorText } from '../contracts/error.ts';
import { FlagError, type GivenFlags, nodeOptions, parseFlags, sidecarOptions } from '../flags.ts';
import { systemClock } from '../platform/system-clock.ts';
import { runProcess } from '../process.ts';
import { DAPRD_USAGE, flagHelp } from './help.ts';
import { print, printError } from './output.ts';
import { validate } from './validate.ts';
import { waitForSidecar } from './wait.ts';

export interface ProgramSetup {
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Module that the database writer thread starts with. */
  readonly workerEntry: URL;
}

/** Exit code of a command line that cannot be understood. */
const USAGE_EXIT = 2;

/** Flags that print something and end the program. */
async function answeredAtOnce(given: GivenFlags): Promise<boolean> {
  if (given.values.has('help')) print(DAPRD_USAGE + flagHelp());
  else if (given.values.has('version')) print(daprVersion);
  else if (given.values.has('build-info'))
    print(`Version: ${daprVersion}\nGit Commit: skerry-${skerryVersion}\nGit Version: ${skerryVersion}`);
  else if (given.values.has('wait'))
    await waitForSidecar(Number(given.values.get('dapr-http-port')?.at(-1) ?? '3500'), systemClock());
  else return false;
  return true;
}

export async function runDaprd(args: readonly string[], setup: ProgramSetup): Promise<void> {
  let given: GivenFlags;
  try {
    given = parseFlags(args);
  } catch (error) {
    refuse(error, USAGE_EXIT);
    return;
  }
  try {
    if (await answeredAtOnce(given)) return;
    const sidecar = sidecarOptions(given);
    const node = nodeOptions(given);
    if (given.values.has('validate')) {
      process.exitCode = (await validate([sidecar], setup.env, false)) ? 0 : 1;
      return;
    }
    await runProcess({
      node,
      sidecars: [sidecar],
      name: sidecar.appId,
      version: daprVersion,
      defaults: false,
      ...setup,
    });
  } catch (error) {
    refuse(error, 1);
  }
}

/** Says what is wrong with the command line; anything else is not for here. */
function refuse(error: unknown, exitCode: number): void {
  if (!(error instanceof FlagError)) throw error;
  printError(`${errorText(error)}\n\n${DAPRD_USAGE}Run daprd --help for the list of flags.`);
  process.exitCode = exitCode;
}
