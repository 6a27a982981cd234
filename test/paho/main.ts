/**
 * The interoperability tests of Eclipse Paho against the built package: `SKERRY_TEST_PAHO=<checkout of
 * eclipse/paho.mqtt.testing> node test/paho/main.ts [name...]`. Each test runs in a process of its own with a time limit,
 * since some loop for ever when they fail. Exits with 1 when one fails. Needs python3.
 */

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

const LIMIT_MS = 90_000;
const ROOT = join(import.meta.dirname, '../..');
const PACKAGE = process.env['SKERRY_PACKAGE'] ?? join(ROOT, `build/out/linux-${process.arch}`);
const checkout = process.env['SKERRY_TEST_PAHO'];
const print = (line: string): void => void process.stdout.write(`${line}\n`);
if (checkout === undefined) {
  print('SKERRY_TEST_PAHO must name a checkout of https://github.com/eclipse/paho.mqtt.testing');
  process.exit(2);
}
const suites = join(checkout, 'interoperability');

/** Runs one test of a suite: the port and the test stand in the file and not in its arguments. */
const RUNNER = `
import sys
suite, test, port = sys.argv[1:4]
sys.path.insert(0, '.')
source = open(suite + '.py').read().replace('port = 1883', 'port = ' + port)
source = source.replace('unittest.main()', "unittest.main(argv=['x', 'Test.' + '%s'])" % test)
sys.argv = [suite + '.py']
exec(compile(source, suite + '.py', 'exec'), globals())
`;

/** What the tests expect of a broker: a topic that may not be subscribed, small limits. */
const ACL = 'topic readwrite #\ntopic readwrite $TopicA/#\ntopic deny test/nosubscribe\n';

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as { port: number };
  server.close();
  return port;
}

const folder = mkdtempSync(join(tmpdir(), 'skerry-paho-'));
const port = await freePort();
writeFileSync(join(folder, 'acl'), ACL);
writeFileSync(join(folder, 'runner.py'), RUNNER);
const broker = spawn(
  join(PACKAGE, 'daprd'),
  [
    ...['--app-id', 'paho', '--data-dir', join(folder, 'data'), '--log-level', 'error'],
    ...['--dapr-http-port', `${await freePort()}`, '--dapr-grpc-port', `${await freePort()}`],
    ...['--dapr-internal-grpc-port', `${await freePort()}`, '--enable-metrics=false'],
    ...['--mqtt-port', `${port}`, '--mqtt-acl-file', join(folder, 'acl')],
    ...['--mqtt-max-keep-alive', '60', '--mqtt-receive-maximum', '20'],
  ],
  { stdio: ['ignore', 'ignore', 'inherit'] },
);
for (let open = false; !open; await sleep(100)) {
  const socket = connect(port, '127.0.0.1');
  open = await new Promise((resolve) => {
    socket.once('connect', () => resolve(true));
    socket.once('error', () => resolve(false));
  });
  socket.destroy();
}

function testsOf(suite: string): string[] {
  const source = readFileSync(join(suites, `${suite}.py`), 'utf8');
  const names = [...source.matchAll(/^ {4}def (test\w+|will_message_test)\(/gm)].map(
    ([, name]) => name ?? '',
  );
  const wanted = process.argv.slice(2);
  return wanted.length === 0 ? names : names.filter((name) => wanted.includes(name));
}

async function passes(suite: string, test: string): Promise<boolean> {
  const child = spawn('python3', [join(folder, 'runner.py'), suite, test, String(port)], {
    cwd: suites,
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: LIMIT_MS,
    killSignal: 'SIGKILL',
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (chunk: Buffer) => {
      output = (output + chunk.toString()).slice(-4000);
    });
  }
  await once(child, 'close');
  const passed = child.exitCode === 0 && /^OK$/m.test(output);
  if (!passed) print(output.replace(/^/gm, '    '));
  return passed;
}

let failed = 0;
try {
  for (const suite of ['client_test', 'client_test5']) {
    const tests = testsOf(suite);
    let passed = 0;
    for (const test of tests) {
      const ok = await passes(suite, test);
      print(`${ok ? 'pass' : 'FAIL'} ${suite} ${test}`);
      if (ok) passed += 1;
    }
    print(`${suite}: ${passed} of ${tests.length}`);
    failed += tests.length - passed;
  }
} finally {
  broker.kill();
  await once(broker, 'exit');
  rmSync(folder, { recursive: true, force: true });
}
process.exit(failed === 0 ? 0 : 1);
