/**
 * The node: what all sidecars of one process share (log, database, broker, spool). Expensive parts are loaded and
 * opened by their first user; a sidecar that needs none of them pays for none of them.
 */

import { existsSync } from 'node:fs';
import { homedir, hostname } from 'node:os';
import { join } from 'node:path';
import type { RunningBroker } from '../edge-components/broker/broker.ts';
import type { BrokerStatus, EmbeddedBroker } from './contracts/broker.ts';
import type { Clock } from './contracts/clock.ts';
import type { DatabasePool } from './contracts/database.ts';
import { errorText } from './contracts/error.ts';
import type { Ids } from './contracts/ids.ts';
import type { Random } from './contracts/random.ts';
import type { SpoolDesk, SpoolSource } from './contracts/spool.ts';
import type { NodeOptions } from './flags.ts';
import { type CardWear, startCardCare } from './platform/card-care.ts';
import { createMetricsRelay, type MetricsRelay } from './platform/metrics-relay.ts';
import { pinoLogger, type RuntimeLogger } from './platform/pino-logger.ts';
import { systemClock } from './platform/system-clock.ts';
import { systemIds } from './platform/system-ids.ts';
import { systemRandom } from './platform/system-random.ts';
import { createUsagePool, type UsagePool } from './platform/usage-pool.ts';
import type { EdgeLink } from './relay/edge-link.ts';

export interface NodeSetup {
  readonly options: NodeOptions;
  /** Names the data folder and the log's `app_id`: the app id, or the name of a multi-app file. */
  readonly name: string;
  readonly version: string;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Module that the writer thread starts with. */
  readonly workerEntry: URL;
  /** The process cannot go on (writer thread gone). */
  readonly onFatal: (error: Error) => void;
}

export interface Node {
  readonly options: NodeOptions;
  readonly version: string;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly hostName: string;
  readonly dataDir: string;
  readonly log: RuntimeLogger;
  readonly clock: Clock;
  readonly ids: Ids;
  readonly random: Random;
  readonly databases: DatabasePool;
  readonly broker: EmbeddedBroker;
  readonly spools: SpoolSource;
  /** The data folder's own key, made by its first user. */
  key(): Promise<Uint8Array>;
  /** Where the metrics of shared parts show; sidecars attach their endpoints. */
  readonly metrics: MetricsRelay;
  /** What was written to the card, once there is a database. */
  cardWear(): CardWear | undefined;
  /** The link to the relay that this node is enrolled at; `undefined` where it is enrolled at none. */
  relay(): Promise<EdgeLink | undefined>;
  /** What the sidecars of this node share, by key. */
  readonly shared: UsagePool;
  /** Opens the broker's listeners when the options ask for some. */
  startBroker(): Promise<void>;
  /** Reads the broker's users and access list again. */
  reloadBroker(): Promise<void>;
  close(): Promise<void>;
}

const STOPPED: BrokerStatus = {
  running: false,
  listeners: [],
  connectedClients: 0,
  sessions: 0,
  queuedMessages: 0,
  retainedMessages: 0,
};

/** A value made by the first caller and shared by the rest; a failed attempt may be repeated. */
function once<T>(make: () => Promise<T>): { get(): Promise<T>; readonly made: T | undefined } {
  let pending: Promise<T> | undefined;
  let made: T | undefined;
  return {
    get: () => {
      pending ??= make().then(
        (value) => {
          made = value;
          return value;
        },
        (error) => {
          pending = undefined;
          throw error;
        },
      );
      return pending;
    },
    get made() {
      return made;
    },
  };
}

const SYSTEM_DATABASE = 'skerry.db';
const ENROLMENT = 'relay.json';

async function makeDataDir(directory: string): Promise<void> {
  const { createDurableFolder } = await import('../edge-components/drivers/sqlite/create-file.ts');
  try {
    createDurableFolder(directory, SYSTEM_DATABASE);
  } catch (error) {
    throw new Error(
      `the data folder ${directory} cannot be made: ${errorText(error)}; choose another with --data-dir`,
    );
  }
}

