/**
 * A port that is taken before anybody can be served on it. The internal port of a sidecar is told to others, so no
 * connection of a component may get it as its own while components start; who connects meanwhile waits, as in daprd.
 */

import type { AddressInfo, Socket } from 'node:net';
import { createServer } from 'node:net';

export interface ReservedPort {
  readonly port: number;
  /** Hands over the connections that wait and all that come; may be called once. */
  serve(server: { emit(event: 'connection', socket: Socket): boolean }, maxConnections: number): void;
  /** Gives the port back; resolves when its connections have ended. */
  close(): Promise<void>;
}

/** Connections that may wait. */
const MAX_WAITING = 1024;

/** Takes a port; rejects when it cannot be had. */
export async function reservePort(
  address: { readonly host: string; readonly port: number },
  backlog: number,
): Promise<ReservedPort> {
  const waiting = new Set<Socket>();
  let take: ((socket: Socket) => void) | undefined;
  const server = createServer((socket) => {
    if (take !== undefined) return take(socket);
    // A connection that breaks while it waits has nobody else to tell.
    socket.on('error', ignore);
    socket.once('close', () => waiting.delete(socket));
    waiting.add(socket);
  });
  server.maxConnections = MAX_WAITING;
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen({ ...address, host: address.host.replace(/^\[(.*)\]$/, '$1'), backlog }, () => {
      server.off('error', reject);
      resolve();
    });
  });
  return {
    port: (server.address() as AddressInfo).port,
    serve: (target, maxConnections) => {
      server.maxConnections = maxConnections;
      take = (socket) => void target.emit('connection', socket);
      for (const socket of waiting) {
        socket.off('error', ignore);
        if (!socket.destroyed) take(socket);
      }
      waiting.clear();
    },
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        for (const socket of waiting) socket.destroy();
      }),
  };
}

function ignore(): void {}
