/** `skerry run`: one node, one sidecar, and the command beside it. */

import { daprVersion } from '../build-info.ts';
import { nodeOptions, parseFlags, sidecarOptions } from '../flags.ts';
import { systemClock } from '../platform/system-clock.ts';
import { runProcess } from '../process.ts';
import { type AppProcess, startApp } from './app-process.ts';
import type { ProgramSetup } from './daprd.ts';
import { withNodeDefaults } from './node-defaults.ts';
import { print } from './output.ts';
import { validate } from './validate.ts';

export async function runCommand(args: readonly string[], setup: ProgramSetup): Promise<void> {
  const given = withNodeDefaults(parseFlags(args));
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
    onServing: async (_node, [sidecar], stop) => {
      print(`Skerry is up: HTTP on ${sidecar?.ports.http}, gRPC on ${sidecar?.ports.grpc}.`);
      if (given.rest.length === 0) return;
      app = startApp({ options, command: given.rest }, setup.env, clock);
      void app.ended.then((code) => {
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
