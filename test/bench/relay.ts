/**
 * `npm run bench:relay`: one relay process with many simulated nodes (NODES, 2000 by default): how long all take to enrol and to
 * link, what memory a link costs, what an idle link says; and an invoke through the relay beside the same invoke from sidecar to
 * sidecar, in one run on one machine. Ends by itself in about two minutes.
 */

import { type ChildProcess, spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, get } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Logger } from '../../runtime/contracts/logger.ts';
import { systemClock } from '../../runtime/platform/system-clock.ts';
import { systemRandom } from '../../runtime/platform/system-random.ts';
import { askRelay } from '../../runtime/relay/admin.ts';
import { createEdgeLink, type EdgeLink } from '../../runtime/relay/edge-link.ts';
import { enrolNode } from '../../runtime/relay/enroll-client.ts';
import { writeEnrolment } from '../../runtime/relay/enrolment.ts';
import { type LoadResult, run } from './support/load.ts';
import { freePort } from './support/peer.ts';

const NODES = Number(process.env['NODES'] ?? '2000');
const AT_ONCE = 16;
const SECONDS = 3;
const TURNS = 5;
const ROOT = join(import.meta.dirname, '../..');
const PACKAGE = process.env['SKERRY_PACKAGE'] ?? join(ROOT, `build/out/linux-${process.arch}`);
const folder = mkdtempSync(join(tmpdir(), 'skerry-bench-relay-'));
const children: ChildProcess[] = [];
const print = (line: string): void => void process.stdout.write(`${line}\n`);
const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
const nothing = (): void => {};
const SILENT: Logger = {
  debug: nothing,
  info: nothing,
  warn: nothing,
  error: nothing,
  fatal: nothing,
  child: () => SILENT,
};

function start(program: string, args: readonly string[]): ChildProcess {
  const child = spawn(join(PACKAGE, program), args, { stdio: ['ignore', 'ignore', 'inherit'] });
  children.push(child);
  return child;
}

function rssMb(child: ChildProcess): number {
  const text = readFileSync(`/proc/${child.pid}/status`, 'utf8');
  return Number(/VmRSS:\s+(\d+)/.exec(text)?.[1]) / 1024;
}

