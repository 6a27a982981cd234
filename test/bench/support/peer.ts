/** Sidecars under test and the bare Node floor, each in a process of its own with free ports. */

import { type ChildProcess, spawn } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer, get } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';

export interface Peer {
  readonly port: number;
  readonly readyMs: number;
  /** Resident memory now, in MB. */
  rss(): number;
  stop(): Promise<void>;
}

const RESOURCES = `apiVersion: dapr.io/v1alpha1
kind: Component
metadata: { name: mem }
spec: { type: state.in-memory, version: v1, metadata: [] }
---
apiVersion: dapr.io/v1alpha1
kind: Component
metadata: { name: ps }
spec: { type: pubsub.in-memory, version: v1, metadata: [] }
---
apiVersion: dapr.io/v1alpha1
kind: Component
metadata: { name: sql }
spec: { type: state.sqlite, version: v1, metadata: [{ name: connectionString, value: FILE }] }
`;

export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

function answers(port: number, path: string): Promise<boolean> {
  return new Promise((resolve) => {
    get({ host: '127.0.0.1', port, path, agent: false, timeout: 500 }, (response) => {
      response.resume();
      resolve((response.statusCode ?? 500) < 300);
    }).once('error', () => resolve(false));
  });
}

async function ready(child: ChildProcess, port: number, path: string): Promise<Peer> {
  const start = performance.now();
  while (!(await answers(port, path))) {
    if (performance.now() - start > 20_000 || child.exitCode !== null)
      throw new Error('a process did not come up');
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  return {
    port,
    readyMs: Math.round(performance.now() - start),
    rss: () =>
      Math.round(
        Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${child.pid}/status`, 'utf8'))?.[1]) / 1024,
      ),
    stop: () =>
      new Promise((resolve) => {
        child.once('exit', () => resolve());
        child.kill('SIGTERM');
      }),
  };
}

/** A sidecar of `binary` with in-memory and SQLite components; `appPort` 0: without an app. */
export async function startSidecar(
  binary: string,
  appId: string,
  folder: string,
  appPort: number,
): Promise<Peer> {
  const resources = join(folder, appId);
  mkdirSync(resources, { recursive: true });
  writeFileSync(join(resources, 'components.yaml'), RESOURCES.replace('FILE', join(folder, `${appId}.db`)));
  const port = await freePort();
  const ports = [await freePort(), await freePort()];
  const args = [
    ...[
      '--app-id',
      appId,
      '--dapr-http-port',
      port,
      '--dapr-grpc-port',
      ports[0],
      '--dapr-internal-grpc-port',
      ports[1],
    ],
    ...['--dapr-listen-addresses', '127.0.0.1', '--enable-metrics=false', '--log-level', 'error'],
    ...['--resources-path', resources, ...(appPort === 0 ? [] : ['--app-port', appPort])],
  ].map(String);
  return ready(spawn(binary, args, { cwd: folder, stdio: 'ignore' }), port, '/v1.0/healthz');
}

/** A Node server that answers at once, or passes on to `target`: what two hops cost without a sidecar. */
export async function startNode(target = 0): Promise<Peer> {
  const port = await freePort();
  const script = `
    const http = require('node:http');
    const agent = new http.Agent({ keepAlive: true });
    http.createServer((req, res) => {
      if (!${target}) { req.resume(); res.end('ok'); return; }
      req.pipe(http.request({ host: '127.0.0.1', port: ${target}, method: req.method, path: req.url, headers: req.headers, agent },
        (answer) => { res.writeHead(answer.statusCode, answer.headers); answer.pipe(res); }));
    }).listen(${port}, '127.0.0.1');`;
  return ready(spawn(process.execPath, ['-e', script], { stdio: 'ignore' }), port, '/');
}
