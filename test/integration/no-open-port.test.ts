// No port is open at the edge: a packet filter in the edge's own network namespace drops every connection from outside and
// counts what it dropped. Calls by app id work all the same, both ways, HTTP and gRPC. The cloud's sidecars are Skerry, or real
// ones (SKERRY_TEST_DAPRD names a daprd).

import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import t, { type Test } from 'tap';
import { nodesDirectory, portFlags, startProcess } from './support/node-process.ts';
import { packageFolder, program } from './support/package-folder.ts';
import { realProgram } from './support/real-dapr.ts';
import { aloneConfiguration } from './support/relay-process.ts';
import { writeResources } from './support/resource-files.ts';
import { until } from './support/until.ts';

const { path: DAPRD, missing: withoutDaprd } = realProgram('SKERRY_TEST_DAPRD', 'daprd');
const CLOUD = '10.213.79.1';
const EDGE = '10.213.79.2';
const NFT = ['/usr/sbin/nft', '/sbin/nft', '/usr/bin/nft'].find((path) => existsSync(path)) ?? 'nft';
const root = resolve(import.meta.dirname, '../..');

function ip(...args: readonly string[]): void {
  execFileSync('ip', args, { stdio: ['ignore', 'ignore', 'pipe'] });
}

/** Why this machine cannot show it; false when it can. */
function obstacle(): string | false {
  if (process.platform !== 'linux') return 'network namespaces are a matter of Linux';
  if (process.getuid?.() !== 0) return 'network namespaces need root';
  if (spawnSync('ip', ['-V']).error !== undefined) return 'the command ip is not installed';
  const name = `sktry${process.pid}`;
  const made = spawnSync('ip', ['netns', 'add', name], { encoding: 'utf8' });
  if (made.status !== 0) return `network namespaces cannot be made here: ${made.stderr.trim()}`;
  const filter = spawnSync('ip', ['netns', 'exec', name, NFT, 'add', 'table', 'inet', 'x'], {
    encoding: 'utf8',
  });
  ip('netns', 'del', name);
  return filter.status === 0 ? false : `there is no packet filter (nft): ${filter.stderr.trim()}`;
}

const RULES = `table inet guard {
  counter passed {}
  counter dropped {}
  chain input {
    type filter hook input priority 0; policy drop;
    iif lo accept
    ct state established,related counter name passed accept
    counter name dropped drop
  }
}`;

/** Two namespaces with a cable between them, and the filter at the edge; gone with the test. */
function wire(t: Test, cloud: string, edge: string): void {
  t.teardown(() => {
    for (const name of [cloud, edge]) spawnSync('ip', ['netns', 'del', name]);
  });
  for (const name of [cloud, edge]) {
    ip('netns', 'add', name);
    // Neighbours look for each other by multicast there, which is nobody's connection.
    execFileSync('ip', ['netns', 'exec', name, 'sysctl', '-qw', 'net.ipv6.conf.all.disable_ipv6=1']);
  }
  ip('link', 'add', 'wire0', 'netns', cloud, 'type', 'veth', 'peer', 'name', 'wire0', 'netns', edge);
  for (const [name, address] of [
    [cloud, CLOUD],
    [edge, EDGE],
  ] as const) {
    ip('-n', name, 'addr', 'add', `${address}/24`, 'dev', 'wire0');
    for (const device of ['lo', 'wire0']) ip('-n', name, 'link', 'set', device, 'up');
    ip('-n', name, 'route', 'add', 'default', 'dev', 'wire0');
  }
  execFileSync('ip', ['netns', 'exec', edge, NFT, '-f', '-'], { input: RULES });
}

function packets(edge: string, counter: string): number {
  const text = execFileSync('ip', [
    'netns',
    'exec',
    edge,
    NFT,
    '-j',
    'list',
    'counter',
    'inet',
    'guard',
    counter,
  ]);
  const { nftables } = JSON.parse(String(text)) as { nftables: { counter?: { packets: number } }[] };
  return nftables.find((entry) => entry.counter !== undefined)?.counter?.packets ?? Number.NaN;
}

const CODEC = `const bytes = (value) => value;
const say = { path: '/test.Echo/Say', requestStream: false, responseStream: false, requestSerialize: bytes,
  requestDeserialize: bytes, responseSerialize: bytes, responseDeserialize: bytes };
const grpc = require('@grpc/grpc-js');`;

/** An HTTP app and a gRPC app that say who called. */
const APPS = `${CODEC}
require('node:http').createServer((request, response) => {
  request.resume().on('end', () => response.end(process.argv[1] + ' hears ' + request.headers['dapr-caller-app-id']));
}).listen(6000, '127.0.0.1');
const server = new grpc.Server();
server.addService({ Say: say }, { Say: (call, done) => done(null,
  Buffer.from(process.argv[1] + ' hears ' + call.metadata.get('dapr-caller-app-id') + ': ' + call.request)) });
server.bindAsync('127.0.0.1:6001', grpc.ServerCredentials.createInsecure(), () => {});`;

/** Arguments: HTTP port and gRPC port of the sidecar, HTTP app, gRPC app. Prints both answers. */
const CALLS = `${CODEC}
const [http, port, plain, proxied] = process.argv.slice(1);
const metadata = new grpc.Metadata();
metadata.set('dapr-app-id', proxied);
const client = new grpc.Client('127.0.0.1:' + port, grpc.credentials.createInsecure());
client.makeUnaryRequest(say.path, bytes, bytes, Buffer.from('hello'), metadata, async (error, answer) => {
  const over = await fetch('http://127.0.0.1:' + http + '/v1.0/invoke/' + plain + '/method/x')
    .then(async (found) => found.status + ' ' + await found.text(), String);
  console.log(over + ' | ' + (error ? error.message : answer));
  process.exit(0);
});`;

