// The life of links: cut, silent, revoked; nodes that lie; tokens that were used or have expired; certificates that end.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { setTimeout as pause } from 'node:timers/promises';
import { create } from '@bufbuild/protobuf';
import t, { type Test } from 'tap';
import {
  HTTPExtension_Verb,
  InvokeResponseSchema,
} from '../../runtime/generated/dapr/proto/common/v1/common_pb.ts';
import { InvokeServiceRequestSchema } from '../../runtime/generated/dapr/proto/runtime/v1/invoke_pb.ts';
import { callUnary } from '../../runtime/grpc-client/client.ts';
import { codec } from '../../runtime/grpc-client/codec.ts';
import { clientOf } from '../support/grpc-client-rig.ts';
import { call } from './support/http-call.ts';
import { nodesDirectory, type RunningNode, startSidecar } from './support/node-process.ts';
import {
  aloneConfiguration,
  enrol,
  enrolledFolder,
  type RelayProcess,
  startRelay,
  startWire,
  type Wire,
} from './support/relay-process.ts';
import { startApp } from './support/scripted-app.ts';
import { says, until } from './support/until.ts';

const LOOPBACK = '--dapr-internal-grpc-listen-address=127.0.0.1';
const tag = String(process.pid);
const INVOKE_SERVICE = {
  path: '/dapr.proto.runtime.v1.Dapr/InvokeService',
  request: codec(InvokeServiceRequestSchema),
  response: codec(InvokeResponseSchema),
};

interface Site {
  readonly node: RunningNode;
  readonly wire: Wire;
  readonly dataDir: string;
}

/** A node with one app behind a wire of its own. */
async function startSite(
  t: Test,
  relay: RelayProcess,
  name: string,
  options: {
    readonly appPort?: number;
    readonly enrolled?: readonly string[];
    readonly args?: readonly string[];
  } = {},
): Promise<Site> {
  const wire = await startWire(t, relay.port);
  const dataDir = await enrolledFolder(t, relay, name, options.enrolled ?? [name], wire.url);
  const node = await startSidecar(t, {
    appId: name,
    dataDir,
    ...(options.appPort === undefined ? {} : { appPort: options.appPort }),
    args: [LOOPBACK, aloneConfiguration(t, name), ...(options.args ?? [])],
  });
  return { node, wire, dataDir };
}

const isUp =
  (relay: RelayProcess, name: string, up = true) =>
  async (): Promise<boolean> =>
    (await relay.nodes()).some(({ node, state }) => node === name && (state === 'up') === up);

const invoke = (from: RunningNode, id: string, path = 'x', options: Parameters<typeof call>[1] = {}) =>
  call(`${from.base}/v1.0/invoke/${id}/method/${path}`, options);

t.setTimeout(90_000);

