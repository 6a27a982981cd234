/** `skerry mesh ls`: the nodes of a relay, asked of it on its own machine or of the registry that relays share. */

import { parseArgs } from 'node:util';
import { errorText } from '../contracts/error.ts';
import { FlagError } from '../flags.ts';
import type { NodeView } from '../relay/relay.ts';
import { print, printError, printTable } from './output.ts';
import { DESK_OPTIONS, openDesk } from './relay-desk.ts';

const USAGE = `Usage: skerry mesh ls [--data-dir DIR | --registry URL | --registry-file FILE] [--json]

The nodes of the relay that runs on DIR (SKERRY_DATA_DIR, ~/.skerry/relay): app ids, link, since when, last contact, why it is down.
Where relays share a registry (also: SKERRY_RELAY_REGISTRY in the environment), all nodes, and which relay has the link.
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
  try {
    await using stack = new AsyncDisposableStack();
    const desk = await openDesk(values, env);
    stack.defer(() => desk.close());
    const nodes = await desk.nodes();
    const shared = nodes.some(({ relay }) => relay !== undefined);
    const more = (text: string): readonly string[] => (shared ? [text] : []);
    if (values.json === true) print(JSON.stringify(nodes));
    else
      printTable(
        ['NODE', 'LINK', 'SINCE', 'LAST CONTACT', 'APP IDS', 'NOT ANNOUNCED', ...more('RELAY'), 'REASON'],
        nodes.map((node) => row(node, more(node.relay ?? ''))),
      );
    return 0;
  } catch (error) {
    printError(errorText(error));
    return 1;
  }
}

function row(view: NodeView, more: readonly string[]): readonly string[] {
  const { node, state, since, lastContact, enrolled, announced, reason } = view;
  const missing = enrolled.filter((appId) => !announced.includes(appId));
  return [
    node,
    state,
    time(since),
    // A node whose link stands at another relay is in contact there.
    lastContact === undefined ? (state === 'up' ? 'now' : 'never') : time(lastContact),
    announced.join(','),
    missing.join(','),
    ...more,
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
      options: { ...DESK_OPTIONS, json: { type: 'boolean' }, help: { type: 'boolean' } },
    });
  } catch (error) {
    throw new FlagError(`mesh: ${errorText(error)}`);
  }
}
