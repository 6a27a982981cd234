/**
 * Where in the stream of a connection an acknowledgement ended. The shim records how many bytes the process handed to
 * each connection and when; together they tell the very moment at which a promise left the process.
 */

import type { Socket } from 'node:net';
import { RECORD, type TraceEvent } from './trace.ts';

export interface Place {
  /** The listener's port times 65536 plus the client's. */
  readonly port: number;
  /** Which connection of that port, counted from 0: ports are used again. */
  readonly turn: number;
  readonly bytes: number;
}

/** Connections per pair of ports so far. */
export type Places = Map<number, number>;

/** Names the connection; gives the place of a byte position in it. */
export function placed(socket: Socket, places: Places): (bytes: number) => Place {
  const port = (socket.remotePort ?? 0) * 65_536 + (socket.localPort ?? 0);
  const turn = places.get(port) ?? 0;
  places.set(port, turn + 1);
  return (bytes) => ({ port, turn, bytes });
}

/** For each place, the index of the event with which its last byte left the process; -1 when it never did. */
export function momentsOf(events: readonly TraceEvent[], places: readonly Place[]): number[] {
  const sends = new Map<string, { index: number; end: number }[]>();
  const turns = new Map<number, number>();
  const total = new Map<number, number>();
  events.forEach(({ type, a: port, b: bytes }, index) => {
    const key = `${port}:${turns.get(port) ?? 0}`;
    if (type === RECORD.accept) {
      turns.set(port, turns.has(port) ? (turns.get(port) ?? 0) + 1 : 0);
      total.set(port, 0);
    } else if (type === RECORD.send) {
      const end = (total.get(port) ?? 0) + bytes;
      total.set(port, end);
      const list = sends.get(key);
      if (list === undefined) sends.set(key, [{ index, end }]);
      else list.push({ index, end });
    } else if (type === RECORD.unsent) {
      const end = (total.get(port) ?? 0) - bytes;
      total.set(port, end);
      const last = sends.get(key)?.at(-1);
      if (last !== undefined) last.end = end;
    }
  });
  return places.map(({ port, turn, bytes }) => {
    const found = sends.get(`${port}:${turn}`)?.find(({ end }) => end >= bytes);
    return found?.index ?? -1;
  });
}
