/**
 * Free ports for processes that need to know them before they start. They lie below the system's range for outgoing
 * connections, and each test process has a part of its own for as long as it lives, so that files running side by side never
 * meet, not even on a port that rests while its process is away.
 */

import { createServer } from 'node:net';

const FIRST = 12_000;
const PARTS = 40;
const PART_SIZE = 400;

/** The first port of a part is held by the process that has the part. */
let part: Promise<number> | undefined;
let next = 0;

function bindable(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen(port, () => server.close(() => resolve(true)));
  });
}

function hold(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer((socket) => socket.destroy());
    server.once('error', () => resolve(false));
    server.listen(port, '127.0.0.1', () => resolve(true)).unref();
  });
}

async function takePart(): Promise<number> {
  for (let tries = 0; tries < PARTS; tries += 1) {
    const base = FIRST + ((process.pid + tries) % PARTS) * PART_SIZE;
    if (await hold(base)) return base + 1;
  }
  throw new Error(`all ${PARTS} parts of the ports from ${FIRST} on are taken`);
}

/** A port that nobody listens on. */
export async function freePort(): Promise<number> {
  part ??= takePart();
  const base = await part;
  for (let tries = 0; tries < PART_SIZE - 1; tries += 1) {
    const port = base + (next % (PART_SIZE - 1));
    next += 1;
    if (await bindable(port)) return port;
  }
  throw new Error(`no free port from ${base} on`);
}
