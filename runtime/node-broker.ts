/** The node's MQTT broker from its flags: files are read here, at start and again when the process is told to. */

import { readFile } from 'node:fs/promises';
import type { RunningBroker } from '../edge-components/broker/broker.ts';
import type { BrokerOptions, TlsListenOptions } from '../edge-components/broker/options.ts';
import type { Clock } from './contracts/clock.ts';
import type { DatabasePool } from './contracts/database.ts';
import { errorText } from './contracts/error.ts';
import type { Ids } from './contracts/ids.ts';
import type { Logger } from './contracts/logger.ts';
import type { Metrics } from './contracts/metrics.ts';
import type { NodeOptions } from './flags.ts';

export interface NodeBrokerDeps {
  readonly options: NodeOptions;
  readonly databases: DatabasePool;
  readonly clock: Clock;
  readonly ids: Ids;
  readonly log: Logger;
  readonly metrics: Metrics;
}

/** Opens the broker with its listeners. */
export async function startNodeBroker(deps: NodeBrokerDeps): Promise<RunningBroker> {
  const { createBroker } = await import('../edge-components/broker/broker.ts');
  const { options, ...rest } = deps;
  const broker = createBroker({ ...rest, options: await brokerOptions(options) });
  await broker.start();
  return broker;
}

/** Reads users and access list again; a fault leaves what was in force. */
export async function reloadBrokerAccess(
  broker: RunningBroker,
  { options, log }: Pick<NodeBrokerDeps, 'options' | 'log'>,
): Promise<void> {
  if (options.mqttUsersFile === undefined && options.mqtt.aclFile === undefined) return;
  try {
    const { users, accessList } = await accessFiles(options);
    broker.replaceAccess(users ?? [], accessList);
    log.info('users and access list of the MQTT broker were read again');
  } catch (error) {
    log.error(`users and access list of the MQTT broker stay as they were: ${errorText(error)}`);
  }
}

async function accessFiles(options: NodeOptions): Promise<Pick<BrokerOptions, 'users' | 'accessList'>> {
  const { readUsersFile } = await import('../edge-components/broker/users-file.ts');
  const { readAclFile } = await import('../edge-components/broker/acl-file.ts');
  const { mqttUsersFile, mqtt } = options;
  return {
    ...(mqttUsersFile === undefined ? {} : { users: await readUsersFile(mqttUsersFile) }),
    ...(mqtt.aclFile === undefined ? {} : { accessList: await readAclFile(mqtt.aclFile) }),
  };
}

async function brokerOptions(options: NodeOptions): Promise<BrokerOptions> {
  const { mqttAddress: host, mqttPort, mqttWsPort, mqtt } = options;
  const tls = mqtt.tlsPort ?? mqtt.wssPort;
  const certificates = tls === undefined ? undefined : await readCertificates(options);
  return {
    ...(mqttPort === undefined ? {} : { tcp: { host, port: mqttPort } }),
    ...(mqttWsPort === undefined ? {} : { ws: { host, port: mqttWsPort, path: '/' } }),
    ...(mqtt.tlsPort === undefined || certificates === undefined
      ? {}
      : { tls: { host, port: mqtt.tlsPort, ...certificates } }),
    ...(mqtt.wssPort === undefined || certificates === undefined
      ? {}
      : { wss: { host, port: mqtt.wssPort, path: '/', ...certificates } }),
    ...(await accessFiles(options)),
    ...(mqtt.allowAnonymous ? { allowAnonymous: true } : {}),
    maxConnections: mqtt.maxConnections,
    maxSessions: mqtt.maxSessions,
    maxPacketBytes: mqtt.maxPacketBytes,
    maxQueuedPerClient: { messages: mqtt.maxQueuedMessages, bytes: mqtt.maxQueuedBytes },
    whenQueueFull: mqtt.whenQueueFull,
    maxInflightPerClient: mqtt.maxInflight,
    receiveMaximum: mqtt.receiveMaximum,
    maxKeepAlive: mqtt.maxKeepAlive,
    lingerMs: mqtt.lingerMs,
  };
}

async function readCertificates({
  mqtt,
}: NodeOptions): Promise<Pick<TlsListenOptions, 'cert' | 'key' | 'ca'>> {
  const read = async (flag: string, path: string): Promise<string> => {
    try {
      return await readFile(path, 'utf8');
    } catch (error) {
      throw new Error(`--${flag}: cannot read '${path}': ${errorText(error)}`, { cause: error });
    }
  };
  const { certFile = '', keyFile = '', caFile } = mqtt;
  return {
    cert: await read('mqtt-tls-cert-file', certFile),
    key: await read('mqtt-tls-key-file', keyFile),
    ...(caFile === undefined ? {} : { ca: await read('mqtt-tls-ca-file', caFile) }),
  };
}
