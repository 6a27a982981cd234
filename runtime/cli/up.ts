/** `skerry up -f FILE`: the apps of a Dapr multi-app run file, all on one node. */

import { daprVersion } from '../build-info.ts';
import type { HealthBlock } from '../contracts/blocks.ts';
import {
  FlagError,
  type GivenFlags,
  LEVELS,
  type NodeOptions,
  nodeOptions,
  parseFlags,
  type SidecarOptions,
  sidecarOptions,
} from '../flags.ts';
import { systemClock } from '../platform/system-clock.ts';
import { runProcess } from '../process.ts';
import { type RunFileApp, readRunFile } from '../resources/run-file.ts';
import { type AppCommand, type AppProcess, endLine, startApp } from './app-process.ts';
import type { ProgramSetup } from './daprd.ts';
import { freePortFrom } from './free-port.ts';
import { withNodeDefaults } from './node-defaults.ts';
import { print } from './output.ts';
import { longFlags, takeRunFile } from './run-arguments.ts';
import { announceNode, runningApp } from './running-nodes.ts';
import { startApps } from './start-apps.ts';
import { validate } from './validate.ts';

const FIRST_HTTP_PORT = 3500;
const FIRST_GRPC_PORT = 50_001;
const FIRST_METRICS_PORT = 9090;

export async function upCommand(args: readonly string[], setup: ProgramSetup): Promise<void> {
  const { file, flags } = splitFile(args);
  const runFile = await readRunFile(file);
  const given = parseFlags(flags);
  const shared = withNodeDefaults(given);
  const commandLine = new Set(given.values.keys());
  const taken = new Set(runFile.apps.flatMap(askedPorts));
  const apps: AppCommand[] = [];
  for (const app of runFile.apps) apps.push(await appCommand(app, shared, commandLine, taken));
  const sidecars = apps.map((app) => app.options);
  if (runFile.ignored.length > 0)
    print(`${runFile.path}: without effect here: ${runFile.ignored.join(', ')}`);
  if (shared.values.has('validate')) {
    process.exitCode = (await validate(sidecars, setup.env, true)) ? 0 : 1;
    return;
  }
  for (const { appId } of sidecars) print(`Validating config and starting app "${appId}"`);
  const clock = systemClock();
  const running = new Map<AppCommand, AppProcess>();
  let here = apps;
  const stopping = new AbortController();
  const start = (app: AppCommand): Promise<number> => {
    const started = startApp(app, setup.env, clock);
    running.set(app, started);
    void started.ended.then((code) => print(`app ${app.options.appId}: ${endLine(code)}`));
    return started.ended;
  };
  await runProcess({
    ...setup,
    node: nodeOf(shared, runFile.apps, sidecars),
    sidecars,
    name: runFile.name,
    version: daprVersion,
    defaults: true,
    onServing: async (node, serving, stop, closeOne) => {
      for (const { options } of apps) print(portsLine(options));
      const { path: file, title: name } = runFile;
      const more = { started: clock.now(), file, name, logFile: node.options.logFile ?? '' };
      await announceNode(
        {
          apps: () => here.map((app) => runningApp(app, running.get(app), more)),
          stopApp: async (id) => {
            const leaving = here.find(({ options }) => options.appId === id);
            if (leaving === undefined) throw new Error(`couldn't find app id ${id}`);
            if (here.length === 1) return stop('Stopped by skerry stop');
            here = here.filter((app) => app !== leaving);
            await running.get(leaving)?.stop();
            await closeOne(id);
          },
        },
        setup.env,
      );
      const health = (id: string): HealthBlock | undefined =>
        serving.find(({ options }) => options.appId === id && options.appPort !== 0)?.blocks.health;
      const ordered = apps
        .filter(({ command }) => command.length > 0)
        .map((app) => ({
          health: health(app.options.appId),
          start: async () => (here.includes(app) ? start(app) : 0),
        }));
      void startApps(ordered, clock, stopping.signal);
    },
    onStopping: async () => {
      stopping.abort();
      await Promise.all([...running.values()].map((app) => app.stop()));
    },
  });
}

