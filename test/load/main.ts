/**
 * `npm run load -- [--connections N] [--each N] [--rounds N] [--stall S]`: the built sidecar under 1,000 connections with 10
 * requests each in progress, over HTTP and over gRPC; with `--stall` it gets no processor for so many seconds in the midst of
 * it. Ends with exit code 1 when a request ended in neither an answer nor a refusal.
 */

import { spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { program } from '../integration/support/package-folder.ts';
import { freePort } from '../integration/support/ports.ts';
import { grpcBurst, httpBurst, measure, type Report, startSlowApp } from './burst.ts';

const { values } = parseArgs({
  options: {
    connections: { type: 'string' },
    each: { type: 'string' },
    rounds: { type: 'string' },
    stall: { type: 'string' },
  },
});
const burst = {
  connections: Number(values.connections ?? '1000'),
  each: Number(values.each ?? '10'),
  appId: 'load',
};
const print = (line: string): void => void process.stdout.write(`${line}\n`);
const folder = mkdtempSync(join(tmpdir(), 'skerry-load-'));
mkdirSync(join(folder, 'resources'));
const app = await startSlowApp();
const ports = {
  http: await freePort(),
  grpc: await freePort(),
  internal: await freePort(),
  metrics: await freePort(),
};
const sidecar = spawn(
  program('daprd'),
  [
    '--app-id=load',
    `--app-port=${app.port}`,
    `--dapr-http-port=${ports.http}`,
    `--dapr-grpc-port=${ports.grpc}`,
    `--dapr-internal-grpc-port=${ports.internal}`,
    `--metrics-port=${ports.metrics}`,
    '--dapr-listen-addresses=127.0.0.1',
    `--resources-path=${join(folder, 'resources')}`,
    `--data-dir=${join(folder, 'data')}`,
    '--log-level=error',
  ],
  { stdio: 'inherit' },
);
const healthy = async (): Promise<boolean> =>
  (await fetch(`http://127.0.0.1:${ports.http}/v1.0/healthz`).catch(() => undefined))?.status === 204;
app.hold(false);
while (!(await healthy())) await pause(100);

const show = (name: string, { tally, reached, before, during, after }: Report): void => {
  print(
    `${name}: ${JSON.stringify(tally)}, ${reached} at the app at once; RSS ${before.rssMb} -> ${during.rssMb} -> ${after.rssMb} MB, descriptors ${before.descriptors} -> ${during.descriptors} -> ${after.descriptors}`,
  );
  const clean = ['200', '429', 'grpc 0', 'grpc 8'];
  if (!Object.keys(tally).length || Object.keys(tally).some((end) => !clean.includes(end)))
    process.exitCode = 1;
};
/** Longer than the app keeps its connections, for what is found when the processor is back. */
const stall = async (): Promise<void> => {
  if (values.stall === undefined) return;
  await pause(150);
  app.hold(false);
  sidecar.kill('SIGSTOP');
  await pause(Number(values.stall) * 1000);
  sidecar.kill('SIGCONT');
};
try {
  for (let round = 1; round <= Number(values.rounds ?? '2'); round += 1) {
    show(
      `HTTP, round ${round}`,
      await measure(sidecar.pid ?? 0, app, burst, () => httpBurst(ports.http, burst), stall),
    );
    show(
      `gRPC, round ${round}`,
      await measure(sidecar.pid ?? 0, app, burst, () => grpcBurst(ports.grpc, burst), stall),
    );
    if (!(await healthy())) throw new Error('the sidecar does not answer any more');
  }
} finally {
  sidecar.kill();
  app.close();
  rmSync(folder, { recursive: true, force: true });
}
