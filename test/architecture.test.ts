/** Reads the import lines of the sources and checks the drawing of the floors: imports point down only. */

import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import t from 'tap';

const root = resolve(import.meta.dirname, '..');
const IMPORT =
  /(?:^|\n)\s*(?:import|export)[^'"\n]*?(?:\n[^'"]*?)?from\s+'([^']+)'|import\(\s*'([^']+)'\s*\)|(?:^|\n)import\s+'([^']+)'/g;

/** Which folder may import which others (besides itself). Longest prefix wins. */
const ALLOWED: Readonly<Record<string, readonly string[]>> = {
  'runtime/contracts': [],
  'runtime/generated': [],
  'runtime/platform': ['runtime/contracts'],
  'runtime/building-blocks': ['runtime/contracts'],
  'runtime/components': ['runtime/contracts'],
  'runtime/resiliency': ['runtime/contracts'],
  'runtime/resources': ['runtime/contracts'],
  'runtime/http-client': ['runtime/contracts'],
  'runtime/grpc-client': ['runtime/contracts'],
  'runtime/http': ['runtime/contracts', 'runtime/building-blocks', 'runtime/resiliency'],
  'runtime/grpc': [
    'runtime/contracts',
    'runtime/building-blocks',
    'runtime/resiliency',
    'runtime/grpc-client',
    'runtime/http-client',
    'runtime/generated',
  ],
  'runtime/app-channel': [
    'runtime/contracts',
    'runtime/building-blocks',
    'runtime/http-client',
    'runtime/grpc-client',
    'runtime/generated',
  ],
  'runtime/peer': [
    'runtime/contracts',
    'runtime/building-blocks',
    'runtime/http-client',
    'runtime/grpc-client',
    'runtime/generated',
  ],
  'runtime/security': ['runtime/contracts', 'runtime/grpc-client', 'runtime/generated'],
  'runtime/relay': [
    'runtime/contracts',
    'runtime/grpc',
    'runtime/grpc-client',
    'runtime/http-client',
    'runtime/peer',
    'runtime/security',
    'runtime/generated',
  ],
  'runtime/telemetry': ['runtime/contracts', 'runtime/http-client', 'runtime/grpc-client'],
  'runtime/pluggable': [
    'runtime/contracts',
    'runtime/building-blocks',
    'runtime/grpc-client',
    'runtime/generated',
  ],
  'edge-components/drivers': ['runtime/contracts'],
  'edge-components/drivers/dapr-stream': [
    'runtime/contracts',
    'edge-components/drivers',
    'runtime/grpc-client',
    'runtime/generated',
  ],
  'edge-components/broker': ['runtime/contracts', 'edge-components/drivers'],
  'edge-components': ['runtime/contracts', 'edge-components/drivers', 'edge-components/drivers/dapr-stream'],
  'device-sims': ['runtime/contracts', 'runtime/platform'],
};

/** The top floor sees everything. */
const TOP = [/^runtime\/[^/]+\.ts$/, /^runtime\/cli\//, /^edge-components\/catalog\.ts$/];

/** Packages that one folder (or file) alone may import. */
const OWNERS: Readonly<Record<string, readonly string[]>> = {
  'better-sqlite3': ['edge-components/drivers/sqlite'],
  mqtt: ['edge-components/drivers/mqtt', 'device-sims'],
  aedes: ['edge-components/broker'],
  ws: ['edge-components/broker'],
  'multicast-dns': ['edge-components/drivers/mdns'],
  'cbor-x': ['edge-components/drivers/cbor', 'edge-components/drivers/sqlite', 'device-sims'],
  pino: ['runtime/platform/pino-logger.ts'],
  yaml: ['runtime/resources', 'edge-components/middleware/routeralias'],
  '@marcbachmann/cel-js': ['runtime/building-blocks/pubsub/routing-rules.ts'],
  jose: ['edge-components/middleware/bearer'],
  pg: ['runtime/relay/postgres'],
  croner: ['edge-components/bindings/cron'],
};

interface Import {
  readonly file: string;
  readonly target: string;
}

function sources(folder: string): readonly string[] {
  return readdirSync(join(root, folder), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith('.ts') && !entry.name.endsWith('.d.ts'))
    .map((entry) => relative(root, join(entry.parentPath, entry.name)))
    .filter((file) => !file.startsWith('runtime/generated'));
}

const files = ['runtime', 'edge-components', 'device-sims'].flatMap(sources);
const imports: Import[] = files.flatMap((file) =>
  [...readFileSync(join(root, file), 'utf8').matchAll(IMPORT)].map((match) => ({
    file,
    target: match[1] ?? match[2] ?? match[3] ?? '',
  })),
);

const folderOf = (file: string): string =>
  Object.keys(ALLOWED)
    .filter((folder) => file.startsWith(`${folder}/`))
    .sort((a, b) => b.length - a.length)[0] ?? '';

t.test('there is something to check', (t) => {
  t.ok(files.length > 100, `${files.length} source files`);
  t.ok(imports.length > 300, `${imports.length} imports`);
  t.end();
});

t.test('imports point down', (t) => {
  const wrong = imports.flatMap(({ file, target }) => {
    if (!target.startsWith('.') || TOP.some((pattern) => pattern.test(file))) return [];
    const imported = relative(root, resolve(root, dirname(file), target));
    const from = folderOf(file);
    const to = folderOf(imported);
    return from !== '' && (to === from || ALLOWED[from]?.includes(to)) ? [] : [`${file} -> ${imported}`];
  });
  t.same(wrong, []);
  t.end();
});

t.test('a component folder sees no other component', (t) => {
  const component = (file: string): string | undefined =>
    /^edge-components\/(?!drivers\/|broker\/|catalog)([^/]+\/[^/]+)\//.exec(file)?.[1];
  const wrong = imports.flatMap(({ file, target }) => {
    if (!target.startsWith('.')) return [];
    const imported = component(relative(root, resolve(root, dirname(file), target)));
    const own = component(file);
    return own === undefined || imported === undefined || own === imported ? [] : [`${file} -> ${target}`];
  });
  t.same(wrong, []);
  t.end();
});

t.test('each package has its importing folder', (t) => {
  const wrong = imports.flatMap(({ file, target }) => {
    const name = target.startsWith('@')
      ? target.split('/').slice(0, 2).join('/')
      : (target.split('/')[0] ?? '');
    const owners = OWNERS[name];
    return owners === undefined || owners.some((owner) => file === owner || file.startsWith(`${owner}/`))
      ? []
      : [`${file} imports ${target}`];
  });
  t.same(wrong, []);
  t.end();
});

t.test('files keep to their size', (t) => {
  const tables = new Set([
    'runtime/contracts/error-table.ts',
    'runtime/contracts/operations.ts',
    'runtime/contracts/blocks.ts',
  ]);
  const long = files.filter(
    (file) => !tables.has(file) && readFileSync(join(root, file), 'utf8').split('\n').length > 401,
  );
  t.same(long, []);
  t.end();
});

t.test('every source file opens with what it is', (t) => {
  t.same(
    files.filter((file) => !/^(#!.*\n)?\/(\*\*|\/ )/.test(readFileSync(join(root, file), 'utf8'))),
    [],
  );
  t.end();
});
