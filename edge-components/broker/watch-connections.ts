/** The broker's look at its connections twice a second, while there are any: silence, frozen readers, slow goodbyes. */

import type { Clock, Timer } from '../../runtime/contracts/clock.ts';
import type { Connection } from './connection.ts';
import type { ConnectionHost } from './connection-host.ts';
import { SYS_INTERVAL_MS } from './sys-topics.ts';
import { ProtocolFault, REASON } from './wire/fault.ts';

const TICK_MS = 500;
/** Publishers wait this long at most for a subscriber. */
const PATIENCE_MS = 250;
/** Time to take what was written before a connection is cut off. */
const GOODBYE_MS = 2000;
const CONNECT_MS = 10_000;

export function watchConnections(host: ConnectionHost, clock: Clock): { start(): void; stop(): void } {
  let timer: Timer | undefined;
  let stopped = false;
  let told = clock.monotonicMs();
  const tick = (): void => {
    timer = undefined;
    if (stopped) return;
    const now = clock.monotonicMs();
    for (const connection of host.connections) look(connection, now);
    if (now - told >= SYS_INTERVAL_MS) {
      told = now;
      host.sys.tell();
    }
    host.statistics.report({
      connected_clients: host.connections.size,
      sessions: host.store.sessionCount,
      queued_messages: host.store.queuedMessages,
      retained_messages: host.retained.count,
    });
    if (host.connections.size > 0) start();
  };
  const start = (): void => {
    if (!stopped) timer ??= clock.startTimer(TICK_MS, tick, true);
  };
  return {
    start,
    stop: () => {
      stopped = true;
      timer?.cancel();
    },
  };
}

function look(connection: Connection, now: number): void {
  const { state, silenceMs, lastSeen } = connection;
  if (state === 'closed') {
    if (now - connection.closedAt >= GOODBYE_MS) connection.source.stream.destroy();
    return;
  }
  if (connection.pressuredAt > 0 && now - connection.pressuredAt >= PATIENCE_MS) {
    connection.frozen = true;
    connection.letGo();
  }
  if (state !== 'open') {
    if (now - lastSeen >= CONNECT_MS) connection.fault(new Error('CONNECT did not come in time'));
  } else if (silenceMs > 0 && now - lastSeen > silenceMs) {
    // [MQTT-3.1.2-22]
    connection.fault(new ProtocolFault(REASON.keepAliveTimeout, 'keep alive timeout'));
  }
}