/** Processor time so far, in seconds (ticks of 10 ms). */
function cpuSeconds(child: ChildProcess): number {
  const fields = readFileSync(`/proc/${child.pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? [];
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

function status(port: number, path: string): Promise<number> {
  return new Promise((resolve) => {
    get({ host: '127.0.0.1', port, path, agent: false, timeout: 2000 }, (response) => {
      response.resume();
      resolve(response.statusCode ?? 0);
    }).once('error', () => resolve(0));
  });
}

async function awaited(what: string, ask: () => Promise<boolean>): Promise<void> {
  const end = performance.now() + 180_000;
  while (!(await ask())) {
    if (performance.now() > end) throw new Error(`waited in vain for ${what}`);
    await pause(20);
  }
}

const relayDir = join(folder, 'relay');
const listenPort = await freePort();
const url = `https://127.0.0.1:${listenPort}`;

async function token(appIds: readonly string[]): Promise<string> {
  const answer = (await askRelay(relayDir, 'POST', '/token', { appIds, ttlMs: 600_000 })) as {
    token: string;
  };
  return answer.token;
}

async function inTurns(count: number, work: (n: number) => Promise<void>): Promise<void> {
  let next = 0;
  const worker = async (): Promise<void> => {
    while (next < count) {
      const n = next;
      next += 1;
      await work(n);
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
}

async function simulate(relay: ChildProcess): Promise<readonly EdgeLink[]> {
  const before = rssMb(relay);
  const enrolments: Awaited<ReturnType<typeof enrolNode>>[] = [];
  let begun = performance.now();
  await inTurns(NODES, async (n) => {
    const node = `node-${n}`;
    enrolments.push(await enrolNode({ relay: url, token: await token([`app-${n}`]), node }));
  });
  print(`${NODES} nodes enrolled in ${((performance.now() - begun) / 1000).toFixed(1)} s`);
  begun = performance.now();
  const links = enrolments.map((enrolment) => {
    const link = createEdgeLink({
      file: join(folder, 'none', 'relay.json'),
      enrolment,
      clock: systemClock(),
      random: systemRandom(),
      log: SILENT,
      metrics: { count: nothing, observe: nothing, gauge: nothing },
      version: 'bench',
      probeMs: 46_000,
      probeTimeoutMs: 12_000,
      maxMessageBytes: 4 * 1024 * 1024,
    });
    link.register({
      appId: enrolment.appIds[0] ?? '',
      namespace: 'default',
      serve: (stream) => stream.close(7),
    });
    return link;
  });
  await awaited('all links', async () => links.every((link) => link.up));
  const seconds = (performance.now() - begun) / 1000;
  await pause(5000);
  const busy = cpuSeconds(relay);
  await pause(10_000);
  print(`relay: ${((cpuSeconds(relay) - busy) * 10).toFixed(1)} % of a core with all links idle`);
  const after = rssMb(relay);
  print(
    `${NODES} links up ${seconds.toFixed(1)} s after the first dial, all at once, both ends on this machine`,
  );
  print(
    `relay: ${before.toFixed(0)} MB before, ${after.toFixed(0)} MB with all links: ${(((after - before) * 1024) / NODES).toFixed(0)} KB a link`,
  );
  return links;
}

const show = ({ perSecond, p50, p90, p99, failed }: LoadResult): string =>
  `${perSecond}/s p50 ${p50} p90 ${p90} p99 ${p99} ms${failed > 0 ? ` FAILED ${failed}` : ''}`;

/** Turn by turn, so that what else the machine does weighs on both alike; the middle of five turns counts. */
async function compare(label: string): Promise<void> {
  const ids = [`direct${process.pid}`, `edge${process.pid}`] as const;
  const results: [LoadResult[], LoadResult[]] = [[], []];
  for (let turn = 0; turn <= TURNS; turn += 1) {
    for (const [which, id] of ids.entries()) {
      const path = `/v1.0/invoke/${id}/method/x`;
      const result = await run({
        port: caller,
        method: 'GET',
        path,
        connections: 4,
        seconds: SECONDS,
        rate: 100,
      });
      // The first turn warms both.
      if (turn > 0) results[which]?.push(result);
    }
  }
  const [direct, relayed] = results.map(
    (all) => all.toSorted((one, other) => one.p90 - other.p90)[Math.floor(all.length / 2)] as LoadResult,
  ) as [LoadResult, LoadResult];
  print(`invoke at 100/s, sidecar to sidecar:         ${show(direct)}`);
  print(`invoke at 100/s, through the relay${label}: ${show(relayed)}`);
  print(`p90 through the relay / direct: ${(relayed.p90 / direct.p90).toFixed(2)}`);
}

let caller = 0;
const app = createServer((_request, response) => response.end('ok'));

async function startSidecars(): Promise<void> {
  await new Promise<void>((resolve) => app.listen(0, '127.0.0.1', resolve));
  const appPort = (app.address() as AddressInfo).port;
  const empty = join(folder, 'empty');
  mkdirSync(empty);
  const alone = join(folder, 'alone.yaml');
  const nameResolution = {
    component: 'sqlite',
    configuration: { connectionString: join(folder, 'names.db') },
  };
  writeFileSync(
    alone,
    JSON.stringify({
      apiVersion: 'dapr.io/v1alpha1',
      kind: 'Configuration',
      metadata: { name: 'c' },
      spec: { nameResolution },
    }),
  );
  const edgeDir = join(folder, 'edge');
  const edge = `edge${process.pid}`;
  await writeEnrolment(
    join(edgeDir, 'relay.json'),
    await enrolNode({ relay: url, token: await token([edge]), node: 'edge' }),
  );
  const sidecar = async (appId: string, port: number, more: readonly string[]): Promise<number> => {
    const http = await freePort();
    start('daprd', [
      `--app-id=${appId}`,
      ...(port === 0 ? [] : [`--app-port=${port}`]),
      `--dapr-http-port=${http}`,
      `--dapr-grpc-port=${await freePort()}`,
      '--enable-metrics=false',
      '--dapr-listen-addresses=127.0.0.1',
      '--dapr-internal-grpc-listen-address=127.0.0.1',
      `--resources-path=${empty}`,
      '--log-level=error',
      ...more,
    ]);
    return http;
  };
  caller = await sidecar(`caller${process.pid}`, 0, [`--data-dir=${join(folder, 'caller')}`]);
  await sidecar(`direct${process.pid}`, appPort, [`--data-dir=${join(folder, 'direct')}`]);
  await sidecar(edge, appPort, [`--data-dir=${edgeDir}`, `--config=${alone}`]);
  for (const id of [`direct${process.pid}`, edge])
    await awaited(id, async () => (await status(caller, `/v1.0/invoke/${id}/method/x`)) === 200);
}

let links: readonly EdgeLink[] = [];
try {
  const relay = start('skerry', [
    'relay',
    `--listen=127.0.0.1:${listenPort}`,
    `--data-dir=${relayDir}`,
    '--metrics-port=0',
    '--internal-address=127.0.0.1',
    '--log-level=error',
  ]);
  await awaited('the relay', async () => {
    return askRelay(relayDir, 'GET', '/nodes').then(
      () => true,
      () => false,
    );
  });
  await startSidecars();
  await compare('          ');
  links = await simulate(relay);
  await compare(`, ${NODES} links`);
} finally {
  await Promise.all(links.map((link) => link.close()));
  for (const child of children) child.kill('SIGTERM');
  app.closeAllConnections();
  app.close();
  await pause(1000);
  rmSync(folder, { recursive: true, force: true });
}
