/** What the commands that ask a running node have in common: their flags, its HTTP API, their exit code. */

import { request } from 'node:http';
import { type ParseArgsOptionsConfig, parseArgs } from 'node:util';
import { errorText } from '../contracts/error.ts';
import { FlagError } from '../flags.ts';
import { printError } from './output.ts';

const LIMIT_MS = 30_000;
const FLAGS = {
  'dapr-http-port': { type: 'string' },
  host: { type: 'string' },
  json: { type: 'boolean' },
  help: { type: 'boolean' },
} as const;

export type Env = Readonly<Record<string, string | undefined>>;
/** One request below the path of the command; the JSON of the answer. Throws with the reason when it is refused. */
export type Ask = (method: string, path: string) => Promise<unknown>;

interface Answer {
  readonly status: number;
  readonly text: string;
}

interface Target {
  readonly host: string;
  readonly port: number;
  readonly token: string;
}

class Refused extends Error {}

/** The arguments of `command`: the flags of all of them and its own. */
export function parseNodeArgs<const Own extends ParseArgsOptionsConfig>(
  command: string,
  args: readonly string[],
  own: Own,
) {
  try {
    return parseArgs({ args: [...args], allowPositionals: true, options: { ...FLAGS, ...own } });
  } catch (error) {
    throw new FlagError(`${command}: ${errorText(error)}`);
  }
}

/** Asks the node that the flags and the environment name, below `base`. */
export function nodeApi(
  values: { readonly host?: string | undefined; readonly 'dapr-http-port'?: string | undefined },
  env: Env,
  base: string,
): Ask {
  const target = {
    host: values.host ?? '127.0.0.1',
    port: Number(values['dapr-http-port'] ?? env['DAPR_HTTP_PORT'] ?? '3500'),
    token: env['DAPR_API_TOKEN'] ?? '',
  };
  return async (method, path) => {
    const { status, text } = await call(target, method, `${base}${path === '' ? '' : `/${path}`}`);
    if (status >= 200 && status < 300) return text === '' ? undefined : JSON.parse(text);
    throw new Refused(messageIn(text) ?? `the node answered ${status}`);
  };
}

/** Runs a command; the exit code. What a node or the network says against it is printed. */
export async function answering(run: () => Promise<void>): Promise<number> {
  try {
    await run();
    return 0;
  } catch (error) {
    if (error instanceof FlagError) throw error;
    printError(errorText(error));
    return 1;
  }
}

function messageIn(text: string): string | undefined {
  try {
    return (JSON.parse(text) as { message?: string }).message;
  } catch {
    return text === '' ? undefined : text;
  }
}

function call({ host, port, token }: Target, method: string, path: string): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const headers = token === '' ? {} : { 'dapr-api-token': token };
    const asked = request(
      { host, port, path, method, headers, agent: false, timeout: LIMIT_MS },
      (answer) => {
        const parts: Buffer[] = [];
        answer.on('data', (part: Buffer) => parts.push(part));
        answer.once('end', () =>
          resolve({ status: answer.statusCode ?? 0, text: Buffer.concat(parts).toString() }),
        );
        answer.once('error', reject);
      },
    );
    asked.once('timeout', () => asked.destroy(new Error('no answer in time')));
    asked.once('error', (error) =>
      reject(new Error(`no node answers at ${host}:${port} (--dapr-http-port): ${errorText(error)}`)),
    );
    asked.end();
  });
}
