/** Ports that nobody asked for by number: the well-known one where it is free, another one where it is not. */

import { createServer } from 'node:net';

const TRIES = 200;

function bindable(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen({ port, host: '127.0.0.1', exclusive: true }, () => server.close(() => resolve(true)));
  });
}

/** The first port from `first` on that is neither in `taken` nor in use; it is added to `taken`. */
export async function freePortFrom(first: number, taken: Set<number>): Promise<number> {
  for (let port = first; port < first + TRIES; port += 1) {
    if (taken.has(port) || !(await bindable(port))) continue;
    taken.add(port);
    return port;
  }
  return first;
}