/** Fails after a moment when nothing answers. */
const KNOCK = `require('node:net').connect({ host: process.argv[1], port: 6100, timeout: 500 })
  .on('connect', () => { console.log('open'); process.exit(0); })
  .on('timeout', () => { console.log('silent'); process.exit(0); })
  .on('error', (error) => console.log(error.code));`;

async function closedEdge(t: Test, executable: string | undefined): Promise<void> {
  const tag = `${process.pid}${executable === undefined ? 's' : 'd'}`;
  const [cloud, edge] = [`skc${tag}`, `ske${tag}`];
  wire(t, cloud, edge);
  const folder = nodesDirectory(t);
  const resources = writeResources(folder, [], 'none');
  const node = join(packageFolder(), 'lib/node');
  const inside = (name: string, command: string, ...args: readonly string[]) =>
    startProcess(t, 'ip', ['netns', 'exec', name, command, ...args], { cwd: root });
  const cloudNames = aloneConfiguration(t, `cloud-${tag}`);
  const relayData = `--data-dir=${join(folder, 'relay')}`;

  for (const name of [cloud, edge]) inside(name, node, '-e', APPS, name === edge ? 'edge' : 'cloud');
  // Listens on all addresses: only the filter keeps the cloud away from it.
  inside(edge, node, '-e', 'require("node:net").createServer().listen(6100)');
  const relay = inside(
    cloud,
    program('skerry'),
    'relay',
    '--listen=0.0.0.0:8443',
    `--public-address=${CLOUD}`,
    '--internal-address=127.0.0.1',
    '--metrics-port=0',
    relayData,
    cloudNames,
  );
  await until('the relay', () => relay.output().includes('Skerry relay is up'));
  const sidecar = (name: string, program: string, appId: string, at: number, ...args: readonly string[]) =>
    inside(
      name,
      program,
      `--app-id=${appId}`,
      ...portFlags({
        http: 3500 + at,
        grpc: 50_001 + at,
        internal: 50_002 + at,
        metrics: 9190 + at,
        mqtt: 0,
      }),
      '--dapr-internal-grpc-listen-address=127.0.0.1',
      `--resources-path=${resources}`,
      ...args,
    );
  const http = ['--app-port=6000'];
  const proxied = ['--app-port=6001', '--app-protocol=grpc'];
  const said: (() => string)[] = [relay.output];
  for (const [appId, at, args] of [
    ['billing', 0, http],
    ['ledger', 10, proxied],
  ] as const) {
    const folder =
      executable === undefined ? [`--data-dir=${join(nodesDirectory(t), appId)}`, '--mqtt-port=0'] : [];
    said.push(
      sidecar(cloud, executable ?? program('daprd'), appId, at, cloudNames, ...folder, ...args).output,
    );
  }
  for (const [appId, at, args] of [
    ['door', 0, http],
    ['rpc', 10, proxied],
  ] as const) {
    const dataDir = `--data-dir=${join(folder, appId)}`;
    const { output } = await inside(
      cloud,
      program('skerry'),
      'relay',
      'token',
      `--app-ids=${appId}`,
      relayData,
    ).ended;
    const token = `--token=${output.trim()}`;
    const url = `--relay=https://${CLOUD}:8443`;
    const enrolled = await inside(edge, program('skerry'), 'enroll', url, token, `--node=${appId}`, dataDir)
      .ended;
    t.equal(enrolled.code, 0, enrolled.output);
    const alone = aloneConfiguration(t, `${appId}-${tag}`);
    said.push(sidecar(edge, program('daprd'), appId, at, alone, dataDir, '--mqtt-port=0', ...args).output);
  }
  const calls = async (
    from: string,
    at: number,
    plain: string,
    asGrpc: string,
    expected: string,
  ): Promise<void> => {
    let output = '';
    await until(
      `calls from ${from}`,
      async () => {
        const ports = [String(3500 + at), String(50_001 + at)];
        ({ output } = await inside(from, node, '-e', CALLS, ...ports, plain, asGrpc).ended);
        return output.trim() === expected;
      },
      20_000,
    ).catch((error: unknown) => {
      throw new Error(`${String(error)}; last: ${output}\n${said.map((text) => text()).join('\n')}`);
    });
    t.equal(output.trim(), expected);
  };
  await calls(cloud, 0, 'door', 'rpc', '200 edge hears billing | edge hears billing: hello');
  await calls(edge, 0, 'billing', 'ledger', '200 cloud hears door | cloud hears door: hello');

  t.ok(packets(edge, 'passed') > 20, 'what the edge asked for came in');
  t.equal(packets(edge, 'dropped'), 0, 'nobody else has even tried');
  const knocked = await inside(cloud, node, '-e', KNOCK, EDGE).ended;
  t.equal(knocked.output.trim(), 'silent');
  t.ok(packets(edge, 'dropped') > 0, 'and who tries is dropped');
}

const impossible = obstacle();
t.setTimeout(90_000);
t.test('the cloud runs Skerry', { skip: impossible }, (t) => closedEdge(t, undefined));
t.test('the cloud runs daprd', { skip: impossible || withoutDaprd }, (t) => closedEdge(t, DAPRD));