/** The node logs what the most talkative of its sidecars wants logged; each sidecar keeps to its own level. */
function nodeOf(
  shared: GivenFlags,
  apps: readonly RunFileApp[],
  sidecars: readonly SidecarOptions[],
): NodeOptions {
  const node = nodeOptions(shared);
  const levels = shared.values.has('log-level') ? [node.logLevel] : sidecars.map(({ logLevel }) => logLevel);
  const inert = apps.flatMap(({ flags }) => nodeOptions(givenFlags(flags)).inert);
  return {
    ...node,
    logLevel: LEVELS.find((level) => levels.includes(level)) ?? node.logLevel,
    inert: [...new Set([...node.inert, ...inert])],
  };
}

/** The members of a run file that are flags, read as flags are. */
function givenFlags(flags: RunFileApp['flags']): GivenFlags {
  return parseFlags(flags.map(({ flag, value }) => `--${flag}=${value}`));
}

/** The same, with an error that names the app and the member. */
function checkedFlags({ appId, flags }: RunFileApp): GivenFlags {
  for (const one of flags) {
    try {
      givenFlags([one]);
    } catch (error) {
      if (!(error instanceof FlagError)) throw error;
      throw new FlagError(`app ${appId}: ${one.member}: ${error.message}`);
    }
  }
  return givenFlags(flags);
}

/** The line that `dapr run -f` has for it, since scripts wait for that. */
function portsLine({ appId, httpPort, grpcPort }: SidecarOptions): string {
  return `Started Dapr with app id "${appId}". HTTP Port: ${httpPort}. gRPC Port: ${grpcPort}`;
}

/** `-f FILE` or `--run-file FILE`, and the flags for the node. */
function splitFile(args: readonly string[]): { readonly file: string; readonly flags: readonly string[] } {
  const { file, rest } = takeRunFile(longFlags(args));
  if (!file) throw new FlagError('up needs -f FILE, a Dapr multi-app run file such as dapr.yaml');
  return { file, flags: rest };
}

function askedPorts(app: RunFileApp): readonly number[] {
  const { appPort, daprHttpPort, daprGrpcPort, metricsPort } = app;
  return [appPort, daprHttpPort, daprGrpcPort, metricsPort].filter((port) => port !== undefined);
}

async function appCommand(
  app: RunFileApp,
  shared: GivenFlags,
  commandLine: ReadonlySet<string>,
  taken: Set<number>,
): Promise<AppCommand> {
  const values = new Map(shared.values);
  const set = (name: string, value: string | number | boolean | undefined): void => {
    if (value !== undefined) values.set(name, [String(value)]);
  };
  set('app-id', app.appId);
  set('app-port', app.appPort);
  set('app-protocol', app.appProtocol);
  set('app-max-concurrency', app.appMaxConcurrency);
  set('enable-app-health-check', app.enableAppHealthCheck);
  set('app-health-check-path', app.appHealthCheckPath);
  set('app-health-probe-interval', app.appHealthProbeInterval);
  set('app-health-probe-timeout', app.appHealthProbeTimeout);
  set('app-health-threshold', app.appHealthThreshold);
  set('enable-api-logging', app.enableApiLogging);
  set('unix-domain-socket', app.unixDomainSocket);
  set('dapr-http-port', app.daprHttpPort ?? (await freePortFrom(FIRST_HTTP_PORT, taken)));
  set('dapr-grpc-port', app.daprGrpcPort ?? (await freePortFrom(FIRST_GRPC_PORT, taken)));
  set('metrics-port', app.metricsPort ?? (await freePortFrom(FIRST_METRICS_PORT, taken)));
  if (app.resourcesPaths.length > 0) values.set('resources-path', app.resourcesPaths);
  set('config', app.configFile);
  // What was said on the command line is for every app.
  for (const [name, given] of checkedFlags(app).values) if (!commandLine.has(name)) values.set(name, given);
  return {
    options: sidecarOptions({ values, rest: [] }),
    command: app.command,
    directory: app.directory,
    env: app.env,
    ...(app.logs === undefined ? {} : { logs: app.logs }),
  };
}
