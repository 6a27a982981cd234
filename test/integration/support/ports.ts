/**
 * Free ports for processes that need to know them before they start. They lie below the system's range for outgoing
 * connections, and each test process looks in a part of its own, so that two files running side by side never meet.
 */

import { createServer } from 'node:net';

const FIRST = 12_000;
const PARTS = 40;
const PART_SIZE = 400;

let next = 0;

function bindable(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen(port, () => server.close(() => resolve(true)));
  });
}

/** A port that nobody listens on. */
export async function freePort(): Promise<number> {
  const base = FIRST + (process.pid % PARTS) * PART_SIZE;
  for (let tries = 0; tries < PART_SIZE; tries += 1) {
    const port = base + (next % PART_SIZE);
    next += 1;
    if (await bindable(port)) return port;
  }
  throw new Error(`no free port from ${base} on`);
}
