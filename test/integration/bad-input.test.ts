// What people get wrong, at start and later: each is answered by the right exit code or status and a message that names the
// file, the field or the option; nothing crashes, nothing hangs.

import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { connect as connectSocket, createServer } from 'node:net';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { call } from './support/http-call.ts';
import { connectDevice } from './support/mqtt-device.ts';
import {
  type Ended,
  freePorts,
  nodesDirectory,
  portFlags,
  runToEnd,
  startSidecar,
} from './support/node-process.ts';
import { program } from './support/package-folder.ts';
import { freePort } from './support/ports.ts';
import { component, writeFiles } from './support/resource-files.ts';
import { says, until } from './support/until.ts';

/** Runs `daprd` on these resources; it is expected to end by itself. */
async function attempt(
  t: Test,
  files: Readonly<Record<string, string>>,
  args: readonly string[] = [],
): Promise<Ended> {
  const ports = await freePorts();
  const folder = writeFiles(nodesDirectory(t), `resources-${ports.http}`, files);
  return runToEnd(t, program('daprd'), [
    '--app-id=bad',
    ...portFlags(ports),
    `--resources-path=${folder}`,
    `--data-dir=${join(nodesDirectory(t), `data-${ports.http}`)}`,
    ...args,
  ]);
}

/** The command line itself is wrong: the same code that daprd's flag parser ends with. */
const USAGE_CODE = 2;

