/** `skerry list`, with the columns and members of `dapr list`. */

import { parseArgs } from 'node:util';
import { FlagError } from '../flags.ts';
import { systemClock } from '../platform/system-clock.ts';
import { print, printTable } from './output.ts';
import { type RunningApp, runningNodes } from './running-nodes.ts';

const COMMAND_LENGTH = 20;
const AGES = [
  { unit: 'd', ms: 86_400_000 },
  { unit: 'h', ms: 3_600_000 },
  { unit: 'm', ms: 60_000 },
] as const;

type Row = Readonly<Record<string, string | number | boolean>>;

export async function listCommand(
  args: readonly string[],
  env: Readonly<Record<string, string | undefined>>,
): Promise<void> {
  const format = formatOf(args);
  const nodes = await runningNodes(env);
  const now = systemClock().now();
  const rows = nodes.flatMap(({ apps }) => apps).map((app) => rowOf(app, now));
  if (format === 'json') print(JSON.stringify(rows, null, 2));
  else if (format === 'yaml') print(rows.length === 0 ? '[]' : rows.map(yamlItem).join('\n'));
  else if (rows.length === 0) print('No Dapr instances found.');
  else printTable(Object.values(COLUMNS), rows.map(cells));
}

function formatOf(args: readonly string[]): string {
  let output: string | undefined;
  try {
    const options = { output: { type: 'string', short: 'o' } } as const;
    output = parseArgs({ args: [...args], options, allowPositionals: false }).values.output;
  } catch (error) {
    throw new FlagError(`list: ${(error as Error).message}`);
  }
  if (output === undefined || output === '') return 'table';
  if (['json', 'yaml', 'table'].includes(output)) return output;
  throw new FlagError(`list: invalid argument "${output}" for --output: expected json, yaml or table`);
}

/** Columns of the table, by member. */
const COLUMNS: Readonly<Record<string, string>> = {
  appId: 'APP ID',
  httpPort: 'HTTP PORT',
  grpcPort: 'GRPC PORT',
  appPort: 'APP PORT',
  command: 'COMMAND',
  age: 'AGE',
  created: 'CREATED',
  daprdPid: 'DAPRD PID',
  cliPid: 'CLI PID',
  appPid: 'APP PID',
  runTemplatePath: 'RUN_TEMPLATE_PATH',
  appLogPath: 'APP_LOG_PATH',
  daprdLogPath: 'DAPRD_LOG_PATH',
};

function cells(row: Row): readonly string[] {
  return Object.keys(COLUMNS).map((member) => String(row[member] ?? ''));
}

function yamlItem(row: Row): string {
  return Object.entries(row)
    .map(([name, value], at) => `${at === 0 ? '- ' : '  '}${name}: ${JSON.stringify(value)}`)
    .join('\n');
}

function rowOf({ started, ...app }: RunningApp, now: number): Row {
  const { appId, httpPort, grpcPort, appPort, metricsEnabled, command, ...rest } = app;
  return {
    appId,
    httpPort,
    grpcPort,
    appPort,
    metricsEnabled,
    command:
      command.length <= COMMAND_LENGTH ? command : `${command.slice(0, COMMAND_LENGTH - '...'.length)}...`,
    age: age(now - started),
    created: created(started),
    ...rest,
  };
}

function age(ms: number): string {
  const found = AGES.find((one) => ms >= one.ms);
  return found === undefined
    ? `${Math.max(0, Math.floor(ms / 1000))}s`
    : `${Math.floor(ms / found.ms)}${found.unit}`;
}

/** Dapr writes a point between minutes and seconds. */
function created(ms: number): string {
  const text = new Intl.DateTimeFormat('sv', { dateStyle: 'short', timeStyle: 'medium' }).format(ms);
  return text.replace(/:(\d\d)$/, '.$1');
}
