// Dapr's multi-app run file: where paths lead, what wins, what is refused.

import { join } from 'node:path';
import t from 'tap';
import { readRunFile } from '../../../runtime/resources/run-file.ts';

t.test('paths of an app are relative to its folder, common ones to the file', async (t) => {
  const root = t.testdir({
    'dapr.yaml': `
version: 1
common:
  resourcesPath: ./shared
  configFilePath: ./common.yaml
  env: { A: common, B: 2 }
  appProtocol: grpc
apps:
- appDirPath: ./one
  appPort: 3000
  resourcesPath: ../components
  configFilePath: own.yaml
  env: { A: own }
  command: [node, index.js]
- appID: second
  appDirPath: ./two
  appProtocol: http
- appDirPath: three
`,
    two: { '.dapr': { resources: {}, 'config.yaml': '' } },
  });
  const { apps } = await readRunFile(root);
  const [one, two, three] = apps;
  t.match(one, {
    appId: 'one',
    directory: join(root, 'one'),
    resourcesPaths: [join(root, 'components')],
    configFile: join(root, 'one/own.yaml'),
    env: { A: 'own', B: '2' },
    command: ['node', 'index.js'],
    appPort: 3000,
    appProtocol: 'grpc',
  });
  t.match(
    two,
    {
      appId: 'second',
      resourcesPaths: [join(root, 'two/.dapr/resources')],
      configFile: join(root, 'two/.dapr/config.yaml'),
      appProtocol: 'http',
    },
    'the .dapr folder of an app comes before the common section',
  );
  t.match(three, { resourcesPaths: [join(root, 'shared')], configFile: join(root, 'common.yaml') });
});

t.test('a folder stands for its dapr.yaml, which names the node after the folder', async (t) => {
  const root = t.testdir({ plant: { 'dapr.yaml': 'version: 1\napps: [{ appID: a }]' } });
  t.equal((await readRunFile(join(root, 'plant'))).name, 'plant');
  t.equal((await readRunFile(join(root, 'plant/dapr.yaml'))).name, 'plant');
  await t.rejects(readRunFile(root), /dapr\.yaml/, 'a folder without one');
});

t.test('faults name the member', async (t) => {
  const root = t.testdir({
    'a.yaml': 'version: 2\napps: []',
    'b.yaml': 'version: 1\napps: [{ appID: a }, { appID: a }]',
  });
  await t.rejects(readRunFile(join(root, 'a.yaml')), /version: expected 1.*apps: expected at least one app/);
  await t.rejects(readRunFile(join(root, 'b.yaml')), /the app id a is used twice/);
});

t.test('members that are flags, of the common section and of an app; the rest is told', async (t) => {
  const root = t.testdir({
    'dapr.yaml': `
version: 1
name: plant
common:
  logLevel: warn
  maxBodySize: 8Mi
  apiListenAddresses: 127.0.0.1,::1
  appSSL: true
  daprdLogDestination: file
  appLogDestination: fileAndConsole
  appPort: -1
apps:
- appID: a
  logLevel: debug
  readBufferSize: 16
  daprInternalGRPCPort: 50123
  appChannelAddress: 10.0.0.9
  profilePort: -1
  containerImage: a:latest
  colour: blue
`,
  });
  const { apps, ignored, title } = await readRunFile(root);
  const flags = Object.fromEntries(apps[0]?.flags.map(({ flag, value }) => [flag, value]) ?? []);
  t.strictSame(flags, {
    'dapr-listen-addresses': '127.0.0.1,::1',
    'log-level': 'debug',
    'max-body-size': '8Mi',
    'read-buffer-size': '16',
    'app-ssl': 'true',
    'app-channel-address': '10.0.0.9',
    'dapr-internal-grpc-port': '50123',
    'profile-port': '-1',
  });
  t.equal(apps[0]?.logs, 'fileAndConsole');
  t.equal(apps[0]?.appPort, undefined, '-1 is the way to say: none');
  t.equal(title, 'plant');
  t.strictSame(ignored, ['common.daprdLogDestination', 'apps.0.colour']);
});