t.test('without a link calls fail at once or wait on the disk, and local ones go on', async (t) => {
  const [door, billing, relay] = await Promise.all([
    startApp(t, { '/x': () => ({ body: 'door' }) }),
    startApp(t, { '/x': () => ({ body: 'billing' }), '/pay': () => ({ body: 'paid' }) }),
    startRelay(t, { args: ['--internal-address=127.0.0.1'] }),
  ]);
  const ids = { door: `door-${tag}`, billing: `bill-${tag}` };
  const cloud = await startSidecar(t, { appId: ids.billing, appPort: billing.port, args: [LOOPBACK] });
  const { node, wire } = await startSite(t, relay, ids.door, {
    appPort: door.port,
    args: ['--relay-probe-interval=400ms', '--relay-probe-timeout=400ms'],
  });
  await until('the link', async () => (await invoke(node, ids.billing)).status === 200);

  await t.test('a cut is noticed at once', async (t) => {
    wire.cut();
    await until('the relay to notice', isUp(relay, ids.door, false));
    await until('the node to notice', () => node.output().includes('relay link down'));
    for (const id of [ids.billing, `never-heard-of-${tag}`]) {
      const times: number[] = [];
      for (let turn = 0; turn < 5; turn += 1) {
        const begun = performance.now();
        const answer = await invoke(node, id);
        times.push(performance.now() - begun);
        t.equal(answer.status, 500);
        t.match(JSON.parse(answer.text), {
          errorCode: 'ERR_DIRECT_INVOKE',
          message: /the link to the relay is down/,
        });
      }
      // The quickest of five: a busy machine must not fail what does not wait.
      const ms = Math.min(...times);
      t.ok(ms < 100, `${id} failed after ${ms.toFixed(0)} ms`);
    }
    t.equal((await invoke(node, ids.door)).text, 'door', 'the own app answers');
    const fromCloud = await invoke(cloud, ids.door);
    t.equal(fromCloud.status, 500, 'a caller of the cloud hears of it too');
  });

  await t.test('queued calls wait, survive a power cut, and are made once and in order', async (t) => {
    const queued = [];
    for (let n = 0; n < 5; n += 1)
      queued.push(
        await invoke(node, ids.billing, `pay?n=${n}`, { body: `${n}`, headers: { 'skerry-queue': 'true' } }),
      );
    t.same(
      queued.map(({ status }) => status),
      [202, 202, 202, 202, 202],
    );
    const queuedByGrpc = await callUnary(
      clientOf(t, `127.0.0.1:${node.ports.grpc}`),
      INVOKE_SERVICE,
      create(InvokeServiceRequestSchema, {
        id: ids.billing,
        message: {
          method: 'pay',
          data: { value: Buffer.from('5') },
          contentType: 'text/plain',
          httpExtension: { verb: HTTPExtension_Verb.POST, querystring: 'n=5' },
        },
      }),
      { metadata: [['skerry-queue', 'true']], signal: AbortSignal.timeout(5000) },
    );
    const named = Object.fromEntries(queuedByGrpc.headers);
    t.equal(named['dapr-http-status'], '202');
    t.same(
      JSON.parse(String(Buffer.from(queuedByGrpc.message.data?.value ?? []))),
      { id: named['skerry-message-id'] },
      'over gRPC the same answer as over HTTP',
    );
    await node.kill();
    const again = await startSidecar(t, {
      appId: ids.door,
      appPort: door.port,
      dataDir: node.dataDir,
      ports: node.ports,
      args: [
        LOOPBACK,
        aloneConfiguration(t, ids.door),
        '--relay-probe-interval=400ms',
        '--relay-probe-timeout=400ms',
      ],
    });
    wire.heal();
    const paid = await billing.received('/pay', 6);
    t.same(
      paid.map(({ url, body }) => `${url} ${body}`),
      [0, 1, 2, 3, 4, 5].map((n) => `/pay?n=${n} ${n}`),
    );
    t.same(
      paid.map(({ headers }) => headers['skerry-message-id']),
      [...queued.map(({ text }) => (JSON.parse(text) as { id: string }).id), named['skerry-message-id']],
      'the id of the 202 goes along',
    );
    for (const { headers } of paid) t.equal(headers['skerry-queue'], undefined);

    await t.test('a silent link is noticed by both ends', async (t) => {
      await until('the link', isUp(relay, ids.door));
      const before = again.output().split('relay link down').length;
      wire.silence();
      await until('the node to notice', () => again.output().split('relay link down').length > before);
      await says(t, again, /relay link down.*reason="nothing was heard for 1 s"/);
      await until('the relay to notice', isUp(relay, ids.door, false));
      wire.heal();
      await until('the link is back', async () => (await invoke(cloud, ids.door)).text === 'door');
    });
  });
});

