/**
 * The MQTT broker inside the node: aedes for the protocol, our own acceptance, sessions and fan-out behind it.
 *
 * Invariants: PUBACK and PUBREC leave after the message is on disk for every session that must get it (aedes answers
 * before it stores, so the storing happens in its authorization hook, which runs first); what one client does, sends
 * or does not read costs the others nothing; nothing is held without a bound.
 */

import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import type { EmbeddedBroker } from '../../runtime/contracts/broker.ts';
import type { Clock } from '../../runtime/contracts/clock.ts';
import type { Database, DatabasePool } from '../../runtime/contracts/database.ts';
import type { Ids } from '../../runtime/contracts/ids.ts';
import type { Logger } from '../../runtime/contracts/logger.ts';
import type { Metrics } from '../../runtime/contracts/metrics.ts';
import { FanOut } from './fan-out.ts';
import { brokerHooks } from './hooks.ts';
import { type Listener, openListeners } from './listeners.ts';
import { memoryPair } from './memory-pair.ts';
import { type BrokerLimits, type BrokerOptions, brokerLimits, checkExposure } from './options.ts';
import { ownsUrl } from './own-address.ts';
import { aedesPersistence } from './persistence.ts';
import { ReceivedIds } from './received.ts';
import { BROKER_MIGRATION } from './schema.ts';
import { SessionStore } from './session-store.ts';
import { type TrackedDatabase, trackWrites } from './tracked-database.ts';
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
      retainedMessages: core?.sessions.retained.count ?? 0,
    }),
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
  connectedClients(): number;
  connect(): Duplex;
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
  const { clock, log, metrics, options } = deps;
  const fanOut = new FanOut(clock);
  const sessions = new SessionStore({ database, fanOut, limits, clock, log, metrics });
  const received = new ReceivedIds(database);
  const wills = new Wills(database);
  const trusted = new WeakSet<Duplex>();
  const peers = new WeakMap<Duplex, string>();
  const hooks = brokerHooks({ sessions, received, fanOut, limits, log, options, trusted, peers });
  // Loaded here: a node without MQTT never pays for it.
  const { Aedes } = await import('aedes');
  const aedes = new Aedes({
    id: deps.ids.uuid(),
    mq: fanOut,
    persistence: aedesPersistence({ sessions, received, wills, log }),
    maximumPacketSize: limits.maxPacketBytes,
    receiveMaximum: 1024,
    pendingSessionsLimit: limits.maxSessions,
    ...hooks.options,
  });
  hooks.listen(aedes);
  await aedes.listen();

  for (const { clientId, packet } of wills.leftBehind()) {
    await sessions.accept(packet, undefined);
    await new Promise<void>((resolve) =>
      aedes.publish({ ...packet, cmd: 'publish', dup: false } as never, () => resolve()),
    );
    await wills.discard(clientId);
  }

  const streams = new Set<Duplex>();
  const accept = (stream: Duplex, request?: Parameters<typeof aedes.handle>[1]): void => {
    streams.add(stream);
    readWhole(stream);
    const { remoteAddress, remotePort } = request?.socket ?? (stream as Partial<Socket>);
    if (remoteAddress !== undefined) peers.set(stream, `${remoteAddress}:${remotePort}`);
    stream.once('close', () => streams.delete(stream));
    aedes.handle(stream, request);
  };
  const stop = async (): Promise<void> => {
    await new Promise<void>((resolve) => aedes.close(() => resolve()));
    for (const stream of streams) stream.destroy();
  };
  let listeners: readonly Listener[];
  try {
    listeners = await openListeners(options, limits.maxConnections, accept);
  } catch (error) {
    await stop();
    throw error;
  }
  for (const listener of listeners) log.info(`MQTT broker is listening at ${listener.url}`);

  return {
    listeners,
    sessions,
    connectedClients: () => aedes.connectedClients,
    connect: () => {
      const [ours, theirs] = memoryPair();
      trusted.add(theirs);
      accept(theirs);
      return ours;
    },
    close: async () => {
      const closing = listeners.map((listener) => listener.close());
      await stop();
      await Promise.all(closing);
      await sessions.flush();
      await database.settled();
      await database.close();
    },
  };
}

/**
 * aedes reads once per `readable` event and counts on getting all that is buffered; Node 26 gives `read()` one chunk. The
 * rest would lie there until the client sends more.
 */
function readWhole(stream: Duplex): void {
  const read = stream.read.bind(stream);
  stream.read = (size?: number | null) => read(size ?? (stream.readableLength || undefined));
}