function refusedWith(t: Test, code: number, ended: Ended, ...expected: readonly (string | RegExp)[]): void {
  t.equal(ended.code, code, `exit code ${code}: ${expected.join(' ')}`);
  for (const part of expected) t.match(ended.output, part);
  t.notMatch(ended.output, /^\s+at .*\(/m, 'no stack trace');
}

function refused(t: Test, ended: Ended, ...expected: readonly (string | RegExp)[]): void {
  refusedWith(t, 1, ended, ...expected);
}

t.test('a resource that cannot be used ends the start and says why', async (t) => {
  const good = component('fine', 'state.in-memory');
  const [unknown, missing] = await Promise.all([
    attempt(t, { 'good.yaml': good, 'odd.yaml': component('odd', 'state.papyrus') }),
    attempt(t, { 'cloud.yaml': component('cloud', 'bindings.dapr', {}) }),
  ]);
  refused(t, unknown, 'odd', 'state.papyrus/v1');
  refused(t, missing, 'cloud', 'baseUrl');
  const [unreadable, wrong] = await Promise.all([
    attempt(t, {}, ['--resources-path=/nowhere/at/all']),
    attempt(t, {
      'queue.yaml': component('cloud', 'bindings.dapr', { baseUrl: 'http://x', queueMaxMessages: 'lots' }),
    }),
  ]);
  refused(t, unreadable, '/nowhere/at/all');
  refused(t, wrong, 'cloud', 'queueMaxMessages', 'lots');
});

t.test('--validate finds every fault at once and starts nothing', async (t) => {
  const ended = await attempt(
    t,
    {
      'broken.yaml': 'apiVersion: dapr.io/v1alpha1\nkind: Component\nmetadata: [unclosed\n',
      'misspelt.yaml': component('meter', 'bindings.mqtt3', { url: 'embedded:', topik: 'x' }),
      'twin-1.yaml': component('twin', 'state.in-memory'),
      'twin-2.yaml': component('twin', 'pubsub.in-memory'),
      'odd.yaml': component('odd', 'state.papyrus'),
      'lost.yaml': component(
        'lost',
        'state.sqlite',
        { connectionString: { secretKeyRef: { name: 'a', key: 'a' } } },
        { secretStore: 'nowhere' },
      ),
    },
    ['--validate'],
  );
  t.equal(ended.code, 1);
  t.match(ended.output, 'broken.yaml');
  t.match(ended.output, /meter.*topic/);
  t.match(ended.output, /twin/);
  t.match(ended.output, 'state.papyrus');
  t.match(ended.output, /lost.*secret store nowhere/);
  const fine = await attempt(t, { 'good.yaml': component('fine', 'state.in-memory') }, ['--validate']);
  t.equal(fine.code, 0, fine.output);
});

t.test('options', async (t) => {
  const run = (...args: string[]): Promise<Ended> => runToEnd(t, program('daprd'), args);
  const [none, unknown, notPort, sameAsApp, config, up, command] = await Promise.all([
    run(),
    run('--app-id=x', '--no-such-flag'),
    run('--app-id=x', '--dapr-http-port=many'),
    run('--app-id=x', '--app-port=3500'),
    run('--app-id=x', '--config=/nowhere/config.yaml'),
    runToEnd(t, program('skerry'), ['up', '-f', '/nowhere/dapr.yaml']),
    runToEnd(t, program('skerry'), ['fly']),
  ]);
  refused(t, none, 'app-id');
  refusedWith(t, USAGE_CODE, unknown, '--no-such-flag');
  refused(t, notPort, 'dapr-http-port', 'many');
  refused(t, sameAsApp, 'app-port');
  refused(t, config, '/nowhere/config.yaml');
  refused(t, up, '/nowhere/dapr.yaml');
  refused(t, command, 'fly');
});

t.test('ports and folders that cannot be had', async (t) => {
  const directory = t.testdir({ 'not-a-folder': 'a file' });
  const taken = createServer();
  t.teardown(() => taken.close());
  await new Promise<void>((resolve) => taken.listen(0, '127.0.0.1', resolve));
  const { port } = taken.address() as { port: number };
  const durable = { 'store.yaml': component('store', 'state.sqlite', { connectionString: 'skerry:system' }) };
  const [http, grpc, mqtt, folder] = await Promise.all([
    attempt(t, {}, [`--dapr-http-port=${port}`]),
    attempt(t, {}, [`--dapr-grpc-port=${port}`]),
    attempt(t, {}, [`--mqtt-port=${port}`]),
    attempt(t, durable, [`--data-dir=${join(directory, 'not-a-folder', 'data')}`]),
  ]);
  refused(t, http, String(port), /address already in use|EADDRINUSE|in use/);
  refused(t, grpc, String(port), /address already in use|EADDRINUSE|in use/);
  refused(t, mqtt, String(port), /mqtt-port/);
  refused(t, folder, 'not-a-folder', '--data-dir');
});

t.test('two nodes do not share a data folder', async (t) => {
  const resources = [component('store', 'state.sqlite', { connectionString: 'skerry:system' })];
  const node = await startSidecar(t, { appId: 'first', resources });
  const second = await attempt(t, {}, [
    '--mqtt-port',
    String(await freePort()),
    `--data-dir=${node.dataDir}`,
  ]);
  refused(t, second, node.dataDir);
  t.equal((await call(`${node.base}/v1.0/healthz`)).status, 204, 'the first one goes on');
});

t.test(
  'an app that never listens: the sidecar serves, says what it waits for, and ends when asked',
  async (t) => {
    const appPort = await freePort();
    const node = await startSidecar(t, { appId: 'waiting', appPort, healthy: false });
    await until('outbound health', async () => {
      const answer = await call(`${node.base}/v1.0/healthz/outbound`).catch(() => undefined);
      return answer?.status === 204;
    });
    t.equal((await call(`${node.base}/v1.0/healthz`)).status, 500, 'not ready');
    await says(t, node, `waiting on port ${appPort}`);
    t.equal((await node.stop()).code, 0);
  },
);

t.test('nonsense on the wire costs only its sender', async (t) => {
  const node = await startSidecar(t, {
    appId: 'wire',
    resources: [
      component('pubsub', 'pubsub.mqtt3', { url: 'embedded:' }),
      component('store', 'state.in-memory'),
    ],
    args: ['--max-body-size=64Ki'],
  });
  const error = (text: string): string => (JSON.parse(text) as { errorCode: string }).errorCode;
  const device = await connectDevice(t, node.mqttUrl);
  const socket = connectSocket(node.ports.mqtt, '127.0.0.1');
  socket.on('error', () => {});
  socket.write('GET / HTTP/1.1\r\n\r\n');
  await once(socket, 'close');
  const wildcard = await call(`${node.base}/v1.0/publish/pubsub/devices/%2B/set`, { body: { a: 1 } });
  t.ok(
    wildcard.status >= 400 && wildcard.status < 600,
    `a wildcard is no topic to publish to: ${wildcard.status}`,
  );
  t.match(wildcard.text, /\+|wildcard/);
  const large = await call(`${node.base}/v1.0/state/store`, {
    body: [{ key: 'a', value: 'x'.repeat(100_000) }],
  });
  t.same([large.status, error(large.text)], [400, 'ERR_MALFORMED_REQUEST'], 'a body over the limit');
  t.match(large.text, 'stream too large');
  const broken = await call(`${node.base}/v1.0/state/store`, { body: '[{"key":"a",' });
  t.same([broken.status, error(broken.text)], [400, 'ERR_MALFORMED_REQUEST']);
  const route = await call(`${node.base}/v1.0/nonsense`);
  t.equal(route.status, 404);
  const nowhere = await call(`${node.base}/v1.0/publish/nowhere/topic`, { body: {} });
  t.same([nowhere.status, error(nowhere.text)], [404, 'ERR_PUBSUB_NOT_FOUND']);
  await device.publishAsync('still/there', 'yes', { qos: 1 });
  t.equal((await call(`${node.base}/v1.0/healthz`)).status, 204);
  t.equal((await node.stop()).code, 0);
});

t.test("the node's file is no database any more: it is set aside, told, and the node starts", async (t) => {
  const store = [component('store', 'state.sqlite', { connectionString: 'skerry:system' })];
  const first = await startSidecar(t, { appId: 'hurt', resources: store });
  t.equal((await call(`${first.base}/v1.0/state/store`, { body: [{ key: 'a', value: 1 }] })).status, 204);
  await first.stop();
  const file = join(first.dataDir, 'skerry.db');
  const content = 'this is no database, whatever its name says'.repeat(200);
  writeFileSync(file, content);
  const second = await startSidecar(t, { appId: 'hurt', resources: store, dataDir: first.dataDir });
  await says(t, second, /set aside/);
  t.equal(readFileSync(`${file}.damaged-1/skerry.db`, 'utf8'), content, 'kept as it was');
  const report = JSON.parse(readFileSync(`${file}.damaged-1/report.json`, 'utf8')) as { reason: string };
  t.match(report.reason, /does not begin like a database/);
  t.equal((await call(`${second.base}/v1.0/state/store`, { body: [{ key: 'b', value: 2 }] })).status, 204);
  t.equal((await second.stop()).code, 0);
});

t.test('a file of others that is no database is told and left as it is', async (t) => {
  const file = join(nodesDirectory(t), 'holiday.jpg');
  const content = 'this is no database, whatever its name says'.repeat(200);
  writeFileSync(file, content);
  const ended = await attempt(t, {
    'store.yaml': component('store', 'state.sqlite', { connectionString: file }),
  });
  refused(t, ended, file, /corrupt|not a database/);
  t.equal(readFileSync(file, 'utf8'), content);
});
