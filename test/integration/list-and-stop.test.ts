// `skerry list` and `skerry stop` as scripts use them, and what a run file says about logs and limits.

import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { call } from './support/http-call.ts';
import { freePorts, healthy, nodesDirectory, runToEnd, startProcess } from './support/node-process.ts';
import { program } from './support/package-folder.ts';
import { says, until } from './support/until.ts';

/** A user's environment of their own; paths of sockets must be short. */
function userEnvironment(t: Test): Record<string, string | undefined> {
  const folder = mkdtempSync(join(tmpdir(), 'skerry-ls-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  return { ...process.env, XDG_RUNTIME_DIR: folder };
}

interface Listed {
  readonly appId: string;
  readonly daprdPid: number;
}

t.test('apps of a run file are listed, stopped one by one, and the last one ends the node', async (t) => {
  const env = userEnvironment(t);
  const skerry = (...args: string[]) => runToEnd(t, program('skerry'), args, { env });
  t.equal((await skerry('list')).output, 'No Dapr instances found.\n');

  const [a, b] = [await freePorts(), await freePorts()];
  const app = (appID: string, { http, grpc, metrics }: typeof a, more: object) => ({
    appID,
    daprHTTPPort: http,
    daprGRPCPort: grpc,
    metricsPort: metrics,
    command: ['sh', '-c', `echo ${appID} runs; exec sleep 60`],
    ...more,
  });
  const directory = t.testdir({
    'dapr.yaml': JSON.stringify({
      version: 1,
      name: 'plant',
      common: { maxBodySize: '1Ki', appLogDestination: 'file', daprdLogDestination: 'console' },
      apps: [
        app('alpha', a, { logLevel: 'debug' }),
        app('beta', b, { logLevel: 'error', maxBodySize: '1Mi' }),
      ],
    }),
  });
  const node = startProcess(
    t,
    program('skerry'),
    ['up', '-f', directory, '--mqtt-port=off', `--data-dir=${nodesDirectory(t)}`],
    { env },
  );
  for (const { http } of [a, b]) await healthy({ base: `http://127.0.0.1:${http}`, ...node });
  const listed = async (): Promise<Listed[]> => JSON.parse((await skerry('list', '-o', 'json')).output);
  await until('both apps', async () => (await listed()).length === 2);
  const rows = await listed();
  t.match(rows, [
    {
      appId: 'alpha',
      httpPort: a.http,
      grpcPort: a.grpc,
      appPort: 0,
      metricsEnabled: true,
      command: 'sh -c echo alpha ...',
      maxRequestBodySize: 1024,
      runTemplatePath: join(directory, 'dapr.yaml'),
      runTemplateName: 'plant',
    },
    { appId: 'beta', maxRequestBodySize: 1024 * 1024 },
  ]);
  t.match((await skerry('list')).output, /^APP ID +HTTP PORT +GRPC PORT .*\nalpha +\d+ /);
  t.match((await skerry('list', '--output=yaml')).output, /^- appId: "alpha"\n {2}httpPort: \d+\n/);
  await says(t, node, /without effect here: common\.daprdLogDestination\n/);
  const logs = join(directory, '.dapr/logs');
  await until('the log of an app', () => existsSync(logs) && readdirSync(logs).length === 2);
  const [first = ''] = readdirSync(logs).sort();
  t.match(first, /^alpha_app_\d{14}\.log$/);
  await until('its line', () => readFileSync(join(logs, first), 'utf8') === 'alpha runs\n');
  t.notMatch(node.output(), /alpha runs/);
  const large = { body: [{ key: 'k', value: 'x'.repeat(2000) }] };
  const store = 'v1.0/state/statestore';
  t.equal((await call(`http://127.0.0.1:${a.http}/${store}`, large)).status, 400, 'maxBodySize holds');
  t.equal((await call(`http://127.0.0.1:${b.http}/${store}`, large)).status, 204, 'and an app has its own');
  const lines = node.output().split('\n');
  t.ok(lines.some((line) => /level=info .*app_id=alpha/.test(line)));
  t.notOk(
    lines.some((line) => /level=info .*app_id=beta/.test(line)),
    'logLevel of an app',
  );

  const missing = await skerry('stop', '--app-id', 'gamma');
  t.strictSame(
    [missing.code, missing.output],
    [1, "failed to stop app id gamma: couldn't find app id gamma\n"],
  );
  const stopped = await skerry('stop', '-a', 'alpha');
  t.strictSame([stopped.code, stopped.output], [0, 'app stopped successfully: alpha\n']);
  await t.rejects(call(`http://127.0.0.1:${a.http}/v1.0/healthz`), 'its ports are free');
  t.equal((await call(`http://127.0.0.1:${b.http}/v1.0/healthz`)).status, 204, 'the other one goes on');
  t.strictSame(
    (await listed()).map(({ appId }) => appId),
    ['beta'],
  );
  const all = await skerry('stop', '--run-file', directory);
  t.strictSame([all.code, all.output], [0, 'Dapr and app processes stopped successfully\n']);
  t.equal((await node.ended).code, 0);
  t.strictSame(await listed(), []);
});

t.test('a node of skerry run is stopped by its app id; a killed one is forgotten', async (t) => {
  const env = userEnvironment(t);
  const skerry = (...args: string[]) => runToEnd(t, program('skerry'), args, { env });
  for (const end of ['stop', 'kill'] as const) {
    const { http, grpc, metrics } = await freePorts();
    const node = startProcess(
      t,
      program('skerry'),
      [
        'run',
        '--app-id=solo',
        `--dapr-http-port=${http}`,
        `--dapr-grpc-port=${grpc}`,
        `--metrics-port=${metrics}`,
        '--mqtt-port=off',
        `--data-dir=${nodesDirectory(t)}`,
      ],
      { env },
    );
    await healthy({ base: `http://127.0.0.1:${http}`, ...node });
    await until('the node', async () => (await skerry('list')).output.includes('solo'));
    if (end === 'kill') node.child.kill('SIGKILL');
    else t.match(await skerry('stop', 'solo'), { code: 0, output: 'app stopped successfully: solo\n' });
    await node.ended;
    t.equal((await skerry('list')).output, 'No Dapr instances found.\n');
  }
  t.match(await skerry('stop'), { code: 1, output: /stop needs --app-id ID or --run-file FILE/ });
  t.match(await skerry('list', '-o', 'xml'), { code: 1, output: /expected json, yaml or table/ });
});
