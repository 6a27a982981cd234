// Two machines on one wire: each node in a network namespace of its own, found by multicast, called across the link.

import { execFileSync, spawnSync } from 'node:child_process';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { startProcess } from './support/node-process.ts';
import { packageFolder, program } from './support/package-folder.ts';
import { says, until } from './support/until.ts';

const [left, right] = [`skl${process.pid}`, `skr${process.pid}`];
const RIGHT_ADDRESS = '10.213.77.2';

function ip(...args: readonly string[]): void {
  execFileSync('ip', args, { stdio: ['ignore', 'ignore', 'pipe'] });
}

/** Why this machine cannot have namespaces; false when it can. */
function obstacle(): string | false {
  if (process.platform !== 'linux') return 'network namespaces are a matter of Linux';
  if (process.getuid?.() !== 0) return 'network namespaces need root';
  if (spawnSync('ip', ['-V']).error !== undefined) return 'the command ip is not installed';
  const made = spawnSync('ip', ['netns', 'add', left], { encoding: 'utf8' });
  if (made.status !== 0) return `network namespaces cannot be made here: ${made.stderr.trim()}`;
  ip('netns', 'del', left);
  return false;
}

/** Two namespaces with a cable between them; gone with the test. */
function wire(t: Test): void {
  t.teardown(() => {
    for (const name of [left, right]) spawnSync('ip', ['netns', 'del', name]);
  });
  for (const name of [left, right]) ip('netns', 'add', name);
  ip('link', 'add', 'wire0', 'netns', left, 'type', 'veth', 'peer', 'name', 'wire0', 'netns', right);
  for (const [name, address] of [
    [left, '10.213.77.1'],
    [right, RIGHT_ADDRESS],
  ] as const) {
    ip('-n', name, 'addr', 'add', `${address}/24`, 'dev', 'wire0');
    for (const device of ['lo', 'wire0']) ip('-n', name, 'link', 'set', device, 'up');
    ip('-n', name, 'route', 'add', 'default', 'dev', 'wire0');
  }
}

const APP = `require('node:http').createServer((request, response) => {
  request.resume().on('end', () => {
    response.writeHead(203, { 'x-answer': 'from the right' });
    response.end(request.method + ' ' + request.url + ' for ' + request.headers['dapr-caller-app-id']);
  });
}).listen(6000, '127.0.0.1')`;

const CALL = `fetch('http://127.0.0.1:3500/v1.0/invoke/right/method/who?a=1', { method: 'PUT', body: '{}' })
  .then(async (answer) => console.log(answer.status, answer.headers.get('x-answer'), await answer.text()), () => console.log('away'))`;

t.test('a call from one machine to the other', { skip: obstacle() }, async (t) => {
  const directory = t.testdir();
  wire(t);
  const node = join(packageFolder(), 'lib/node');
  const inside = (name: string, command: string, ...args: readonly string[]) =>
    startProcess(t, 'ip', ['netns', 'exec', name, command, ...args]);
  const sidecar = (name: string, appId: string, ...args: readonly string[]) =>
    inside(name, program('daprd'), '--app-id', appId, '--data-dir', join(directory, appId), ...args);

  inside(right, node, '-e', APP);
  const callee = sidecar(right, 'right', '--app-port', '6000');
  const caller = sidecar(left, 'left');
  const answer = await until(
    'the answer of the other machine',
    async () => {
      const { output } = await inside(left, node, '-e', CALL).ended;
      return output.startsWith('203') && output;
    },
    20_000,
  ).catch((error: unknown) => {
    throw new Error(`${error}\n${caller.output()}\n${callee.output()}`);
  });
  t.equal(answer.trim(), '203 from the right PUT /who?a=1 for left');
  await says(t, callee, `right -> ${RIGHT_ADDRESS}`, 'announced by its own address');

  callee.child.kill('SIGTERM');
  t.equal((await callee.ended).code, 0);
  caller.child.kill('SIGTERM');
  t.equal((await caller.ended).code, 0);
});
