/** The program `skerry`: `run` one app, `up` the apps of a file, on one node. */

import { daprVersion, skerryVersion } from '../build-info.ts';
import { errorText } from '../contracts/error.ts';
import { FlagError } from '../flags.ts';
import type { ProgramSetup } from './daprd.ts';
import { flagHelp } from './help.ts';
import { print, printError } from './output.ts';
import { runCommand } from './run.ts';
import { longFlags } from './run-arguments.ts';
import { upCommand } from './up.ts';

const USAGE = `Skerry ${skerryVersion}: the Dapr API, an MQTT broker and store-and-forward in one process.

Usage:
  skerry run --app-id ID [--app-port PORT] [flags] [-- COMMAND ARGS...]
      One node with one sidecar; starts COMMAND beside it and ends with it. Takes the
      flags of \`dapr run\`, one-letter ones and -f included.
  skerry up -f FILE|FOLDER [--validate]
      One node with a sidecar per app of a Dapr multi-app run file (dapr.yaml).
  skerry list [-o json|yaml|table]
      Apps that nodes of this user serve, as \`dapr list\` shows them.
  skerry stop --app-id ID | -f FILE|FOLDER
      Ends an app and its sidecar, or those of a run file; the last one ends the node.
  skerry spool ls|show ID|retry ID|drop ID|export [flags]
      Messages that wait on a running node: the ledger, one message, another turn for a parked one.
  skerry relay --listen HOST:PORT [--data-dir DIR]     skerry relay token|revoke
      A process in the cloud that nodes dial in to: their apps and those of the cloud call each other by name.
  skerry enroll --relay URL --token T --data-dir DIR
      Makes a data folder a node of a relay.
  skerry mesh ls
      The nodes of a relay.
  skerry sync status|retry [FLOW] [flags]
      The flows of Sync resources of a running node: link, lag, conflicts, bytes of today.
  skerry version
  skerry help

Without --resources-path the components statestore (SQLite) and pubsub (the node's own
MQTT broker) exist. The APIs, metrics and the broker listen on loopback unless told otherwise.

Examples:
  skerry run --app-id hello --app-port 3000 -- node app.js
  skerry run --app-id gateway                      # no app: just the APIs and the broker
  mosquitto_pub -p 1883 -t readings -m '{"c":21}'

`;

/** A `--help` of the app's own command is not for us. */
function asksForHelp(args: readonly string[]): boolean {
  const end = args.indexOf('--');
  return longFlags(end < 0 ? args : args.slice(0, end)).includes('--help');
}

export async function runSkerry(args: readonly string[], setup: ProgramSetup): Promise<void> {
  const [command, ...rest] = args;
  try {
    switch (command) {
      case 'run':
        if (asksForHelp(rest)) print(USAGE + flagHelp());
        else await runCommand(rest, setup);
        return;
      case 'up':
        if (asksForHelp(rest)) print(USAGE);
        else await upCommand(rest, setup);
        return;
      case 'spool': {
        const { spoolCommand } = await import('./spool.ts');
        process.exitCode = await spoolCommand(rest, setup.env);
        return;
      }
      case 'list': {
        const { listCommand } = await import('./list.ts');
        await listCommand(rest, setup.env);
        return;
      }
      case 'stop': {
        const { stopCommand } = await import('./stop.ts');
        process.exitCode = await stopCommand(rest, setup.env);
        return;
      }
      case 'relay': {
        const { relayCommand } = await import('./relay.ts');
        await relayCommand(rest, setup);
        return;
      }
      case 'enroll': {
        const { enrollCommand } = await import('./enroll.ts');
        process.exitCode = await enrollCommand(rest, setup.env);
        return;
      }
      case 'mesh': {
        const { meshCommand } = await import('./mesh.ts');
        process.exitCode = await meshCommand(rest, setup.env);
        return;
      }
      case 'sync': {
        const { syncCommand } = await import('./sync.ts');
        process.exitCode = await syncCommand(rest, setup.env);
        return;
      }
      case 'version':
      case '--version':
        print(`skerry ${skerryVersion} (Dapr API ${daprVersion})`);
        return;
      case undefined:
      case 'help':
      case '--help':
      case '-h':
        print(USAGE + flagHelp());
        return;
      default:
        throw new FlagError(
          `unknown command: ${command} (expected run, up, list, stop, spool, sync, relay, enroll, mesh, version or help)`,
        );
    }
  } catch (error) {
    if (!(error instanceof FlagError)) throw error;
    printError(`${errorText(error)}\n\nRun skerry help for the commands and flags.`);
    process.exitCode = 1;
  }
}
