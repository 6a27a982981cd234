/**
 * `npm run bench`: the built `daprd` beside the bare Node floor and, when SKERRY_TEST_DAPRD names one, beside a real
 * daprd, all in one run. Only ratios within a run mean something. Ends by itself in about a minute per sidecar.
 */

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Load, type LoadResult, run } from './support/load.ts';
import { type Peer, startNode, startSidecar } from './support/peer.ts';

const SECONDS = 5;
const ROOT = join(import.meta.dirname, '../..');
const PACKAGE = process.env['SKERRY_PACKAGE'] ?? join(ROOT, `build/out/linux-${process.arch}`);
const print = (line: string): void => void process.stdout.write(`${line}\n`);

type Row = Record<string, string | number>;

const show = (result: LoadResult): string =>
  `${result.perSecond}/s p50 ${result.p50} p90 ${result.p90} p99 ${result.p99}${result.failed > 0 ? ` FAILED ${result.failed}` : ''}`;

async function warm(load: Load): Promise<LoadResult> {
  await run({ ...load, seconds: 2 });
  return run(load);
}

async function measureNode(app: Peer): Promise<Row> {
  const second = await startNode(app.port);
  const first = await startNode(second.port);
  const hop: Load = { port: first.port, method: 'GET', path: '/x', connections: 8, seconds: SECONDS };
  const row = {
    'invoke at 500/s': show(await warm({ ...hop, rate: 500 })),
    'invoke, 16 connections': show(await run({ ...hop, connections: 16 })),
  };
  await first.stop();
  await second.stop();
  return row;
}

async function measureSidecar(binary: string, app: Peer, folder: string): Promise<Row> {
  const tag = `bench${process.pid}`;
  const a = await startSidecar(binary, `${tag}-a`, folder, 0);
  const b = await startSidecar(binary, `${tag}-b`, folder, app.port);
  await new Promise((resolve) => setTimeout(resolve, 3000));
  const row: Row = { 'ready, ms': a.readyMs, 'idle RSS, MB': a.rss() };
  const load = (method: string, path: string, connections: number, body?: string): Load => ({
    port: a.port,
    method,
    path: `/v1.0/${path}`,
    connections,
    seconds: SECONDS,
    ...(body === undefined ? {} : { body }),
  });
  const invoke = load('GET', `invoke/${tag}-b/method/x`, 8);
  const item = '[{"key":"k","value":{"celsius":21.5}}]';
  row['invoke at 500/s'] = show(await warm({ ...invoke, rate: 500 }));
  row['invoke, 16 connections'] = show(await run({ ...invoke, connections: 16 }));
  row['state.sqlite set, 32 connections'] = show(await warm(load('POST', 'state/sql', 32, item)));
  row['state.sqlite get, 16 connections'] = show(await warm(load('GET', 'state/sql/k', 16)));
  row['state.in-memory set, 16 connections'] = show(await warm(load('POST', 'state/mem', 16, item)));
  row['publish in-memory, 16 connections'] = show(
    await warm(load('POST', 'publish/ps/t', 16, '{"celsius":21.5}')),
  );
  row['RSS after load, MB'] = a.rss();
  await a.stop();
  await b.stop();
  return row;
}

const folder = mkdtempSync(join(tmpdir(), 'skerry-bench-'));
const app = await startNode();
const columns: Record<string, Row> = {};
try {
  columns['app called directly'] = {
    'invoke at 500/s': show(
      await warm({ port: app.port, method: 'GET', path: '/x', connections: 8, seconds: SECONDS, rate: 500 }),
    ),
  };
  columns['two Node hops'] = await measureNode(app);
  columns['skerry'] = await measureSidecar(join(PACKAGE, 'daprd'), app, folder);
  const real = process.env['SKERRY_TEST_DAPRD'];
  if (real === undefined) print('SKERRY_TEST_DAPRD is not set: no real daprd beside ours.');
  else columns['daprd'] = await measureSidecar(real, app, folder);
} finally {
  await app.stop();
  rmSync(folder, { recursive: true, force: true });
}
const works = new Set(Object.values(columns).flatMap((row) => Object.keys(row)));
print(`| | ${Object.keys(columns).join(' | ')} |`);
print(`|${' --- |'.repeat(Object.keys(columns).length + 1)}`);
for (const work of works)
  print(
    `| ${work} | ${Object.values(columns)
      .map((row) => row[work] ?? '')
      .join(' | ')} |`,
  );
