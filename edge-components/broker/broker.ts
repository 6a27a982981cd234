/**
 * The MQTT broker inside the node: aedes for who is connected, our own acceptance, sessions and delivery for what flows.
 *
 * Invariants: PUBACK and PUBREC leave after the message is on disk for every session that must get it; what one client
 * does, sends or does not read costs the others nothing; nothing is held without a bound.
 */

import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import type { TLSSocket } from 'node:tls';
import type { EmbeddedBroker } from '../../runtime/contracts/broker.ts';
import type { Clock } from '../../runtime/contracts/clock.ts';
import type { Database, DatabasePool } from '../../runtime/contracts/database.ts';
import type { Ids } from '../../runtime/contracts/ids.ts';
import type { Logger } from '../../runtime/contracts/logger.ts';
import type { Metrics } from '../../runtime/contracts/metrics.ts';
import { Acceptance } from './acceptance.ts';
import { Access } from './access.ts';
import type { AccessList } from './acl-file.ts';
import { Connection, type ConnectionSource } from './connection.ts';
import type { ConnectionHost } from './connection-host.ts';
import { DamagedMessages } from './damaged-messages.ts';
import { ElapsedTime } from './elapsed-time.ts';
import { startAedes } from './lifecycle.ts';
import { type Listener, openListeners } from './listeners.ts';
import { memoryPair } from './memory-pair.ts';
import {
  type BrokerLimits,
  type BrokerOptions,
  type BrokerUser,
  brokerLimits,
  checkExposure,
} from './options.ts';
import { FlushScheduler } from './outbox.ts';
import { ownsUrl } from './own-address.ts';
import { RetainedMessages } from './retained.ts';
import { Router } from './router.ts';
import { BROKER_MIGRATION } from './schema.ts';
import type { Session } from './session.ts';
import { SessionStore } from './session-store.ts';
import { Statistics } from './statistics.ts';
import { SysTopics } from './sys-topics.ts';
import { type TrackedDatabase, trackWrites } from './tracked-database.ts';
import { watchConnections } from './watch-connections.ts';
import { Wills } from './wills.ts';

export interface BrokerDeps {
  readonly databases: DatabasePool;
  readonly clock: Clock;
  readonly ids: Ids;
  readonly log: Logger;
  readonly metrics: Metrics;
  readonly options: BrokerOptions;
}

/** The embedded broker with its life. */
export interface RunningBroker extends EmbeddedBroker {
  /** Opens the database and the listeners; later calls join the first. */
  start(): Promise<void>;
  /** Disconnects everybody and waits for what is on its way to disk. */
  close(): Promise<void>;
  /** Takes new users and a new access list; refuses users that would leave a listener open to the network. */
  replaceAccess(users: readonly BrokerUser[], list: AccessList | undefined): void;
}

/** Refuses options that are no sense or unsafe; starts nothing. */
export function createBroker(deps: BrokerDeps): RunningBroker {
  const limits = brokerLimits(deps.options);
  checkExposure(deps.options);
  let starting: Promise<Core> | undefined;
  let core: Core | undefined;
  let closed = false;

  const start = (): Promise<Core> => {
    if (closed) return Promise.reject(new Error('MQTT broker: it is closed'));
    starting ??= startCore(deps, limits).then(
      (started) => {
        core = started;
        return started;
      },
      (error: unknown) => {
        starting = undefined;
        throw error;
      },
    );
    return starting;
  };

  return {
    start: async () => {
      await start();
    },
    owns: (url) => ownsUrl(url, deps.options, core?.listeners),
    connect: async () => (await start()).connect(),
    status: () => ({
      running: core !== undefined && !closed,
      listeners: core?.listeners.map((listener) => listener.url) ?? [],
      connectedClients: core?.connectedClients() ?? 0,
      sessions: core?.sessions.sessionCount ?? 0,
      queuedMessages: core?.sessions.queuedMessages ?? 0,
      retainedMessages: core?.retained.count ?? 0,
    }),
    replaceAccess: (users, list) => {
      checkExposure({ ...deps.options, users });
      core?.replaceAccess(users, list);
    },
    close: async () => {
      if (closed) return;
      closed = true;
      await (await starting?.catch(() => undefined))?.close();
    },
  };
}

interface Core {
  readonly listeners: readonly Listener[];
  readonly sessions: SessionStore;
  readonly retained: RetainedMessages;
  connectedClients(): number;
  connect(): Duplex;
  replaceAccess(users: readonly BrokerUser[], list: AccessList | undefined): void;
  close(): Promise<void>;
}

async function startCore(deps: BrokerDeps, limits: BrokerLimits): Promise<Core> {
  const shared: Database = await deps.databases.system([BROKER_MIGRATION]);
  const database = trackWrites(shared);
  try {
    return await startOn(database, deps, limits);
  } catch (error) {
    await database.close();
    throw error;
  }
}

