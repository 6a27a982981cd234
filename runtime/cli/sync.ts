/** `skerry sync`: the flows of a running node at the command line, through its HTTP API. */

import type { SyncFlowStatus } from '../contracts/sync-status.ts';
import { FlagError } from '../flags.ts';
import { type Ask, answering, type Env, nodeApi, parseNodeArgs } from './node-api.ts';
import { print, printTable } from './output.ts';

const USAGE = `Usage:
  skerry sync status         every flow: link, lag, conflicts, last contact, bytes of today
  skerry sync retry [FLOW]   gives flows that rest with an error, and refused keys, another turn

Flags: --dapr-http-port PORT (DAPR_HTTP_PORT, 3500), --host HOST (127.0.0.1), --json;
the API token is taken from DAPR_API_TOKEN.
`;

const KIBI = 1024;
const UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];

/** Runs one command; the exit code. */
export async function syncCommand(args: readonly string[], env: Env): Promise<number> {
  const { values, positionals } = parseNodeArgs('sync', args, {});
  const [command, flow] = positionals;
  if (values.help === true || command === undefined) {
    print(USAGE);
    return command === undefined && values.help !== true ? 1 : 0;
  }
  return answering(() => run(command, flow, values.json === true, nodeApi(values, env, '/v1.0/skerry/sync')));
}

async function run(command: string, flow: string | undefined, asJson: boolean, ask: Ask): Promise<void> {
  switch (command) {
    case 'status': {
      const { flows } = (await ask('GET', '')) as { readonly flows: readonly SyncFlowStatus[] };
      if (asJson) print(JSON.stringify(flows));
      else showFlows(flows);
      return;
    }
    case 'retry': {
      const query = flow === undefined ? '' : `?flow=${encodeURIComponent(flow)}`;
      const { woken } = (await ask('POST', `retry${query}`)) as { readonly woken: number };
      print(`${woken} woken`);
      return;
    }
    default:
      throw new FlagError(`unknown command: sync ${command} (expected status or retry)`);
  }
}

function showFlows(flows: readonly SyncFlowStatus[]): void {
  const heads = [
    'FLOW',
    'WAY',
    'LINK',
    'LAG',
    'CONFLICTS',
    'REFUSED',
    'LAST CONTACT',
    'TODAY UP',
    'TODAY DOWN',
    'REASON',
  ];
  printTable(
    heads,
    flows.map((flow) => [
      flow.name,
      flow.direction,
      flow.link,
      flow.lag.messages === 0
        ? '0'
        : `${flow.lag.messages} (${sizeText(flow.lag.bytes)}, ${flow.lag.seconds}s)`,
      String(flow.conflicts),
      String(flow.refused),
      flow.lastContact ?? '-',
      sizeText(flow.bytesToday.up),
      sizeText(flow.bytesToday.down),
      flow.reason ?? '',
    ]),
  );
}

function sizeText(bytes: number): string {
  const power = bytes < KIBI ? 0 : Math.min(UNITS.length - 1, Math.floor(Math.log(bytes) / Math.log(KIBI)));
  const size = bytes / KIBI ** power;
  return `${power === 0 ? size : size.toFixed(1)} ${UNITS[power]}`;
}
