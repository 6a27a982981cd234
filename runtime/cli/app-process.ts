/** Apps that the node starts: their environment, their output with a prefix, their orderly end. */

import { type ChildProcess, spawn } from 'node:child_process';
import { createWriteStream, mkdirSync, type WriteStream } from 'node:fs';
import { constants } from 'node:os';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import type { Clock } from '../contracts/clock.ts';
import { errorText } from '../contracts/error.ts';
import type { SidecarOptions } from '../flags.ts';
import { print } from './output.ts';

export interface AppCommand {
  readonly options: SidecarOptions;
  readonly command: readonly string[];
  readonly directory?: string;
  readonly env?: Readonly<Record<string, string>>;
  /** Where its output goes (`appLogDestination`); absent: to ours. */
  readonly logs?: 'console' | 'file' | 'fileAndConsole';
}

export interface AppProcess {
  /** 0 when it could not be started. */
  readonly pid: number;
  readonly logFile: string | undefined;
  /** Resolves with the exit code (128 + signal number for a signal) when the app ends. */
  readonly ended: Promise<number>;
  /** Asks the app to end, and kills it when it does not within the limit. */
  stop(): Promise<void>;
}

const STOP_LIMIT_MS = 5000;
const SIGNAL_EXIT = 128;
const LAST_LINES_MS = 250;

/** What `dapr run` gives an app, so that SDKs find their sidecar. */
function appEnvironment(
  app: AppCommand,
  inherited: Readonly<Record<string, string | undefined>>,
): NodeJS.ProcessEnv {
  const { options } = app;
  return {
    ...inherited,
    ...app.env,
    APP_ID: options.appId,
    APP_CHANNEL_ADDRESS: options.appAddress,
    APP_PROTOCOL: options.appProtocol,
    ...(options.appPort === 0 ? {} : { APP_PORT: String(options.appPort) }),
    DAPR_HTTP_PORT: String(options.httpPort),
    DAPR_GRPC_PORT: String(options.grpcPort),
    ...(options.metricsPort === undefined ? {} : { DAPR_METRICS_PORT: String(options.metricsPort) }),
  };
}

function forward(stream: Readable | null, take: (line: string) => void): void {
  if (stream !== null) createInterface({ input: stream }).on('line', take);
}

/** What becomes of a line of the app. A file lies where the Dapr CLI puts it: `.dapr/logs` in the app's folder. */
function lineTaker(app: AppCommand, clock: Clock): { take(line: string): void; readonly file?: string } {
  const { options, logs = 'console', directory = '.' } = app;
  const show = (line: string): void => print(`== APP - ${options.appId} == ${line}`);
  if (logs === 'console') return { take: show };
  const stamp = new Intl.DateTimeFormat('sv', { dateStyle: 'short', timeStyle: 'medium' }).format(
    clock.now(),
  );
  const file = join(directory, '.dapr/logs', `${options.appId}_app_${stamp.replace(/\D/g, '')}.log`);
  let target: WriteStream;
  try {
    mkdirSync(dirname(file), { recursive: true });
    target = createWriteStream(file, { flags: 'a' });
  } catch (error) {
    print(`app ${options.appId}: no log file: ${errorText(error)}`);
    return { take: show };
  }
  target.on('error', (error) => print(`app ${options.appId}: no log file: ${errorText(error)}`));
  const take = (line: string): void => {
    target.write(`${line}\n`);
    if (logs === 'fileAndConsole') show(line);
  };
  return { take, file };
}

/** What `dapr run` says when an app has ended. */
export function endLine(code: number): string {
  return code === 0 ? 'Exited App successfully' : `The App process exited with error code: ${code}`;
}

/** Starts the app in a process group of its own, so that a stop reaches what it started. */
export function startApp(
  app: AppCommand,
  inherited: Readonly<Record<string, string | undefined>>,
  clock: Clock,
): AppProcess {
  const [file = '', ...args] = app.command;
  const child: ChildProcess = spawn(file, args, {
    ...(app.directory === undefined ? {} : { cwd: app.directory }),
    env: appEnvironment(app, inherited),
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
  });
  const { take, file: logFile } = lineTaker(app, clock);
  forward(child.stdout, take);
  forward(child.stderr, take);
  const ended = new Promise<number>((resolve) => {
    child.once('error', (error) => {
      print(`app ${app.options.appId}: ${file} cannot be started: ${errorText(error)}`);
      resolve(1);
    });
    child.once('exit', (code, signal) => {
      const exitCode = code ?? SIGNAL_EXIT + (signal === null ? 0 : constants.signals[signal]);
      // Its last lines may still be in the pipe; what it started may hold the pipe open for ever.
      child.once('close', () => resolve(exitCode));
      clock.startTimer(LAST_LINES_MS, () => resolve(exitCode));
    });
  });
  const kill = (signal: NodeJS.Signals): void => {
    if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
    try {
      process.kill(-child.pid, signal);
    } catch {
      // The group is gone already.
    }
  };
  return {
    pid: child.pid ?? 0,
    logFile,
    ended,
    stop: async () => {
      kill('SIGTERM');
      const timer = clock.startTimer(STOP_LIMIT_MS, () => kill('SIGKILL'));
      await ended;
      timer.cancel();
    },
  };
}
