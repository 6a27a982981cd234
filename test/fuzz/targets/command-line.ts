/** Command lines and run files: options, or an error that says what is wrong with them. */

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { longFlags, takeRunFile } from '../../../runtime/cli/run-arguments.ts';
import { FlagError, nodeOptions, parseFlags, sidecarOptions } from '../../../runtime/flags.ts';
import { FLAGS } from '../../../runtime/flags-table.ts';
import { readRunFile } from '../../../runtime/resources/run-file.ts';
import type { Draw } from '../support/draw.ts';
import { ensureForeseen } from '../support/foreseen.ts';
import { ensure, type Fuzzing, type FuzzTarget } from '../support/target.ts';

const VALUES = [
  '',
  '0',
  '-1',
  '65536',
  '99999999999999999999',
  'true',
  '4Mi',
  '1e9',
  '5s',
  '-5s',
  'a.b',
  '127.0.0.1,::1',
  '--',
  '-f',
];
const MEMBERS = [
  'appID',
  'appDirPath',
  'appPort',
  'daprHTTPPort',
  'command',
  'env',
  'resourcesPath',
  'resourcesPaths',
  'configFilePath',
  'logLevel',
  'maxBodySize',
  'appLogDestination',
  'apiListenAddresses',
  'enableAppHealthCheck',
  'containerImage',
];

function argument(draw: Draw): readonly string[] {
  const value = draw.chance(0.7) ? draw.pick(VALUES) : draw.text(100);
  const name = draw.chance(0.9) ? draw.pick(FLAGS).name : draw.text(30);
  const dashes = draw.pick(['--', '--', '--', '-', '']);
  return draw.chance(0.6) ? [`${dashes}${name}=${value}`] : [`${dashes}${name}`, value];
}

function commandLine(draw: Draw): void {
  const args = ['--app-id=a', ...draw.list(6, () => argument(draw)).flat()];
  if (draw.chance(0.1)) args.push(draw.pick(['-p', '-H', '-f', '-f=', '--run-file']), draw.text(20));
  const { rest } = takeRunFile(longFlags(args));
  try {
    const given = parseFlags(rest);
    const options = sidecarOptions(given);
    for (const port of [options.appPort, options.httpPort, options.grpcPort])
      ensure(
        Number.isInteger(port) && port >= 0 && port <= 65_535,
        () => `port ${port} of ${args.join(' ')}`,
      );
    ensure(options.gracefulShutdownMs >= 0, () => `grace of ${args.join(' ')}`);
    nodeOptions(given);
  } catch (error) {
    if (!(error instanceof FlagError)) throw error;
  }
}

function section(draw: Draw): Record<string, unknown> {
  return Object.fromEntries(
    draw.list(8, () => [
      draw.chance(0.95) ? draw.pick(MEMBERS) : draw.text(20),
      draw.chance(0.4) ? draw.pick(['a', '8Mi', 3000, -1, true, ['x'], { A: '1' }]) : draw.json(2),
    ]),
  );
}

async function open(): Promise<Fuzzing> {
  const folder = mkdtempSync(join(tmpdir(), 'skerry-fuzz-'));
  const file = join(folder, 'dapr.yaml');
  const runFile = async (draw: Draw): Promise<void> => {
    const value = {
      version: draw.chance(0.95) ? 1 : draw.json(1),
      ...(draw.chance(0.7) ? { common: draw.chance(0.9) ? section(draw) : draw.json(1) } : {}),
      apps: draw.chance(0.95) ? draw.list(4, () => section(draw)) : draw.json(2),
    };
    const bytes = Buffer.from(draw.jsonText(value));
    writeFileSync(file, draw.chance(0.8) ? bytes : draw.mutate(bytes));
    try {
      const { apps } = await readRunFile(file);
      for (const { flags } of apps)
        for (const { flag, value: text } of flags) commandLineOf(`--${flag}=${text}`);
    } catch (error) {
      ensureForeseen(error);
      ensure(
        (error as Error).message.includes('dapr.yaml'),
        () => `the error names no file: ${String(error)}`,
      );
    }
  };
  return {
    one: (draw) => (draw.chance(0.8) ? commandLine(draw) : runFile(draw)),
    close: async () => rmSync(folder, { recursive: true, force: true }),
  };
}

function commandLineOf(argument: string): void {
  try {
    parseFlags([argument]);
  } catch (error) {
    if (!(error instanceof FlagError)) throw error;
  }
}

export const commandLines: FuzzTarget = { name: 'command-line', inputs: 2_000, open };
