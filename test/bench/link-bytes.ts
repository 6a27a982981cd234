/**
 * `npm run bench:link-bytes`: bytes on the wire, TLS included, of what travels from an edge node to a cloud sidecar through the
 * relay's one link: changes of state and events under `Sync`, in bursts, after an outage and one by one; and of a day in which
 * nothing happens while a subscription is open. The cloud is a Skerry node, and a real daprd where SKERRY_TEST_DAPRD names one.
 * CHANGES (2000), IDLE_SECONDS (276: whole periods of both ends' beats; 0: not measured). Ends by itself; 1 when an aim is missed.
 */

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Test } from 'tap';
import { call } from '../integration/support/http-call.ts';
import { freePorts, type RunningNode, startSidecar } from '../integration/support/node-process.ts';
import {
  aloneConfiguration,
  enrolledFolder,
  startRelay,
  startWire,
  type Wire,
} from '../integration/support/relay-process.ts';
import { component, subscription } from '../integration/support/resource-files.ts';
import { startApp } from '../integration/support/scripted-app.ts';
import { until } from '../integration/support/until.ts';
import { seededRandom } from '../support/seeded-random.ts';

const CHANGES = Number(process.env['CHANGES'] ?? '2000');
const SINGLES = 40;
const SINGLE_PAUSE_MS = 250;
const IDLE_SECONDS = Number(process.env['IDLE_SECONDS'] ?? '276');
const AT_A_TIME = 50;
const PATIENCE_MS = 120_000;
const MAX_BYTES_PER_CHANGE = 120;
const MAX_IDLE_BYTES_PER_DAY = 100 * 1024;
const MAX_NOTICE_S = 60;
const DAY_SECONDS = 86_400;
const LOOPBACK = '--dapr-internal-grpc-listen-address=127.0.0.1';

const random = seededRandom(2026);
const print = (line: string): void => void process.stdout.write(`${line}\n`);
const between = (least: number, most: number, digits: number): number =>
  Number((least + random.float() * (most - least)).toFixed(digits));
const missed: string[] = [];

/** 200 bytes or a little less of JSON, as a device would say it: every value of its own. */
function reading(n: number): object {
  const at = Date.UTC(2026, 2, 1) + n * 731 + Math.floor(random.float() * 500);
  return {
    deviceId: `press-${String(n % 400).padStart(4, '0')}`,
    ts: new Date(at).toISOString(),
    seq: 10_000 + n,
    temperature: between(18, 84, 2),
    pressure: between(0.9, 6.4, 3),
    vibration: between(0, 1, 4),
    rpm: Math.floor(between(700, 3000, 0)),
    current: between(2, 19, 2),
    status: random.float() < 0.9 ? 'running' : 'idle',
    firmware: '4.2.1',
    line: 'B',
  };
}

/** 200 characters that cannot be made smaller than 150 bytes. */
const noise = (): string => Buffer.from(random.bytes(150)).toString('base64');