export function createNode(setup: NodeSetup): Node {
  const { options, env } = setup;
  const hostName = hostname();
  const clock = systemClock();
  const ids = systemIds(clock);
  const random = systemRandom();
  const dataDir = options.dataDir ?? env['SKERRY_DATA_DIR'] ?? join(homedir(), '.skerry', setup.name);
  const log = pinoLogger({
    level: options.logLevel,
    asJson: options.logAsJson,
    ...(options.logFile === undefined ? {} : { file: options.logFile }),
    appId: setup.name,
    instance: hostName,
    version: setup.version,
  });

  const metrics = createMetricsRelay();
  let cardCare: ReturnType<typeof startCardCare> | undefined;
  const pool = once(async () => {
    const { createDatabasePool } = await import('../edge-components/drivers/sqlite/database-pool.ts');
    const made = createDatabasePool({
      workerEntry: setup.workerEntry,
      systemPath: join(dataDir, SYSTEM_DATABASE),
      log: log.child('skerry.storage'),
      clock,
      onFatal: setup.onFatal,
    });
    const endurance = Number(env['SKERRY_CARD_ENDURANCE_TB'] ?? 'NaN') * 1e12;
    cardCare = startCardCare({
      directory: dataDir,
      clock,
      metrics,
      acknowledged: () => made.acknowledgedWrites?.() ?? 0,
      ...(endurance > 0 ? { enduranceBytes: endurance } : {}),
    });
    return made;
  });
  const folderLock = once(async () => {
    await makeDataDir(dataDir);
    const { lockFolder } = await import('../edge-components/drivers/sqlite/folder-lock.ts');
    return lockFolder(dataDir);
  });
  const databases: DatabasePool = {
    open: async (request, signal) => (await pool.get()).open(request, signal),
    system: async (migrations) => {
      await folderLock.get();
      return (await pool.get()).system(migrations);
    },
    close: async () => {
      cardCare?.close();
      await pool.made?.close();
      folderLock.made?.release();
    },
  };

  const hasDatabase = (): boolean => pool.made !== undefined || existsSync(join(dataDir, SYSTEM_DATABASE));
  const spoolSource = once(async () => {
    const { createSpoolSource } = await import('../edge-components/drivers/sqlite/spool-source.ts');
    return createSpoolSource({
      databases,
      clock,
      ids,
      random,
      log: log.child('skerry.spool'),
      metrics,
    });
  });
  const spools: SpoolSource = {
    open: async (request) => (await spoolSource.get()).open(request),
    // Also when no component opened a queue: what an earlier configuration left is there to see.
    list: async () => (hasDatabase() ? (await spoolSource.get()).list() : []),
    desk: lazyDesk(async () => (hasDatabase() ? (await spoolSource.get()).desk : undefined)),
  };

  const relay = once(async (): Promise<EdgeLink | undefined> => {
    if (options.relay.off || !existsSync(join(dataDir, ENROLMENT))) return undefined;
    const { openNodeLink } = await import('./node-relay.ts');
    return openNodeLink({
      file: join(dataDir, ENROLMENT),
      options,
      clock,
      random,
      log: log.child('skerry.relay'),
      metrics,
    });
  });

  const key = once(async () => {
    await folderLock.get();
    const { readNodeKey } = await import('./platform/node-key.ts');
    return readNodeKey(dataDir, random);
  });

  const brokerLog = log.child('skerry.broker');
  const lazyBroker = once(async (): Promise<RunningBroker> => {
    const { startNodeBroker } = await import('./node-broker.ts');
    return startNodeBroker({ options, databases, clock, ids, log: brokerLog, metrics });
  });
  const broker: EmbeddedBroker = {
    owns: (url) => ownsUrl(url, options),
    connect: async () => (await lazyBroker.get()).connect(),
    status: () => lazyBroker.made?.status() ?? STOPPED,
  };

  return {
    options,
    version: setup.version,
    env,
    hostName,
    dataDir,
    log,
    clock,
    ids,
    random,
    databases,
    broker,
    spools,
    key: key.get,
    metrics,
    cardWear: () => cardCare?.wear(),
    relay: relay.get,
    shared: createUsagePool(),
    startBroker: async () => {
      const { mqttPort, mqttWsPort, mqtt } = options;
      const ports = [mqttPort, mqttWsPort, mqtt.tlsPort, mqtt.wssPort];
      if (ports.some((port) => port !== undefined)) await lazyBroker.get();
    },
    reloadBroker: async () => {
      if (lazyBroker.made === undefined) return;
      const { reloadBrokerAccess } = await import('./node-broker.ts');
      await reloadBrokerAccess(lazyBroker.made, { options, log: brokerLog });
    },
    close: async () => {
      await relay.made?.close();
      await lazyBroker.made?.close();
      await databases.close();
      log.flush();
    },
  };
}

/** The desk of a source that is made when somebody asks; without one there are no messages. */
function lazyDesk(get: () => Promise<SpoolDesk | undefined>): SpoolDesk {
  return {
    list: async (query) => (await (await get())?.list(query)) ?? [],
    find: async (id) => (await get())?.find(id),
    content: async (id) => (await get())?.content(id),
    retry: async (which) => (await (await get())?.retry(which)) ?? 0,
    drop: async (id) => (await (await get())?.drop(id)) ?? 'absent',
  };
}

const LOOPBACK = new Set(['localhost', '127.0.0.1', '[::1]', '0.0.0.0']);

/** `embedded:` always means the node's own broker, the address of its own TCP listener does too. */
function ownsUrl(url: string, options: NodeOptions): boolean {
  if (/^embedded:/i.test(url)) return true;
  if (options.mqttPort === undefined || !URL.canParse(url)) return false;
  const { protocol, hostname: host, port } = new URL(url.replace(/^tcp:/i, 'mqtt:'));
  if (protocol !== 'mqtt:' || Number(port === '' ? '1883' : port) !== options.mqttPort) return false;
  return host === options.mqttAddress || (LOOPBACK.has(host) && LOOPBACK.has(options.mqttAddress));
}
