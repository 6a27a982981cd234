/**
 * `skerry run`: one node, one sidecar, and the command beside it; with `-f` the apps of a run file, as `skerry up`. Scripts
 * wait for lines of `dapr run`, so those are here as well.
 */

import { daprVersion } from '../build-info.ts';
import { nodeOptions, parseFlags, sidecarOptions } from '../flags.ts';
import { systemClock } from '../platform/system-clock.ts';
import { runProcess } from '../process.ts';
import { type AppProcess, endLine, startApp } from './app-process.ts';
import type { ProgramSetup } from './daprd.ts';
import { withFreePorts, withNodeDefaults } from './node-defaults.ts';
import { print } from './output.ts';
import { longFlags, takeRunFile } from './run-arguments.ts';
import { announceNode, runningApp } from './running-nodes.ts';
import { upCommand } from './up.ts';
import { validate } from './validate.ts';

export async function runCommand(args: readonly string[], setup: ProgramSetup): Promise<void> {
  const { file, rest } = takeRunFile(longFlags(args));
  if (file !== undefined) return upCommand(['-f', file, ...rest], setup);
  const flags = parseFlags(rest);
  const given = withNodeDefaults(flags.rest.length > 0 ? await withFreePorts(flags) : flags);
  const options = sidecarOptions(given);
  if (given.values.has('validate')) {
    process.exitCode = (await validate([options], setup.env, true)) ? 0 : 1;
    return;
  }
  const clock = systemClock();
  let app: AppProcess | undefined;
  let appCode: number | undefined;
  await runProcess({
    ...setup,
    node: nodeOptions(given),
    sidecars: [options],
    name: options.appId,
    version: daprVersion,
    defaults: true,
    onServing: async (node, [sidecar], stop) => {
      print(`Skerry is up: HTTP on ${sidecar?.ports.http}, gRPC on ${sidecar?.ports.grpc}.`);
      const { logFile = '' } = node.options;
      const more = { started: clock.now(), logFile };
      await announceNode(
        {
          apps: () => [runningApp({ options, command: given.rest }, app, more)],
          stopApp: async () => stop('Stopped by skerry stop'),
        },
        setup.env,
      );
      if (given.rest.length === 0) return;
      app = startApp({ options, command: given.rest }, setup.env, clock);
      print("You're up and running! Both Dapr and your app logs will appear here.");
      void app.ended.then((code) => {
        if (appCode === undefined) print(endLine(code));
        appCode ??= code;
        stop(`the app ended with code ${code}`);
      });
    },
    onStopping: async () => {
      appCode ??= 0;
      await app?.stop();
    },
    exitCode: () => appCode ?? 0,
  });
}