/** As much of a test as the helpers of the integration tests use. */
function stage(name: string): { readonly t: Test; close(): Promise<void> } {
  const folder = mkdtempSync(join(tmpdir(), `skerry-bench-link-${name}-`));
  const ends: (() => unknown)[] = [];
  const t = { testdirName: join(folder, 'x'), teardown: (end: () => unknown) => void ends.push(end) };
  return {
    t: t as unknown as Test,
    close: async () => {
      for (const end of ends.reverse()) await end();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

interface Scene {
  readonly edge: RunningNode;
  readonly wire: Wire;
  /** Of the cloud, by a way of its own. */
  readonly far: string;
  readonly events: () => number;
}

const sync = JSON.stringify({
  apiVersion: 'skerry.dev/v1alpha1',
  kind: 'Sync',
  metadata: { name: 'plant' },
  spec: {
    direction: 'up',
    topics: [
      {
        name: 'events',
        local: { pubsub: 'local', topic: 'readings' },
        remote: { pubsub: 'pubsub', topic: 'plant/readings' },
      },
    ],
    state: [{ name: 'readings', local: 'statestore', remote: 'cloudstore', keyPrefixes: ['press-'] }],
  },
});

async function build(t: Test, executable: string | undefined, way: 'relay' | 'direct'): Promise<Scene> {
  const ports = await freePorts();
  const app = await startApp(t, { '/readings': () => ({}), '/news': () => ({}) });
  await startSidecar(t, {
    appId: 'cloud',
    appPort: app.port,
    ports,
    ...(executable === undefined ? {} : { executable }),
    args: [LOOPBACK],
    resources: [
      component('cloudstore', 'state.sqlite', { connectionString: `${t.testdirName}-cloud.db` }),
      component('pubsub', 'pubsub.in-memory', {}),
      subscription('readings', 'pubsub', 'plant/readings', '/readings'),
    ],
  });
  const relay =
    way === 'direct'
      ? undefined
      : await startRelay(t, {
          args: [
            '--internal-address=127.0.0.1',
            `--sidecar-http=http://127.0.0.1:${ports.http}`,
            `--sidecar-grpc=127.0.0.1:${ports.grpc}`,
          ],
        });
  const wire = await startWire(t, relay?.port ?? ports.http);
  const edge = await startSidecar(t, {
    appId: 'edge',
    appPort: app.port,
    ...(relay === undefined ? {} : { dataDir: await enrolledFolder(t, relay, 'site', ['edge'], wire.url) }),
    args: [LOOPBACK, aloneConfiguration(t, 'edge')],
    resources: [
      JSON.stringify({
        apiVersion: 'dapr.io/v1alpha1',
        kind: 'HTTPEndpoint',
        metadata: { name: 'cloud' },
        spec: { baseUrl: relay === undefined ? wire.url.replace('https:', 'http:') : 'relay:' },
      }),
      component('statestore', 'state.sqlite', {}),
      component('local', 'pubsub.mqtt3', { url: 'embedded:' }),
      component('cloudstore', 'state.dapr', { endpointName: 'cloud' }),
      component('pubsub', 'pubsub.dapr', { endpointName: 'cloud' }),
      ...(relay === undefined ? [] : [subscription('news', 'pubsub', 'news', '/news')]),
      sync,
    ],
  });
  return { edge, wire, far: `http://127.0.0.1:${ports.http}`, events: () => app.to('/readings').length };
}

let key = 0;
/** Writes values under keys of their own, and waits until the cloud has the last one and nothing is on its way. */
async function changes(scene: Scene, values: readonly unknown[], pauseMs = 0): Promise<void> {
  const { edge, far } = scene;
  const items = values.map((value) => {
    key += 1;
    return { key: `press-${String(key).padStart(6, '0')}`, value };
  });
  const size = pauseMs === 0 ? AT_A_TIME : 1;
  for (let at = 0; at < items.length; at += size) {
    const saved = await call(`${edge.base}/v1.0/state/statestore`, { body: items.slice(at, at + size) });
    if (saved.status !== 204) throw new Error(`${saved.status} ${saved.text}`);
    if (pauseMs > 0) await sleep(pauseMs);
  }
  await until(
    'the last change in the cloud',
    async () => {
      const { status } = await call(`${far}/v1.0/state/cloudstore/${items.at(-1)?.key}`);
      return status === 200 && (await lag(edge)) === 0;
    },
    PATIENCE_MS,
  );
  await sleep(200);
}

async function lag(edge: RunningNode): Promise<number> {
  const { flows } = JSON.parse((await call(`${edge.base}/v1.0/skerry/sync`)).text) as {
    flows: { readonly lag: { readonly messages: number } }[];
  };
  return flows.reduce((sum, flow) => sum + flow.lag.messages, 0);
}

async function perPiece(
  { wire }: Scene,
  label: string,
  count: number,
  work: () => Promise<void>,
  aim?: number,
): Promise<void> {
  const before = wire.bytes;
  await work();
  const each = (wire.bytes - before) / count;
  const verdict = aim === undefined ? '' : each <= aim ? ` (aim ${aim})` : ` (aim ${aim}, MISSED)`;
  if (aim !== undefined && each > aim) missed.push(label);
  print(`  ${label}: ${each.toFixed(1)} bytes each${verdict}`);
}

const readings = (count: number): object[] => Array.from({ length: count }, (_, n) => reading(n));

async function traffic(scene: Scene, aim: number | undefined): Promise<void> {
  const sample = readings(CHANGES);
  const mean = sample.reduce((sum: number, one) => sum + JSON.stringify(one).length, 0) / sample.length;
  print(`  readings of ${mean.toFixed(0)} bytes, such as ${JSON.stringify(sample[0])}`);
  // What the first request brings along is not the traffic's.
  await changes(scene, readings(10));
  await perPiece(scene, `${CHANGES} changes of state in a burst`, CHANGES, () => changes(scene, sample), aim);
  await perPiece(scene, `${CHANGES} changes of 200 random characters`, CHANGES, () =>
    changes(
      scene,
      Array.from({ length: CHANGES }, () => noise()),
    ),
  );
  await perPiece(
    scene,
    `${SINGLES} changes, one every ${SINGLE_PAUSE_MS} ms, each in a request of its own`,
    SINGLES,
    () => changes(scene, readings(SINGLES), SINGLE_PAUSE_MS),
  );
  await perPiece(scene, `${CHANGES} events of one order key, each in a request of its own`, CHANGES, () =>
    publish(scene),
  );
}

/** To a topic here that `Sync` carries over, where all events have one order key; or over there, with keys of their own. */
async function publish(scene: Scene, to = 'local/readings'): Promise<void> {
  const events = scene.events();
  for (let at = 0; at < CHANGES; at += AT_A_TIME) {
    const entries = readings(AT_A_TIME).map((event, n) => ({
      entryId: String(n),
      contentType: 'application/json',
      metadata: { partitionKey: `press-${at + n}` },
      event,
    }));
    const said = await call(`${scene.edge.base}/v1.0-alpha1/publish/bulk/${to}`, {
      body: entries,
    });
    if (said.status >= 300) throw new Error(`${said.status} ${said.text}`);
  }
  await until('the events in the cloud', () => scene.events() - events >= CHANGES, PATIENCE_MS);
  await sleep(200);
}

async function outage(scene: Scene): Promise<void> {
  await perPiece(
    scene,
    `${CHANGES} changes that waited for a link, its handshake included`,
    CHANGES,
    async () => {
      scene.wire.cut();
      setTimeout(() => scene.wire.heal(), 1500);
      await changes(scene, readings(CHANGES));
    },
    MAX_BYTES_PER_CHANGE,
  );
  await perPiece(scene, `${CHANGES} events of many order keys that waited for a link`, CHANGES, async () => {
    scene.wire.cut();
    setTimeout(() => scene.wire.heal(), 1500);
    await publish(scene, 'pubsub/plant/readings');
  });
}

async function idle({ edge, wire }: Scene): Promise<void> {
  await sleep(3000);
  const before = wire.bytes;
  await sleep(IDLE_SECONDS * 1000);
  const day = ((wire.bytes - before) / IDLE_SECONDS) * DAY_SECONDS;
  const fine = day <= MAX_IDLE_BYTES_PER_DAY;
  if (!fine) missed.push('idle link');
  print(
    `  idle for ${IDLE_SECONDS} s with an open subscription: ${wire.bytes - before} bytes, ${(day / 1024).toFixed(0)} KB a day (aim 100${fine ? '' : ', MISSED'})`,
  );
  wire.silence();
  const cut = performance.now();
  const said = edge.output().length;
  await until('the cut to be noticed', () => /relay link down/.test(edge.output().slice(said)), PATIENCE_MS);
  const seconds = (performance.now() - cut) / 1000;
  if (seconds > MAX_NOTICE_S) missed.push('silent cut');
  print(`  a silent cut was noticed after ${seconds.toFixed(0)} s (aim ${MAX_NOTICE_S})`);
}

const daprd = process.env['SKERRY_TEST_DAPRD'];
const clouds: [string, string | undefined][] = [['Skerry', undefined]];
if (daprd === undefined) print('SKERRY_TEST_DAPRD names no daprd: Skerry alone plays the cloud');
else clouds.push(['daprd', daprd]);
for (const [name, executable] of clouds) {
  for (const way of ['relay', 'direct'] as const) {
    const { t, close } = stage(`${name}-${way}`);
    try {
      print(
        way === 'relay' ? `${name} behind the relay, TLS included` : `${name} reached directly, without TLS`,
      );
      const scene = await build(t, executable, way);
      await traffic(scene, way === 'relay' ? MAX_BYTES_PER_CHANGE : undefined);
      if (way === 'relay') await outage(scene);
      if (way === 'relay' && IDLE_SECONDS > 0) await idle(scene);
    } finally {
      await close();
    }
  }
}
if (missed.length > 0) {
  print(`missed: ${missed.join('; ')}`);
  process.exitCode = 1;
}
