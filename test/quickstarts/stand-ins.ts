/**
 * What stands in for Redis and Postgres of the quickstarts: the resource files that name Redis get our components, a
 * `docker` that knows the commands of the READMEs, and a pluggable binding `bindings.postgres` that notes the statements.
 */

import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { type PluggableComponent, startPluggable } from '../support/pluggable-component.ts';

/** Our component in place of one of theirs, by type. */
const REPLACED: Readonly<Record<string, (folder: string) => readonly [string, Record<string, string>]>> = {
  'state.redis': (folder) => ['state.sqlite', { connectionString: join(folder, 'state.db') }],
  'pubsub.redis': () => ['pubsub.mqtt3', { url: 'embedded:' }],
  'configuration.redis': (folder) => [
    'configuration.sqlite',
    { connectionString: join(folder, 'config.db'), pollInterval: '200ms' },
  ],
};

/** Writes the files anew whose component is one that we do not have, and says which. */
export function replaceResources(quickstart: string, data: string): readonly string[] {
  const changed: string[] = [];
  for (const name of ['components', 'resources']) {
    const folder = join(quickstart, name);
    if (!existsSync(folder)) continue;
    for (const file of readdirSync(folder)) {
      const text = readFileSync(join(folder, file), 'utf8');
      const type = /^ {2}type: (\S+)/m.exec(text)?.[1] ?? '';
      const replaced = REPLACED[type]?.(data);
      if (replaced === undefined) continue;
      const [ours, items] = replaced;
      const metadata = Object.entries(items).map(
        ([item, value]) => `  - name: ${item}\n    value: "${value}"\n`,
      );
      const spec = `spec:\n  type: ${ours}\n  version: v1\n  metadata:\n${metadata.join('')}`;
      writeFileSync(join(folder, file), `${text.slice(0, text.indexOf('spec:'))}${spec}`);
      changed.push(`${type} is ${ours}`);
    }
  }
  return changed;
}

/** A folder for the PATH: `dapr` is ours, `docker` calls this file. */
export function writeCommands(folder: string, skerry: string, data: string): void {
  mkdirSync(folder, { recursive: true });
  const script = (name: string, line: string): void =>
    writeFileSync(join(folder, name), `#!/bin/sh\n${line}\n`, { mode: 0o755 });
  script('dapr', `exec '${skerry}' "$@"`);
  script(
    'docker',
    `SKERRY_QUICKSTART_DATA='${data}' exec '${process.execPath}' '${import.meta.filename}' "$@"`,
  );
}

const STATEMENTS = 'statements.json';

/** The binding to Postgres. Its socket's name is its type; the statements lie where `docker` finds them. */
export async function startPostgres(sockets: string, data: string): Promise<PluggableComponent> {
  const component = await startPluggable({
    socket: join(sockets, 'postgres.sock'),
    serves: ['OutputBinding'],
    operations: ['exec', 'query', 'close'],
  });
  writeFileSync(join(data, STATEMENTS), '[]');
  return component;
}

/** Statements that reached the binding so far. */
export function noteStatements(component: PluggableComponent, data: string): readonly string[] {
  const statements = component
    .to('OutputBinding/Invoke')
    .map(({ request }) => (request as { metadata?: Record<string, string> }).metadata?.['sql'] ?? '');
  writeFileSync(join(data, STATEMENTS), JSON.stringify(statements));
  return statements;
}

/** What is asked of docker: set configuration items, show the table of orders; containers are always up. */
function docker(args: readonly string[], data: string): void {
  const [, container, program, command, ...rest] = args;
  if (args[0] !== 'exec') return;
  if (container === 'dapr_redis' && program === 'redis-cli' && command === 'MSET') {
    setItems(rest, data);
    process.stdout.write('OK\n');
    return;
  }
  if (container === 'postgres') {
    const rows = (JSON.parse(readFileSync(join(data, STATEMENTS), 'utf8')) as string[]).map(
      (statement) => /values \((.*)\)/.exec(statement)?.[1]?.split(', ') ?? [],
    );
    const lines = rows.map(([id, customer, price]) => `       ${id} | ${customer} | ${price}`);
    process.stdout.write(
      ` orderid |  customer  | price  \n---------+------------+--------\n${lines.join('\n')}\n`,
    );
    process.exitCode = rows.length === 0 ? 1 : 0;
    return;
  }
  throw new Error(`docker ${args.join(' ')}: nobody stands in for that`);
}

function setItems(pairs: readonly string[], data: string): void {
  const database = new DatabaseSync(join(data, 'config.db'));
  database.exec(
    'CREATE TABLE IF NOT EXISTS configuration (key TEXT PRIMARY KEY, value TEXT, version TEXT, metadata TEXT)',
  );
  const put = database.prepare(
    "INSERT OR REPLACE INTO configuration (key, value, version, metadata) VALUES (?, ?, '', '{}')",
  );
  for (let at = 0; at + 1 < pairs.length; at += 2) put.run(pairs[at] ?? '', pairs[at + 1] ?? '');
  database.close();
}

if (import.meta.main) docker(process.argv.slice(2), process.env['SKERRY_QUICKSTART_DATA'] ?? '.');
