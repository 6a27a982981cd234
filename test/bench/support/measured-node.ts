/** A node started for a measurement: the built package with given resources, and what the kernel counts for it. */

import { spawn } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { RawHttp } from '../../crash/raw-http.ts';
import { freePorts, type Ports } from '../../integration/support/node-process.ts';
import { packageFolder } from '../../integration/support/package-folder.ts';

export interface MeasuredNodeOptions {
  /** Folder for everything of this node. */
  readonly folder: string;
  readonly name: string;
  /** Texts of resource files. */
  readonly resources: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  readonly flags?: readonly string[];
  /** The file of a control group that takes its process ids. */
  readonly cgroup?: string;
}

export interface MeasuredNode {
  readonly ports: Ports;
  readonly pid: number;
  /** Bytes that the process caused to be written to the disk. */
  written(): number;
  /** A line of /proc/<pid>/status in bytes: `VmRSS`, `RssAnon`. */
  memory(line: string): number;
  /** Whether the process is still there. */
  running(): boolean;
  stop(): Promise<void>;
}

const READY_MS = 30_000;
const LOOK_MS = 50;

export async function startMeasured(options: MeasuredNodeOptions): Promise<MeasuredNode> {
  const { folder, name, resources, env = {}, flags = [], cgroup } = options;
  const resourcesFolder = join(folder, `${name}-resources`);
  mkdirSync(resourcesFolder, { recursive: true });
  for (const [index, text] of resources.entries())
    writeFileSync(join(resourcesFolder, `${index}.yaml`), text);
  const ports = await freePorts();
  const program = join(packageFolder(), 'daprd');
  const enter = ['-c', 'echo $$ > "$0" && exec "$@"', cgroup ?? '', program];
  const child = spawn(
    cgroup === undefined ? program : '/bin/sh',
    [
      ...(cgroup === undefined ? [] : enter),
      '--app-id=bench',
      `--dapr-http-port=${ports.http}`,
      `--dapr-grpc-port=${ports.grpc}`,
      `--dapr-internal-grpc-port=${ports.internal}`,
      '--enable-metrics=false',
      `--mqtt-port=${ports.mqtt}`,
      `--resources-path=${resourcesFolder}`,
      `--data-dir=${join(folder, name)}`,
      '--log-level=error',
      ...flags,
    ],
    { stdio: ['ignore', 'inherit', 'inherit'], env: { ...process.env, ...env } },
  );
  const gone = new Promise<void>((resolve) => child.once('close', () => resolve()));
  const running = (): boolean => child.exitCode === null && child.signalCode === null;
  for (let waited = 0; ; waited += LOOK_MS) {
    const client = await RawHttp.open(ports.http, new Map()).catch(() => undefined);
    const answer = await client?.send('GET', '/v1.0/healthz', '').catch(() => undefined);
    client?.close();
    if (answer?.status === 204) break;
    if (!running() || waited > READY_MS) {
      child.kill('SIGKILL');
      throw new Error('the node did not become ready');
    }
    await sleep(LOOK_MS);
  }
  const pid = child.pid as number;
  const number = (file: string, pattern: RegExp): number =>
    Number(pattern.exec(readFileSync(`/proc/${pid}/${file}`, 'utf8'))?.[1] ?? 0);
  return {
    ports,
    pid,
    written: () => number('io', /^write_bytes: (\d+)/m),
    memory: (line) => number('status', new RegExp(`^${line}:\\s+(\\d+) kB`, 'm')) * 1024,
    running,
    stop: async () => {
      child.kill('SIGTERM');
      await gone;
    },
  };
}
