/**
 * `npm run test:quickstarts -- [--from FOLDER] [--only TEXT] [--python python3.12]`: Dapr's quickstarts in JavaScript and
 * Python run as their READMEs say, with `skerry` for `dapr`. FOLDER is a clone of dapr/quickstarts; without it one is made. Only
 * copies are changed: the resource files that name Redis. What a machine lacks is a reason to leave a language out.
 */

import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, globSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join, relative, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { assemble } from '../../build/build.ts';
import { cacheDir } from '../../build/paths.ts';
import { hostTarget } from '../../build/targets.ts';
import { program } from '../integration/support/package-folder.ts';
import { runQuickstart } from './run-quickstart.ts';
import { noteStatements, replaceResources, startPostgres, writeCommands } from './stand-ins.ts';

const BLOCKS = [
  'service_invocation',
  'state_management',
  'pub_sub',
  'bindings',
  'secrets_management',
  'configuration',
  'cryptography',
];
/** What `orders.json` of the bindings quickstart has. */
const ORDERS = 3;
const SOURCE = 'https://github.com/dapr/quickstarts';

const { values } = parseArgs({
  options: { from: { type: 'string' }, only: { type: 'string' }, python: { type: 'string' } },
});
const print = (line: string): void => void process.stdout.write(`${line}\n`);
const works = (command: string, ...args: string[]): boolean => spawnSync(command, args).status === 0;
const cache = join(cacheDir, 'quickstarts');

/** The folder with the quickstarts, or undefined when it cannot be had. */
function clone(): string | undefined {
  if (values.from !== undefined) return resolve(values.from);
  const folder = join(cache, 'clone');
  if (existsSync(join(folder, 'README.md')) || works('git', 'clone', '--quiet', '--depth=1', SOURCE, folder))
    return folder;
  return undefined;
}

/** Why a language cannot be tried here. */
function missing(language: string): string | undefined {
  if (!works('openssl', 'version')) return 'there is no openssl';
  if (language === 'javascript') return works('npm', '--version') ? undefined : 'there is no npm';
  const python = values.python ?? 'python3';
  // One of the programs needs the f-strings of 3.12.
  if (!works(python, '-c', 'import sys; sys.exit(sys.version_info < (3, 12))'))
    return `${python} is not 3.12 or newer (--python PATH names another one)`;
  const folder = join(cache, 'python');
  return existsSync(join(folder, 'bin/pip3')) || works(python, '-m', 'venv', folder)
    ? undefined
    : `${python} has no venv`;
}

async function run(source: string, name: string): Promise<boolean> {
  const [block = '', language = ''] = name.split('/');
  const work = mkdtempSync(join(tmpdir(), 'skerry-qs-'));
  const [data, commands, sockets] = ['data', 'bin', 'sockets'].map((folder) => join(work, folder)) as [
    string,
    string,
    string,
  ];
  mkdirSync(data);
  mkdirSync(sockets);
  const others = globSync(`${block}/{go,java,csharp,javascript,python}`, { cwd: source }).filter(
    (folder) => folder !== `${block}/${language}`,
  );
  cpSync(join(source, block), join(work, block), {
    recursive: true,
    filter: (path) => !others.includes(relative(source, path)),
  });
  const changed = replaceResources(join(work, block), data);
  writeCommands(commands, program('skerry'), data);
  const postgres = block === 'bindings' ? await startPostgres(sockets, data) : undefined;
  const paths = [
    commands,
    ...(language === 'python' ? [join(cache, 'python/bin')] : []),
    process.env['PATH'],
  ];
  const env = {
    ...process.env,
    PATH: paths.join(delimiter),
    SKERRY_DATA_DIR: join(work, 'node'),
    DAPR_COMPONENTS_SOCKETS_FOLDER: sockets,
  };
  try {
    const outcome = await runQuickstart(join(work, name), env, () => {
      if (postgres !== undefined) noteStatements(postgres, data);
    });
    const { checks, output } = outcome;
    const inserted = postgres === undefined ? ORDERS : noteStatements(postgres, data).length;
    const failures = [...outcome.failures, ...(inserted >= ORDERS ? [] : [`${inserted} orders inserted`])];
    print(`${failures.length === 0 ? 'ok     ' : 'not ok '} ${name}: ${checks} checks ${changed.join(', ')}`);
    for (const failure of failures) print(`        ${failure}`);
    const log = join(cache, 'logs', `${name.replaceAll('/', '-')}.log`);
    mkdirSync(dirname(log), { recursive: true });
    writeFileSync(log, output);
    if (failures.length > 0) print(`        see ${log}`);
    return failures.length === 0;
  } finally {
    await postgres?.close();
    rmSync(work, { recursive: true, force: true });
  }
}

mkdirSync(cache, { recursive: true });
const source = clone();
let [passed, failed] = [0, 0];
if (source === undefined) print(`skipped: ${SOURCE} cannot be cloned here; --from FOLDER names a clone`);
else {
  print(await assemble(hostTarget));
  for (const language of ['javascript', 'python']) {
    const why = missing(language);
    if (why !== undefined) {
      print(`skipped ${language}: ${why}`);
      continue;
    }
    for (const block of BLOCKS)
      for (const readme of globSync(`${block}/${language}/*/README.md`, { cwd: source }).sort()) {
        const name = dirname(readme);
        if (values.only !== undefined && !name.includes(values.only)) continue;
        if (await run(source, name)) passed += 1;
        else failed += 1;
      }
  }
}
print(`${passed} passed, ${failed} failed`);
if (failed > 0) process.exitCode = 1;
