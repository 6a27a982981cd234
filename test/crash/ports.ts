/** Ports of the node under test. It is killed and started again on them, so they lie where nothing else looks for any. */

import { createServer } from 'node:net';
import type { Ports } from '../integration/support/node-process.ts';

const FIRST = 28_100;
const PARTS = 200;
const PART_SIZE = 20;

function bindable(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen(port, () => server.close(() => resolve(true)));
  });
}

/** Five ports that nobody listens on, from this process's part of the range. */
export async function ownPorts(): Promise<Ports> {
  const base = FIRST + (process.pid % PARTS) * PART_SIZE;
  const free: number[] = [];
  for (let port = base; port < base + PART_SIZE && free.length < 5; port += 1)
    if (await bindable(port)) free.push(port);
  const [http, grpc, internal, metrics, mqtt] = free;
  if (mqtt === undefined) throw new Error(`no five free ports from ${base} on`);
  return { http, grpc, internal, metrics, mqtt } as Ports;
}
