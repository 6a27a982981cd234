/** `skerry mesh ls`: the nodes of a relay, asked of the relay on its own machine. */

import { homedir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { errorText } from '../contracts/error.ts';
import { FlagError } from '../flags.ts';
import { askRelay } from '../relay/admin.ts';
import type { NodeView } from '../relay/relay.ts';
import { print, printError, printTable } from './output.ts';

const USAGE = `Usage: skerry mesh ls [--data-dir DIR] [--json]

The nodes of the relay that runs on DIR (SKERRY_DATA_DIR, ~/.skerry/relay): app ids, link, since when, last contact, why it is down.
`;

/** Runs the command; the exit code. */
export async function meshCommand(
  args: readonly string[],
  env: Readonly<Record<string, string | undefined>>,
): Promise<number> {
  const { values, positionals } = parse(args);
  if (values.help === true) {
    print(USAGE);
    return 0;
  }
  if (positionals[0] !== 'ls')
    throw new FlagError(`unknown command: mesh ${positionals[0] ?? ''} (expected ls)`);
  const dataDir = values['data-dir'] ?? env['SKERRY_DATA_DIR'] ?? join(homedir(), '.skerry', 'relay');
  try {
    const { nodes } = (await askRelay(dataDir, 'GET', '/nodes')) as { nodes: readonly NodeView[] };
    if (values.json === true) print(JSON.stringify(nodes));
    else
      printTable(
        ['NODE', 'LINK', 'SINCE', 'LAST CONTACT', 'APP IDS', 'NOT ANNOUNCED', 'REASON'],
        nodes.map(row),
      );
    return 0;
  } catch (error) {
    printError(errorText(error));
    return 1;
  }
}

function row({ node, state, since, lastContact, enrolled, announced, reason }: NodeView): readonly string[] {
  const missing = enrolled.filter((appId) => !announced.includes(appId));
  return [
    node,
    state,
    time(since),
    lastContact === undefined ? 'never' : time(lastContact),
    announced.join(','),
    missing.join(','),
    reason ?? '',
  ];
}

function time(ms: number): string {
  return Temporal.Instant.fromEpochMilliseconds(Math.trunc(ms)).toString({ smallestUnit: 'second' });
}

function parse(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      allowPositionals: true,
      options: { 'data-dir': { type: 'string' }, json: { type: 'boolean' }, help: { type: 'boolean' } },
    });
  } catch (error) {
    throw new FlagError(`mesh: ${errorText(error)}`);
  }
}
