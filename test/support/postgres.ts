/** A PostgreSQL server of a test's own, where this machine has the programs; gone with the test. */

import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { chownSync, existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import pg from 'pg';
import type { Test } from 'tap';

export interface PostgresServer {
  /** With user and password. */
  readonly url: string;
  readonly port: number;
  readonly password: string;
  query(sql: string, values?: readonly unknown[]): Promise<readonly Record<string, unknown>[]>;
  /** A database of its own in this server; its address. */
  database(name: string): Promise<string>;
  /** Ends the server at once, connections included. */
  stop(): Promise<void>;
  start(): Promise<void>;
}

const NOBODY = 65_534;
const PASSWORD = 'secret-word';

/** The folder with `initdb` and `postgres`; `undefined` when there is none. */
function programs(): string | undefined {
  const packaged = '/usr/lib/postgresql';
  const versions = existsSync(packaged) ? readdirSync(packaged).sort((a, b) => Number(b) - Number(a)) : [];
  const folders = [
    ...(process.env['PATH'] ?? '').split(delimiter),
    ...versions.map((version) => join(packaged, version, 'bin')),
  ];
  return folders.find((folder) => ['initdb', 'postgres'].every((name) => existsSync(join(folder, name))));
}

/** Why there can be no server here, or false. */
export const withoutPostgres: string | false =
  programs() === undefined ? 'there is no PostgreSQL on this machine (initdb and postgres)' : false;

/** PostgreSQL refuses to run as root. */
const owner = process.getuid?.() === 0 ? { uid: NOBODY, gid: NOBODY } : {};

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  return typeof address === 'object' && address !== null ? address.port : 0;
}

export async function startPostgres(t: Test): Promise<PostgresServer> {
  const bin = programs() ?? '';
  const folder = mkdtempSync(join(tmpdir(), 'skerry-pg-'));
  const data = join(folder, 'data');
  mkdirSync(data);
  writeFileSync(join(folder, 'password'), PASSWORD);
  if (owner.uid !== undefined)
    for (const path of [folder, data, join(folder, 'password')]) chownSync(path, NOBODY, NOBODY);
  const made = spawnSync(
    join(bin, 'initdb'),
    [
      '-D',
      data,
      '-U',
      'relay',
      '-A',
      'scram-sha-256',
      `--pwfile=${join(folder, 'password')}`,
      '-N',
      '--no-locale',
      '-E',
      'UTF8',
    ],
    { ...owner, encoding: 'utf8', cwd: folder },
  );
  if (made.status !== 0) throw new Error(`initdb: ${made.stderr}`);
  const port = await freePort();
  const url = `postgres://relay:${PASSWORD}@127.0.0.1:${port}/postgres`;
  let child: ChildProcess | undefined;
  let said = '';

  const query = async (sql: string, values: readonly unknown[] = []) => {
    const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: 2000 });
    client.on('error', () => {});
    await client.connect();
    try {
      return (await client.query(sql, [...values])).rows as Record<string, unknown>[];
    } finally {
      await client.end();
    }
  };
  const stop = async (): Promise<void> => {
    const running = child;
    child = undefined;
    if (running === undefined || running.exitCode !== null) return;
    const ended = new Promise((resolve) => running.once('close', resolve));
    // Immediate shutdown: what a crash looks like from outside.
    running.kill('SIGQUIT');
    await ended;
  };
  const start = async (): Promise<void> => {
    child = spawn(
      join(bin, 'postgres'),
      [
        '-D',
        data,
        '-p',
        String(port),
        '-c',
        'listen_addresses=127.0.0.1',
        '-c',
        'unix_socket_directories=',
        '-F',
      ],
      { ...owner, cwd: folder, stdio: ['ignore', 'ignore', 'pipe'] },
    );
    child.stderr?.on('data', (chunk: Buffer) => {
      said = `${said}${chunk.toString()}`.slice(-4000);
    });
    for (let tries = 0; tries < 200; tries += 1) {
      if (child.exitCode !== null) throw new Error(`postgres: ${said}`);
      if (
        await query('SELECT 1').then(
          () => true,
          () => false,
        )
      )
        return;
      await pause(50);
    }
    throw new Error(`postgres does not answer: ${said}`);
  };
  t.teardown(async () => {
    await stop();
    rmSync(folder, { recursive: true, force: true });
  });
  await start();
  return {
    url,
    port,
    password: PASSWORD,
    query,
    database: async (name) => {
      await query(`CREATE DATABASE ${name}`);
      return url.replace(/postgres$/, name);
    },
    stop,
    start,
  };
}
