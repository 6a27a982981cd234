/** `skerry spool`: the ledger of a running node at the command line, through its HTTP API. */

import { rfc3339, sqlTimestamp } from '../../edge-components/drivers/sqlite/sql-timestamp.ts';
import type { SpoolCounts, SpoolEntry } from '../contracts/spool.ts';
import { FlagError } from '../flags.ts';
import { type Ask, answering, type Env, nodeApi, parseNodeArgs } from './node-api.ts';
import { print, printTable } from './output.ts';

const USAGE = `Usage:
  skerry spool ls [--queue NAME] [--parked]   the queues, or the messages of one
  skerry spool show ID                        where a message is and why, with its content
  skerry spool retry ID | --queue NAME        gives parked messages another turn
  skerry spool drop ID                        drops a message; the ledger says so
  skerry spool export [--queue NAME]          every message as a line of JSON, with its content

Flags: --dapr-http-port PORT (DAPR_HTTP_PORT, 3500), --host HOST (127.0.0.1), --json;
the API token is taken from DAPR_API_TOKEN.
`;

const PAGE = 500;

/** Runs one command; the exit code. */
export async function spoolCommand(args: readonly string[], env: Env): Promise<number> {
  const { values, positionals } = parse(args);
  const [command, id] = positionals;
  if (values.help === true || command === undefined) {
    print(USAGE);
    return command === undefined && values.help !== true ? 1 : 0;
  }
  return answering(() => run(command, id, values, nodeApi(values, env, '/v1.0/skerry/spool')));
}

type Values = ReturnType<typeof parse>['values'];

function parse(args: readonly string[]) {
  return parseNodeArgs('spool', args, { queue: { type: 'string' }, parked: { type: 'boolean' } });
}

async function run(command: string, id: string | undefined, values: Values, ask: Ask): Promise<void> {
  switch (command) {
    case 'ls':
      return values.queue === undefined && values.parked !== true
        ? listQueues(values, ask)
        : listMessages(values, ask);
    case 'show':
      print(JSON.stringify(await ask('GET', `messages/${required(id)}?content=true`), null, 2));
      return;
    case 'retry': {
      const path =
        id === undefined ? `retry?queue=${queueName(values)}` : `messages/${encodeURIComponent(id)}/retry`;
      const { released } = (await ask('POST', path)) as { released: number };
      print(`${released} released`);
      return;
    }
    case 'drop':
      await ask('DELETE', `messages/${required(id)}`);
      print('dropped');
      return;
    case 'export':
      for await (const entry of messages(values, ask))
        print(JSON.stringify(await ask('GET', `messages/${entry.id}?content=true`)));
      return;
    default:
      throw new FlagError(`unknown command: spool ${command} (expected ls, show, retry, drop or export)`);
  }
}

function required(id: string | undefined): string {
  if (id === undefined) throw new FlagError('spool: the id of a message is required');
  return encodeURIComponent(id);
}

function queueName(values: Values): string {
  if (values.queue === undefined) throw new FlagError('spool retry: an id or --queue NAME is required');
  return encodeURIComponent(values.queue);
}

async function listQueues(values: Values, ask: Ask): Promise<void> {
  const { queues } = (await ask('GET', '')) as { queues: (SpoolCounts & { name: string })[] };
  if (values.json === true) {
    print(JSON.stringify(queues));
    return;
  }
  const rows = queues.map((queue) => {
    const dropped = Object.entries(queue.dropped).filter(([, count]) => count > 0);
    const total = dropped.reduce((sum, [, count]) => sum + count, 0);
    const reasons = dropped.map(([reason, count]) => `${reason} ${count}`).join(', ');
    return [
      queue.name,
      ...[queue.accepted, queue.delivered, queue.pending, queue.parked].map(String),
      reasons === '' ? String(total) : `${total} (${reasons})`,
      queue.lastError ?? '',
    ];
  });
  printTable(['QUEUE', 'ACCEPTED', 'DELIVERED', 'PENDING', 'PARKED', 'DROPPED', 'LAST ERROR'], rows);
}

async function listMessages(values: Values, ask: Ask): Promise<void> {
  const rows: string[][] = [];
  for await (const entry of messages(values, ask)) {
    if (values.json === true) print(JSON.stringify(entry));
    rows.push([
      entry.id,
      entry.queue,
      entry.state,
      entry.key ?? '',
      String(entry.attempts ?? 0),
      rfc3339(sqlTimestamp(entry.acceptedAt ?? 0)),
      entry.error ?? '',
    ]);
  }
  if (values.json !== true)
    printTable(['ID', 'QUEUE', 'STATE', 'KEY', 'ATTEMPTS', 'ACCEPTED', 'ERROR'], rows);
}

async function* messages(values: Values, ask: Ask): AsyncGenerator<SpoolEntry> {
  const query = new URLSearchParams({ limit: String(PAGE) });
  if (values.queue !== undefined) query.set('queue', values.queue);
  if (values.parked === true) query.set('state', 'parked');
  for (;;) {
    const { messages: page } = (await ask('GET', `messages?${query}`)) as { messages: SpoolEntry[] };
    yield* page;
    const last = page.at(-1);
    if (last === undefined || page.length < PAGE) return;
    query.set('after', last.id);
  }
}
