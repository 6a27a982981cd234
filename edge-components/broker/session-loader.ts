/** Reads the sessions that an earlier run of the broker left on disk. */

import type { Database, SqlValue } from '../../runtime/contracts/database.ts';
import type { Outgoing } from './queues.ts';
import { decodeOptions } from './schema.ts';
import { Session, type SessionHost } from './session.ts';
import { clampQos, storedNumber } from './stored-message.ts';

export interface LoadedSession {
  readonly session: Session;
  /** Elapsed time since when it has no connection; `undefined`: it had one when the process ended. */
  readonly endedAt: number | undefined;
}

export function loadSessions(
  database: Database,
  host: SessionHost,
): { readonly sessions: LoadedSession[]; readonly lastMessage: number } {
  const byKey = new Map<number, Session>();
  const byClient = new Map<string, Session>();
  const sessions: LoadedSession[] = [];
  /** Rows up to this one may have been sent before. */
  const sentTo = new Map<Session, number | undefined>();
  for (const row of database.read(
    'SELECT id, client, expiry_seconds, ended_at, sent_to, user FROM mqtt_session ORDER BY id',
  )) {
    const session = new Session(String(row['client']), Number(row['id']), host);
    session.expirySeconds = storedNumber(row['expiry_seconds']);
    session.user = typeof row['user'] === 'string' ? row['user'] : undefined;
    sentTo.set(session, storedNumber(row['sent_to']));
    session.sentTo = storedNumber(row['sent_to']) ?? 0;
    byKey.set(session.key, session);
    byClient.set(session.clientId, session);
    sessions.push({ session, endedAt: storedNumber(row['ended_at']) });
  }
  loadSubscriptions(database, byKey);
  for (const row of database.read('SELECT client, packet_id FROM mqtt_received')) {
    byClient.get(String(row['client']))?.received.set(Number(row['packet_id']), undefined);
  }
  const named = loadDeliveries(database, byKey, sentTo, host.maxInflight);
  // Also above a message that a wrong bit left without its delivery: its row is taken.
  const stored = storedNumber(database.read('SELECT max(id) AS id FROM mqtt_message')[0]?.['id']) ?? 0;
  return { sessions, lastMessage: Math.max(named, stored) };
}

function loadSubscriptions(database: Database, byKey: ReadonlyMap<number, Session>): void {
  for (const row of database.read('SELECT session, filter, qos, options FROM mqtt_subscription')) {
    const session = byKey.get(Number(row['session']));
    if (session === undefined) continue;
    const { rh, rap, nl, subscriptionIdentifier } = decodeOptions(row['options']);
    const identifier = typeof subscriptionIdentifier === 'number' ? subscriptionIdentifier : undefined;
    if (identifier !== undefined) session.hasIdentifiers = true;
    const filter = String(row['filter']);
    session.subscriptions.set(filter, {
      session,
      filter,
      qos: clampQos(Number(row['qos'])),
      noLocal: nl === true,
      retainAsPublished: rap === true,
      retainHandling: Number(rh ?? 0),
      identifier,
      guarded: true,
    });
  }
}

/** The newest message row that is named. */
function loadDeliveries(
  database: Database,
  byKey: ReadonlyMap<number, Session>,
  sentTo: ReadonlyMap<Session, number | undefined>,
  window: number,
): number {
  let newest = 0;
  const sql =
    'SELECT session, message, qos, retain, size, state, packet_id FROM mqtt_delivery ORDER BY session, message';
  for (const row of database.read(sql)) {
    const message = Number(row['message']);
    newest = Math.max(newest, message);
    const session = byKey.get(Number(row['session']));
    if (session === undefined) continue;
    const limit = sentTo.get(session);
    const stored = packetId(row['packet_id']);
    const outgoing: Outgoing = {
      id: message,
      message: undefined,
      size: Math.max(0, storedNumber(row['size']) ?? 0),
      qos: clampQos(Number(row['qos'])) || 1,
      retain: row['retain'] === 1,
      packetId: stored ?? session.nextPacketId(),
      // After a crash what was sent is not known: at most a window full.
      duplicate: limit === undefined ? session.queue.length < window : message <= limit,
      released: row['state'] === 2,
      subscriptionIds: undefined,
    };
    session.resumePacketIds(outgoing.packetId);
    if (outgoing.released) session.inflight.set(outgoing.packetId, outgoing);
    else session.queue.push(outgoing);
  }
  return newest;
}

/** A packet id as it can stand in a packet. */
function packetId(value: SqlValue | undefined): number | undefined {
  const id = storedNumber(value);
  return id !== undefined && Number.isInteger(id) && id > 0 && id <= 0xffff ? id : undefined;
}
