/**
 * The kept connections of one HTTP/1.1 origin. A server may close a connection whenever no request is on it, and a
 * request that crosses its farewell has no answer. So no connection is used again before the event loop has read what
 * lies behind the last answer, and none that was idle for too long by the clock, whether or not its timer has run yet:
 * on a busy machine either can be late by seconds.
 */

import type { Agent } from 'node:http';
import type { Socket } from 'node:net';
import type { Clock } from '../contracts/clock.ts';

/** Idle connections are dropped before common servers (5 s) drop them. */
export const IDLE_MS = 4000;

export interface ConnectionPool {
  /** Drops what was idle for too long; called before a request is made. */
  dropStale(): void;
  /** Drops every idle connection: one of them was found closed. */
  dropIdle(): void;
  /** Whether an answer came on this connection before. */
  used(socket: Socket): boolean;
}

/** Watches over the connections of `agent`, which serves one origin and takes the one used last first. */
export function watchConnections(
  agent: Agent,
  clock: Pick<Clock, 'monotonicMs'> | undefined,
): ConnectionPool {
  const idleSince = new WeakMap<Socket, number>();
  const dropIdle = (): void => {
    for (const sockets of Object.values(agent.freeSockets)) {
      for (const socket of sockets ?? []) socket.destroy();
    }
  };
  restAfterUse(agent, (socket) => idleSince.set(socket, clock?.monotonicMs() ?? 0));
  return {
    dropStale: () => {
      if (clock === undefined) return;
      for (const sockets of Object.values(agent.freeSockets)) {
        const since = idleSince.get(sockets?.at(-1) as Socket);
        if (since !== undefined && clock.monotonicMs() - since >= IDLE_MS) dropIdle();
      }
    },
    dropIdle,
    used: (socket) => idleSince.has(socket),
  };
}

type Freed = readonly [socket: Socket, options: unknown];

/**
 * Tells the agent of a free connection two turns of the event loop later: the first reads the end of the stream that
 * lies behind an answer, if there is one, and the second finds it told.
 */
function restAfterUse(agent: Agent, onFree: (socket: Socket) => void): void {
  const emit = agent.emit.bind(agent) as (event: string | symbol, ...values: unknown[]) => boolean;
  let resting: Freed[] = [];
  const release = (freed: readonly Freed[]): void => {
    for (const values of freed) {
      emit('free', ...values);
      values[0].off('error', endBroken);
    }
  };
  agent.emit = (event: string | symbol, ...values: unknown[]): boolean => {
    if (event !== 'free') return emit(event, ...values);
    const freed = values as unknown as Freed;
    const [socket] = freed;
    onFree(socket);
    // Nobody else listens while it rests, and it may not even be connected: its request can have been given up before.
    socket.on('error', endBroken);
    resting.push(freed);
    if (resting.length > 1) return true;
    setImmediate(() => {
      const due = resting;
      resting = [];
      setImmediate(release, due);
    });
    return true;
  };
}

function endBroken(this: Socket): void {
  this.destroy();
}