async function startOn(database: TrackedDatabase, deps: BrokerDeps, limits: BrokerLimits): Promise<Core> {
  const { clock, log, options } = deps;
  const host = await openHost(database, deps, limits);
  const aedes = await startAedes({
    id: deps.ids.uuid(),
    maxSessions: limits.maxSessions,
    access: host.access,
    acceptance: host.acceptance,
    time: host.time,
    log,
  });
  host.adopt = (control) => void aedes.handle(control);
  host.wills.resume((clientId, message, done) => {
    host.acceptance.publish(message, { clientId, pending: 0 }, () => done());
  });
  const watch = watchConnections(host, clock);

  const accept = (source: ConnectionSource): void => {
    new Connection(host, source);
    watch.start();
  };
  const stop = async (): Promise<void> => {
    await new Promise<void>((resolve) => aedes.close(() => resolve()));
    for (const connection of host.connections) connection.finish();
    await host.acceptance.settled();
    watch.stop();
    for (const connection of host.connections) connection.source.stream.destroy();
  };
  let listeners: readonly Listener[];
  try {
    listeners = await openListeners(options, limits, (stream, socket) =>
      accept({ stream, trusted: false, peer: peerOf(socket), certificateUser: certificateUser(socket) }),
    );
  } catch (error) {
    await stop();
    throw error;
  }
  for (const listener of listeners) log.info(`MQTT broker is listening at ${listener.url}`);

  return {
    listeners,
    sessions: host.store,
    retained: host.retained,
    connectedClients: () => openConnections(host),
    connect: () => {
      const [ours, theirs] = memoryPair();
      accept({ stream: theirs, trusted: true, peer: 'in-process', certificateUser: undefined });
      return ours;
    },
    replaceAccess: (users, list) => replaceAccess(host, users, list),
    close: async () => {
      const closing = listeners.map((listener) => listener.close());
      await stop();
      await Promise.all(closing);
      await host.store.flush();
      await host.time.close(database).catch((error: unknown) => host.store.failed(error));
      await database.settled();
      await database.close();
    },
  };
}

type Host = { -readonly [K in keyof ConnectionHost]: ConnectionHost[K] };

async function openHost(database: TrackedDatabase, deps: BrokerDeps, limits: BrokerLimits): Promise<Host> {
  const { clock, log, metrics, options } = deps;
  const statistics = new Statistics(metrics);
  const time = new ElapsedTime(clock, database);
  const router = new Router();
  const access = new Access(options.users ?? [], options.allowAnonymous, options.accessList);
  const damaged = new DamagedMessages(database, log);
  const store = new SessionStore({
    database,
    damaged,
    router,
    limits,
    time,
    log,
    count: (reason) => statistics.drop(reason),
  });
  const retained = new RetainedMessages(
    database,
    { maxMessages: limits.maxRetainedMessages, maxBytes: limits.maxRetainedBytes },
    damaged,
  );
  const acceptance = new Acceptance({
    database,
    store,
    router,
    retained,
    time,
    mayRead: (session, topic) => access.mayRead(session.user, session.clientId, topic),
    lingerMs: limits.lingerMs,
  });
  const started = clock.monotonicMs();
  const connections = new Set<Connection>();
  const values = (): Readonly<Record<string, string>> => {
    const connected = openConnections({ connections });
    const durable = store.sessionCount;
    let away = 0;
    for (const session of store) if (session.outlet === undefined) away += 1;
    const numbers: Readonly<Record<string, number>> = {
      'clients/connected': connected,
      'clients/total': connected + away,
      'clients/disconnected': away,
      'subscriptions/count': router.subscriptionCount,
      'retained messages/count': retained.count,
      'store/messages/count': durable === 0 ? 0 : store.queuedMessages,
      'messages/received': statistics.messagesReceived,
      'messages/sent': statistics.messagesSent,
      'publish/messages/received': statistics.publishesReceived,
      'publish/messages/sent': statistics.publishesSent,
      'publish/messages/dropped': statistics.droppedTotal,
      'bytes/received': statistics.bytesReceived,
      'bytes/sent': statistics.bytesSent,
    };
    const uptime = `${Math.floor((clock.monotonicMs() - started) / 1000)} seconds`;
    const texts = Object.entries(numbers).map(([name, value]) => [name, String(value)] as const);
    return { version: 'skerry', uptime, ...Object.fromEntries(texts) };
  };
  const sys = new SysTopics(router, values, (message) => acceptance.publish(message, undefined, () => {}));
  return {
    limits,
    clock,
    time,
    log,
    acceptance,
    store,
    retained,
    wills: new Wills(database, time, damaged),
    access,
    statistics,
    sys,
    flushes: new FlushScheduler(),
    enhancedAuth: options.enhancedAuth,
    opening: new Map(),
    connections,
    pressured: undefined,
    adopt: () => {},
    clientIdOf: ({ control }) => (control as unknown as { client: { id: string } }).client.id,
    write: (steps) => database.write(steps),
  };
}

/** The connections whose CONNECT was accepted. */
function openConnections({ connections }: Pick<Host, 'connections'>): number {
  let open = 0;
  for (const { state } of connections) if (state === 'open') open += 1;
  return open;
}

/** New rules hold for subscriptions that exist: from now on each of their messages is checked. */
function replaceAccess(host: Host, users: readonly BrokerUser[], list: AccessList | undefined): void {
  host.access.replace(users, list);
  const guard = ({ subscriptions }: Session): void => {
    for (const subscription of subscriptions.values()) subscription.guarded = list !== undefined;
  };
  for (const session of host.store) guard(session);
  for (const { session } of host.connections) if (session !== undefined) guard(session);
}

function peerOf({ remoteAddress, remotePort }: Socket): string {
  return `${remoteAddress}:${remotePort}`;
}

/** The common name of a certificate that was verified. */
function certificateUser(socket: Socket): string | undefined {
  const { authorized, getPeerCertificate } = socket as Partial<TLSSocket>;
  if (authorized !== true || getPeerCertificate === undefined) return undefined;
  const name = (socket as TLSSocket).getPeerCertificate().subject?.CN;
  return (Array.isArray(name) ? name[0] : name) || undefined;
}
