/**
 * Nodes that `skerry run` and `skerry up` have started: each answers on a socket in a folder of its user, so that
 * `skerry list` and `skerry stop` see what runs and nothing that did. A socket that nobody answers is removed.
 */

import { rmSync } from 'node:fs';
import { lstat, mkdir, readdir, rm } from 'node:fs/promises';
import { createServer, request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { errorText } from '../contracts/error.ts';
import type { SidecarOptions } from '../flags.ts';
import { printError } from './output.ts';

type Env = Readonly<Record<string, string | undefined>>;

/** An app with its sidecar, with the members of `dapr list -o json`. */
export interface RunningApp {
  readonly appId: string;
  readonly httpPort: number;
  readonly grpcPort: number;
  readonly appPort: number;
  readonly metricsEnabled: boolean;
  readonly command: string;
  /** Milliseconds since 1970. */
  readonly started: number;
  /** Process of the node. */
  readonly daprdPid: number;
  readonly cliPid: number;
  readonly appPid: number;
  readonly maxRequestBodySize: number;
  readonly httpReadBufferSize: number;
  readonly runTemplatePath: string;
  readonly appLogPath: string;
  readonly daprdLogPath: string;
  readonly runTemplateName: string;
}

export interface NodeControl {
  apps(): readonly RunningApp[];
  /** Ends one app and its sidecar; resolves when both are gone. */
  stopApp(appId: string): Promise<void>;
}

/** A node that answered. */
export interface RunningNode {
  readonly apps: readonly RunningApp[];
  /** Ends an app; the last one takes the node with it. */
  stopApp(appId: string): Promise<void>;
}

const ANSWER_LIMIT_MS = 30_000;

/** What is told of an app; `file` is the run file it comes from. */
export function runningApp(
  { options, command }: { readonly options: SidecarOptions; readonly command: readonly string[] },
  app: { readonly pid: number; readonly logFile: string | undefined } | undefined,
  more: {
    readonly started: number;
    readonly file?: string;
    readonly logFile?: string;
    readonly name?: string;
  },
): RunningApp {
  return {
    appId: options.appId,
    httpPort: options.httpPort,
    grpcPort: options.grpcPort,
    appPort: options.appPort,
    metricsEnabled: options.metricsPort !== undefined,
    command: command.join(' '),
    started: more.started,
    daprdPid: process.pid,
    cliPid: process.pid,
    appPid: app?.pid ?? 0,
    maxRequestBodySize: Number.isFinite(options.maxBodyBytes) ? options.maxBodyBytes : 0,
    httpReadBufferSize: options.readBufferBytes,
    runTemplatePath: more.file ?? '',
    appLogPath: app?.logFile ?? '',
    daprdLogPath: more.logFile ?? '',
    runTemplateName: more.name ?? '',
  };
}

/** Readable by its owner only: whoever can write there can stop nodes. */
async function controlFolder(env: Env): Promise<string> {
  const runtime = env['XDG_RUNTIME_DIR'];
  const uid = process.getuid?.() ?? 0;
  const folder = runtime ? join(runtime, 'skerry') : join(tmpdir(), `skerry-${uid}`);
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const found = await lstat(folder);
  if (!found.isDirectory() || found.uid !== uid || (found.mode & 0o022) !== 0)
    throw new Error(`${folder} is not a folder of this user alone`);
  return folder;
}

/** Makes this node known until the process ends; without it, `skerry list` and `skerry stop` do not see it. */
export async function announceNode(control: NodeControl, env: Env): Promise<void> {
  try {
    await openControl(control, env);
  } catch (error) {
    printError(`skerry list and skerry stop will not see this node: ${errorText(error)}`);
  }
}

async function openControl(control: NodeControl, env: Env): Promise<void> {
  const path = join(await controlFolder(env), `${process.pid}.sock`);
  await rm(path, { force: true });
  const server = createServer((incoming, response) => {
    const answer = (status: number, body: unknown): void => {
      response.writeHead(status, { 'content-type': 'application/json', connection: 'close' });
      response.end(JSON.stringify(body));
    };
    const url = new URL(incoming.url ?? '/', 'http://node');
    if (incoming.method === 'GET') return answer(200, control.apps());
    control.stopApp(url.searchParams.get('appId') ?? '').then(
      () => answer(200, {}),
      (error) => answer(500, { message: errorText(error) }),
    );
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen({ path }, resolve);
  });
  server.unref();
  process.once('exit', () => rmSync(path, { force: true }));
}

/** Every node of this user that answers, oldest process first. */
export async function runningNodes(env: Env): Promise<readonly RunningNode[]> {
  const folder = await controlFolder(env);
  const names = (await readdir(folder)).filter((name) => /^\d+\.sock$/.test(name));
  names.sort((a, b) => Number.parseInt(a, 10) - Number.parseInt(b, 10));
  const found = await Promise.all(
    names.map(async (name): Promise<RunningNode[]> => {
      const path = join(folder, name);
      try {
        const apps = (await call(path, 'GET', '/')) as RunningApp[];
        const stopApp = async (appId: string): Promise<void> => {
          await call(path, 'POST', `/?appId=${encodeURIComponent(appId)}`);
        };
        return [{ apps, stopApp }];
      } catch (error) {
        const { code } = error as NodeJS.ErrnoException;
        if (code === 'ECONNREFUSED') await rm(path, { force: true });
        return [];
      }
    }),
  );
  return found.flat();
}

function call(socketPath: string, method: string, path: string): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const asked = request({ socketPath, method, path, agent: false, timeout: ANSWER_LIMIT_MS }, (answer) => {
      const parts: Buffer[] = [];
      answer.on('data', (part: Buffer) => parts.push(part));
      answer.once('error', reject);
      answer.once('end', () => {
        try {
          const body = JSON.parse(Buffer.concat(parts).toString()) as { message?: string };
          if (answer.statusCode === 200) resolve(body);
          else reject(new Error(body.message ?? `the node answered ${answer.statusCode}`));
        } catch (error) {
          reject(error as Error);
        }
      });
    });
    asked.once('timeout', () => asked.destroy(new Error('the node does not answer')));
    asked.once('error', reject);
    asked.end();
  });
}
