// The commands as people and init systems start them: from any folder, through a link, with an empty environment; signals
// and exit codes are the program's own.

import { mkdirSync, symlinkSync } from 'node:fs';
import { join, relative } from 'node:path';
import t, { type Test } from 'tap';
import { call } from './support/http-call.ts';
import {
  type ChildOptions,
  type Ended,
  freePorts,
  healthy,
  portFlags,
  runToEnd,
  startProcess,
  startSidecar,
} from './support/node-process.ts';
import { packageFolder, program } from './support/package-folder.ts';
import { component } from './support/resource-files.ts';
import { until } from './support/until.ts';

/** Prints the version, which is Dapr's by form. */
async function version(t: Test, command: string, options: ChildOptions = {}): Promise<Ended> {
  return runToEnd(t, command, ['--version'], options);
}

const VERSION = /^\d+\.\d+\.\d+\S*\n$/;

t.test('from another folder, by a relative path, through links, with no environment at all', async (t) => {
  const directory = t.testdir({ bin: {}, elsewhere: {} });
  const link = join(directory, 'bin/daprd');
  symlinkSync(program('daprd'), link);
  symlinkSync('daprd', join(directory, 'bin/dapr-of-links'));
  const cwd = join(directory, 'elsewhere');
  const answers = await Promise.all([
    version(t, program('daprd'), { cwd }),
    version(t, relative(cwd, program('daprd')), { cwd }),
    version(t, link, { cwd }),
    version(t, '../bin/dapr-of-links', { cwd }),
    version(t, program('daprd'), { env: {}, cwd: '/' }),
    version(t, 'daprd', { env: { PATH: `${join(directory, 'bin')}:/usr/bin:/bin` }, cwd }),
  ]);
  for (const answer of answers) {
    t.equal(answer.code, 0, answer.output);
    t.match(answer.output, VERSION);
  }
});

t.test('version and help', async (t) => {
  const run = (name: 'daprd' | 'skerry', ...args: string[]): Promise<Ended> =>
    runToEnd(t, program(name), args);
  const [help, skerry, skerryHelp, info] = await Promise.all([
    run('daprd', '--help'),
    run('skerry', '--version'),
    run('skerry', 'help'),
    run('daprd', '--build-info'),
  ]);
  t.equal(help.code, 0);
  for (const flag of ['--app-id', '--dapr-http-port', '--resources-path', '--mqtt-port', '--data-dir'])
    t.match(help.output, flag);
  t.match(skerry.output, /^skerry \d+\.\d+\.\d+/);
  t.match(skerryHelp.output, /skerry run --app-id/);
  t.match(info.output, /Version: .*\nGit Commit: .*\nGit Version: /);
  t.same([skerry.code, skerryHelp.code, info.code], [0, 0, 0]);
});

t.test('signals and exit codes', async (t) => {
  const resources = [component('store', 'state.sqlite', { connectionString: 'skerry:system' })];
  const nodes = await Promise.all([
    startSidecar(t, { appId: 'by-term', resources }),
    startSidecar(t, { appId: 'by-int', resources }),
    startSidecar(t, { appId: 'by-call', resources }),
  ]);
  const [term, int, byCall] = nodes;
  const [first, second] = await Promise.all([term.stop('SIGTERM'), int.stop('SIGINT')]);
  t.same([first.code, first.signal, second.code, second.signal], [0, null, 0, null]);
  t.match(first.output, 'Daprd shutdown gracefully');
  t.equal((await call(`${byCall.base}/v1.0/shutdown`, { method: 'POST' })).status, 204);
  t.equal((await byCall.ended).code, 0);
});

t.test('skerry run starts the app, gives it its ports, and ends with its code', async (t) => {
  const directory = t.testdir();
  const ports = await freePorts();
  const flags = [
    ...portFlags(ports),
    '--mqtt-port',
    String(ports.mqtt),
    '--data-dir',
    join(directory, 'data'),
  ];
  const node = join(packageFolder(), 'lib/node');
  const script =
    'for (let n = 0; n < 500; n += 1) console.log("ports", process.env.DAPR_HTTP_PORT, process.env.DAPR_GRPC_PORT, n); process.exitCode = 7';
  const failed = await runToEnd(t, program('skerry'), [
    'run',
    '--app-id',
    'brief',
    ...flags,
    '--',
    node,
    '-e',
    script,
  ]);
  t.equal(failed.code, 7, "the app's exit code");
  t.match(failed.output, `== APP - brief == ports ${ports.http} ${ports.grpc} 0`);
  t.match(failed.output, `${ports.grpc} 499`, 'up to its last line');

  const endless =
    'setInterval(() => {}, 1e6); process.on("SIGTERM", () => { console.log("bye"); process.exit(0) }); console.log("ready")';
  const running = startProcess(t, program('skerry'), [
    'run',
    '--app-id',
    'long',
    ...flags,
    '--',
    node,
    '-e',
    endless,
  ]);
  await healthy({ base: `http://127.0.0.1:${ports.http}`, ...running });
  await until('the app', () => running.output().includes('== APP - long == ready'));
  running.child.kill('SIGINT');
  const ended = await running.ended;
  t.equal(ended.code, 0);
  t.match(ended.output, '== APP - long == bye', 'the app is asked to end first');
  const none = await runToEnd(t, program('skerry'), [
    'run',
    '--app-id',
    'none',
    ...flags,
    '--',
    '/no/such/command',
  ]);
  t.not(none.code, 0);
  t.match(none.output, '/no/such/command');
});

t.test('a folder without write permission is no obstacle to starting', async (t) => {
  const home = join(t.testdir(), 'home');
  mkdirSync(home, { mode: 0o500 });
  const ports = await freePorts();
  const running = startProcess(t, program('daprd'), ['--app-id=plain', ...portFlags(ports)], {
    env: { HOME: home },
    cwd: home,
  });
  await healthy({ base: `http://127.0.0.1:${ports.http}`, ...running });
  running.child.kill('SIGTERM');
  t.equal((await running.ended).code, 0);
});