t.test('who may be what', async (t) => {
  const app = await startApp(t, { '/x': () => ({ body: 'app' }) });
  const relay = await startRelay(t, { args: ['--internal-address=127.0.0.1'] });
  const cloud = await startSidecar(t, { appId: `asker-${tag}`, args: [LOOPBACK] });

  await t.test('a node announces only what it was enrolled for', async (t) => {
    const liar = await startSite(t, relay, `liar-${tag}`, { appPort: app.port, enrolled: [`other-${tag}`] });
    await until('the link', isUp(relay, `liar-${tag}`));
    await until('the refusal', () =>
      relay.output().includes('announced app ids that it was not enrolled for'),
    );
    await until('the node to know', () =>
      liar.node.output().includes('the relay refuses app ids that this node was not enrolled for: liar-'),
    );
    t.equal((await invoke(cloud, `liar-${tag}`)).status, 500, 'nobody reaches it by that name');
    await liar.node.stop();
  });

  await t.test('a token is good once, and for a while', async (t) => {
    const printed = await relay.command('relay', 'token', `--app-ids=once-${tag}`, '--ttl=1m');
    const token = printed.output.trim();
    const at = (node: string, given: string) =>
      enrol(t, { url: relay.url, token: given, node, dataDir: join(nodesDirectory(t), node) });
    t.equal((await at(`once-${tag}`, token)).code, 0);
    const replayed = await at(`twice-${tag}`, token);
    t.same([replayed.code, /the token was used already/.test(replayed.output)], [1, true]);
    const short = await relay.token([`late-${tag}`], { ttlMs: 1000 });
    await pause(1100);
    const late = await at(`late-${tag}`, short);
    t.same([late.code, /the token has expired/.test(late.output)], [1, true]);
    const [secret] = token.split('.');
    const stranger = await at(`st-${tag}`, `${secret}.${Buffer.alloc(32).toString('base64url')}`);
    t.match(stranger.output, /not the relay that the token is from/);
    const taken = await at(`once-${tag}-2`, await relay.token([`once-${tag}`], { node: `once-${tag}` }));
    t.match(taken.output, /the token is for the node once-/);
    t.match(
      (
        await enrol(t, {
          url: relay.url,
          token: await relay.token(['a']),
          node: `once-${tag}`,
          dataDir: join(nodesDirectory(t), 'thief'),
        })
      ).output,
      /the name once-\d+ is taken/,
    );
    const mode = readFileSync(join(nodesDirectory(t), `once-${tag}`, 'relay.json'), 'utf8');
    t.match(mode, /BEGIN PRIVATE KEY/, 'the key is there, and stays there');
  });

  await t.test('revoking closes the link, and keeps it closed', async (t) => {
    const name = `gone-${tag}`;
    const site = await startSite(t, relay, name, { appPort: app.port });
    await until('the app to be found', async () => (await invoke(cloud, name)).text === 'app');
    t.match((await relay.command('relay', 'revoke', name)).output, /is revoked/);
    await until('the node to hear why', () => site.node.output().includes('the node is revoked'));
    t.equal((await invoke(cloud, name)).status, 500);
    await until('the relay to refuse it', () => relay.output().includes(`the node ${name} is revoked`));
    t.match(
      (await relay.nodes()).find(({ node }) => node === name),
      { state: 'revoked', announced: [], reason: 'the node is revoked' },
    );
    t.equal((await relay.command('relay', 'revoke', name)).code, 1);
    const listed = await relay.command('mesh', 'ls');
    t.match(listed.output, /^NODE +LINK +SINCE +LAST CONTACT +APP IDS +NOT ANNOUNCED +REASON\n/);
    t.match(listed.output, new RegExp(`${name} +revoked .*the node is revoked`));
  });
});

t.test('certificates are renewed over the link, and late ones by it', async (t) => {
  const app = await startApp(t, { '/x': () => ({ body: 'app' }) });
  const relay = await startRelay(t, { args: ['--internal-address=127.0.0.1', '--certificate-ttl=2s'] });
  const cloud = await startSidecar(t, { appId: `caller-${tag}`, args: [LOOPBACK] });
  const name = `short-${tag}`;
  const { node, wire, dataDir } = await startSite(t, relay, name, { appPort: app.port });
  const certificate = (): string =>
    (JSON.parse(readFileSync(join(dataDir, 'relay.json'), 'utf8')) as { certificate: string }).certificate;
  const first = certificate();
  await until('a new certificate', () => certificate() !== first);
  t.equal((await invoke(cloud, name)).text, 'app', 'the link stands');
  wire.cut();
  await pause(2300);
  wire.heal();
  await until('the expired node to be back', async () => (await invoke(cloud, name)).text === 'app');
  await says(t, node, /relay certificate renewed/);
});
