/** Command line and environment -> frozen options. Parsing follows Dapr's rules (CLI reference, section 1.1). */

import { parseGoDuration } from './contracts/duration.ts';
import { isTruthy, parseQuantity, splitCommaList } from './contracts/metadata.ts';
import { type RelayLinkOptions, relayLinkOptions } from './flags-relay.ts';
import { FLAGS, type FlagRow, modeFault, uselessFault } from './flags-table.ts';

/** Flag values by name: text as given, repeated flags in order. */
export interface GivenFlags {
  readonly values: ReadonlyMap<string, readonly string[]>;
  /** Arguments that are not flags (after `--` all of them). */
  readonly rest: readonly string[];
}

/** The command line cannot be understood; the message names the flag and what was expected. */
export class FlagError extends Error {
  override readonly name = 'FlagError';
}

const ROWS = new Map(FLAGS.map((flag) => [flag.name, flag]));

/** Splits arguments into flags and the rest; an unknown flag is an error. */
export function parseFlags(args: readonly string[]): GivenFlags {
  const values = new Map<string, string[]>();
  const rest: string[] = [];
  const left = [...args];
  for (let arg = left.shift(); arg !== undefined; arg = left.shift()) {
    if (arg === '--') return { values, rest: [...rest, ...left] };
    if (!arg.startsWith('-') || arg === '-') {
      rest.push(arg);
      continue;
    }
    const { row, value } = readFlag(arg, left);
    check(row, value);
    values.set(row.name, [...(values.get(row.name) ?? []), value]);
  }
  return { values, rest };
}

/** One flag with its value; takes the value from the arguments that are left when it stands apart. */
function readFlag(arg: string, left: string[]): { readonly row: FlagRow; readonly value: string } {
  const [name = '', inline] = arg.replace(/^--?/, '').split(/=(.*)/s);
  const row = ROWS.get(name);
  const isShort = !arg.startsWith('--') && arg.length <= 2;
  if (row === undefined || isShort) throw new FlagError(`unknown flag: ${arg}`);
  const value = inline ?? (row.kind === 'bool' ? 'true' : left.shift());
  if (value === undefined) throw new FlagError(`flag needs an argument: --${name}`);
  return { row, value };
}

function check(row: FlagRow, value: string): void {
  const expected =
    row.kind === 'int' && !/^[+-]?\d+$/.test(value)
      ? 'an integer'
      : row.kind === 'bool' && !/^(true|false|1|0|t|f)$/i.test(value)
        ? 'true or false'
        : row.kind === 'duration' && parseGoDuration(value) === undefined
          ? 'a duration such as 5s'
          : undefined;
  if (expected !== undefined)
    throw new FlagError(`invalid argument "${value}" for --${row.name}: expected ${expected}`);
}

export interface AppHealthOptions {
  readonly enabled: boolean;
  readonly path: string;
  readonly intervalMs: number;
  readonly timeoutMs: number;
  readonly threshold: number;
}

/** Options of one sidecar. */
export interface SidecarOptions {
  readonly appId: string;
  readonly logLevel: string;
  readonly appPort: number;
  readonly appProtocol: 'http' | 'https' | 'h2c' | 'grpc' | 'grpcs';
  readonly appAddress: string;
  readonly appMaxConcurrency: number;
  readonly appHealth: AppHealthOptions;
  readonly httpPort: number;
  readonly grpcPort: number;
  /** 0: pick a stable one. */
  readonly internalGrpcPort: number;
  readonly internalGrpcAddress: string;
  readonly listenAddresses: readonly string[];
  readonly publicPort: number | undefined;
  readonly publicAddress: string;
  readonly metricsPort: number | undefined;
  readonly metricsAddress: string;
  readonly resourcePaths: readonly string[];
  readonly configFiles: readonly string[];
  readonly unixSocketDir: string | undefined;
  readonly maxBodyBytes: number;
  readonly readBufferBytes: number;
  readonly allowedOrigins: string;
  readonly apiLogging: boolean | undefined;
  readonly gracefulShutdownMs: number;
  readonly blockShutdownMs: number | undefined;
  readonly disabledInitEndpoints: readonly string[];
  readonly bindingProbeTimeoutMs: number;
  /** 0 or less: the default. */
  readonly reloadIntervalMs: number;
  /** `undefined` where a flag was not given. */
  readonly mtls: {
    readonly enabled: boolean | undefined;
    readonly sentryAddress: string | undefined;
    readonly controlPlaneTrustDomain: string | undefined;
    readonly controlPlaneNamespace: string | undefined;
  };
}

/** What the MQTT broker needs beyond its plain listeners. */
export interface MqttOptions {
  readonly tlsPort: number | undefined;
  readonly wssPort: number | undefined;
  readonly certFile: string | undefined;
  readonly keyFile: string | undefined;
  readonly caFile: string | undefined;
  readonly aclFile: string | undefined;
  readonly allowAnonymous: boolean;
  readonly maxConnections: number;
  readonly maxSessions: number;
  readonly maxPacketBytes: number;
  readonly maxQueuedMessages: number;
  readonly maxQueuedBytes: number;
  readonly whenQueueFull: 'drop-oldest' | 'drop-newest' | 'disconnect';
  readonly maxInflight: number;
  readonly receiveMaximum: number;
  readonly maxKeepAlive: number;
  readonly lingerMs: number;
}

/** Options of the node (the process). */
export interface NodeOptions {
  readonly logLevel: string;
  readonly logFile: string | undefined;
  readonly logAsJson: boolean;
  readonly dataDir: string | undefined;
  readonly mqttPort: number | undefined;
  readonly mqttAddress: string;
  readonly mqttWsPort: number | undefined;
  readonly mqttUsersFile: string | undefined;
  /** TLS listeners, access list and limits of the broker. */
  readonly mqtt: MqttOptions;
  /** The link to a relay, of nodes that are enrolled at one. */
  readonly relay: RelayLinkOptions;
  /** Flags that were given and have no effect. */
  readonly inert: readonly string[];
}

const PROTOCOLS: readonly string[] = ['http', 'https', 'h2c', 'grpc', 'grpcs'];
/** From the most to the least talkative. */
export const LEVELS: readonly string[] = ['debug', 'info', 'warn', 'error', 'fatal'];
const MAX_PORT = 65_535;

class Reader {
  readonly #given: GivenFlags;
  constructor(given: GivenFlags) {
    this.#given = given;
  }
  text(name: string): string {
    return this.#given.values.get(name)?.at(-1) ?? ROWS.get(name)?.fallback ?? '';
  }
  given(name: string): string | undefined {
    return this.#given.values.get(name)?.at(-1);
  }
  has(name: string): boolean {
    return this.#given.values.has(name);
  }
  list(name: string): readonly string[] {
    return (this.#given.values.get(name) ?? []).flatMap((value) => splitCommaList(value));
  }
  bool(name: string): boolean {
    return isTruthy(this.text(name));
  }
  int(name: string): number {
    return Number(this.text(name));
  }
  ms(name: string): number {
    return parseGoDuration(this.text(name)) ?? 0;
  }
  /** A port, 0 when it may be empty and is. */
  port(name: string, mayBeEmpty = true): number {
    const given = this.text(name);
    if (mayBeEmpty && (given === '' || given === 'off')) return 0;
    const port = given === '' ? Number.NaN : Number(given);
    if (!Number.isInteger(port) || port < -1 || port > MAX_PORT)
      throw new FlagError(`invalid argument "${given}" for --${name}: expected a port from 0 to ${MAX_PORT}`);
    return Math.max(0, port);
  }
}

/** Options of the sidecar that these flags describe; rejects what Dapr rejects. */
export function sidecarOptions(given: GivenFlags): SidecarOptions {
  const flags = new Reader(given);
  const appId = flags.text('app-id');
  if (appId === '') throw new FlagError('parameter app-id cannot be empty');
  if (appId.includes('.')) throw new FlagError(`parameter app-id cannot contain dots: ${appId}`);
  const mode = flags.text('mode');
  if (mode !== 'standalone') throw new FlagError(modeFault(mode));
  const ports = {
    appPort: flags.port('app-port'),
    httpPort: flags.port('dapr-http-port', false),
    grpcPort: flags.port('dapr-grpc-port', false),
  };
  flags.port('profile-port');
  const useless = uselessFault((name) => flags.text(name));
  if (useless !== undefined) throw new FlagError(useless);
  refuseClash(ports);
  const grace = flags.int('dapr-graceful-shutdown-seconds');
  return Object.freeze({
    appId,
    logLevel: logLevel(flags),
    ...ports,
    appProtocol: appProtocol(flags),
    appAddress: flags.text('app-channel-address'),
    appMaxConcurrency: flags.int('app-max-concurrency'),
    appHealth: appHealth(flags),
    internalGrpcPort: flags.port('dapr-internal-grpc-port'),
    internalGrpcAddress: flags.text('dapr-internal-grpc-listen-address'),
    listenAddresses: flags.list('dapr-listen-addresses'),
    publicPort: flags.text('dapr-public-port') === '' ? undefined : flags.port('dapr-public-port'),
    publicAddress: flags.text('dapr-public-listen-address'),
    metricsPort: flags.bool('enable-metrics') ? flags.port('metrics-port') : undefined,
    metricsAddress: flags.text('metrics-listen-address'),
    resourcePaths: resourcePaths(flags),
    configFiles: flags.list('config').filter((file) => file !== ''),
    unixSocketDir: flags.text('unix-domain-socket') === '' ? undefined : flags.text('unix-domain-socket'),
    maxBodyBytes: size(flags, 'max-body-size', 'dapr-http-max-request-size', 1024 * 1024),
    readBufferBytes: size(flags, 'read-buffer-size', 'dapr-http-read-buffer-size', 1024),
    allowedOrigins: flags.text('allowed-origins'),
    apiLogging: flags.has('enable-api-logging') ? flags.bool('enable-api-logging') : undefined,
    gracefulShutdownMs: (grace < 0 ? 5 : grace) * 1000,
    blockShutdownMs: flags.has('dapr-block-shutdown-duration')
      ? flags.ms('dapr-block-shutdown-duration')
      : undefined,
    disabledInitEndpoints: initEndpoints(flags),
    bindingProbeTimeoutMs: flags.ms('app-binding-options-timeout'),
    reloadIntervalMs: flags.ms('hot-reload-reconcile-interval'),
    mtls: {
      enabled: flags.has('enable-mtls') ? flags.bool('enable-mtls') : undefined,
      sentryAddress: flags.given('sentry-address'),
      controlPlaneTrustDomain: flags.given('control-plane-trust-domain'),
      controlPlaneNamespace: flags.given('control-plane-namespace'),
    },
  });
}

function refuseClash({
  appPort,
  httpPort,
  grpcPort,
}: Pick<SidecarOptions, 'appPort' | 'httpPort' | 'grpcPort'>): void {
  if (appPort === 0 || (appPort !== httpPort && appPort !== grpcPort)) return;
  throw new FlagError(
    `the 'dapr-http-port' argument value ${httpPort} and 'dapr-grpc-port' argument value ${grpcPort} must differ from 'app-port' ${appPort}`,
  );
}

function appProtocol(flags: Reader): SidecarOptions['appProtocol'] {
  const given = flags.text('app-protocol').toLowerCase();
  const secure: Readonly<Record<string, string>> = { http: 'https', grpc: 'grpcs' };
  const protocol = flags.bool('app-ssl') ? (secure[given] ?? given) : given;
  if (PROTOCOLS.includes(protocol)) return protocol as SidecarOptions['appProtocol'];
  throw new FlagError(`invalid value for 'app-protocol': ${protocol} (expected ${PROTOCOLS.join(', ')})`);
}

function logLevel(flags: Reader): string {
  const level = flags.text('log-level').toLowerCase();
  if (LEVELS.includes(level)) return level;
  throw new FlagError(`invalid argument "${level}" for --log-level: expected ${LEVELS.join(', ')}`);
}

function initEndpoints(flags: Reader): readonly string[] {
  const endpoints = flags.list('disable-init-endpoints');
  const unknown = endpoints.find((name) => name !== 'config' && name !== 'subscribe');
  if (unknown === undefined) return endpoints;
  throw new FlagError(
    `invalid argument "${unknown}" for --disable-init-endpoints: expected config or subscribe`,
  );
}

/** The deprecated folder counts only where the newer flag is absent. */
function resourcePaths(flags: Reader): readonly string[] {
  const paths = flags.list('resources-path');
  const componentsPath = flags.text('components-path');
  return paths.length > 0 || componentsPath === '' ? paths : [componentsPath];
}

function appHealth(flags: Reader): AppHealthOptions {
  const interval = flags.int('app-health-probe-interval');
  const timeout = flags.int('app-health-probe-timeout');
  const threshold = flags.int('app-health-threshold');
  const intervalMs = (interval <= 0 ? 5 : interval) * 1000;
  const timeoutMs = timeout <= 0 ? 500 : timeout;
  if (timeoutMs > intervalMs)
    throw new FlagError(
      "value for 'app-health-probe-timeout' must be smaller than 'app-health-probe-interval'",
    );
  return {
    enabled: flags.bool('enable-app-health-check'),
    path: flags.text('app-health-check-path'),
    intervalMs,
    timeoutMs,
    threshold: threshold < 1 ? 3 : threshold,
  };
}

/** The newer flag, else the deprecated one in its own unit; -1 is the default, 0 or less no limit. */
function size(flags: Reader, name: string, old: string, oldUnit: number): number {
  const given = flags.text(name);
  const newer = given === '-1' ? -1 : parseQuantity(given);
  if (newer === undefined)
    throw new FlagError(`invalid argument "${given}" for --${name}: expected a size such as 4Mi`);
  const older = flags.int(old) === -1 ? -1 : flags.int(old) * oldUnit;
  const bytes = flags.has(name) || !flags.has(old) ? newer : older;
  if (bytes === -1) return parseQuantity(ROWS.get(name)?.fallback ?? '') ?? 0;
  return bytes <= 0 ? Number.POSITIVE_INFINITY : bytes;
}

export function nodeOptions(given: GivenFlags): NodeOptions {
  const flags = new Reader(given);
  const optional = (name: string): string | undefined =>
    flags.text(name) === '' ? undefined : flags.text(name);
  const relay = relayLinkOptions(
    flags,
    size(flags, 'max-body-size', 'dapr-http-max-request-size', 1024 * 1024),
  );
  if (typeof relay === 'string') throw new FlagError(relay);
  return Object.freeze({
    logLevel: logLevel(flags),
    logFile: optional('log-file'),
    logAsJson: flags.bool('log-as-json'),
    dataDir: optional('data-dir'),
    mqttPort: flags.port('mqtt-port') === 0 ? undefined : flags.port('mqtt-port'),
    mqttAddress: flags.text('mqtt-listen-address'),
    mqttWsPort: flags.port('mqtt-ws-port') === 0 ? undefined : flags.port('mqtt-ws-port'),
    mqttUsersFile: optional('mqtt-users-file'),
    mqtt: mqttOptions(flags),
    relay,
    inert: FLAGS.filter((flag) => flag.noEffect === true && isMeaningful(flag, given)).map(
      (flag) => `--${flag.name}`,
    ),
  });
}

const QUEUE_POLICIES = ['drop-oldest', 'drop-newest', 'disconnect'] as const;

function mqttOptions(flags: Reader): MqttOptions {
  const optional = (name: string): string | undefined =>
    flags.text(name) === '' ? undefined : flags.text(name);
  const port = (name: string): number | undefined => {
    const given = flags.port(name);
    return given === 0 ? undefined : given;
  };
  const policy = flags.text('mqtt-queue-policy');
  const whenQueueFull = QUEUE_POLICIES.find((one) => one === policy);
  if (whenQueueFull === undefined) {
    const expected = QUEUE_POLICIES.join(', ');
    throw new FlagError(`invalid argument "${policy}" for --mqtt-queue-policy: expected ${expected}`);
  }
  const options = {
    tlsPort: port('mqtt-tls-port'),
    wssPort: port('mqtt-wss-port'),
    certFile: optional('mqtt-tls-cert-file'),
    keyFile: optional('mqtt-tls-key-file'),
    caFile: optional('mqtt-tls-ca-file'),
    aclFile: optional('mqtt-acl-file'),
    allowAnonymous: flags.bool('mqtt-allow-anonymous'),
    maxConnections: flags.int('mqtt-max-connections'),
    maxSessions: flags.int('mqtt-max-sessions'),
    maxPacketBytes: flags.int('mqtt-max-packet-size'),
    maxQueuedMessages: flags.int('mqtt-max-queued-messages'),
    maxQueuedBytes: flags.int('mqtt-max-queued-bytes'),
    whenQueueFull,
    maxInflight: flags.int('mqtt-max-inflight'),
    receiveMaximum: flags.int('mqtt-receive-maximum'),
    maxKeepAlive: flags.int('mqtt-max-keep-alive'),
    lingerMs: flags.ms('mqtt-linger'),
  };
  const tls = options.tlsPort ?? options.wssPort;
  if (tls !== undefined && (options.certFile === undefined || options.keyFile === undefined)) {
    throw new FlagError(
      '--mqtt-tls-port and --mqtt-wss-port need --mqtt-tls-cert-file and --mqtt-tls-key-file',
    );
  }
  return options;
}

/** A flag given with its default or an empty value (as launchers do) asks for nothing. */
function isMeaningful(flag: FlagRow, given: GivenFlags): boolean {
  const value = given.values.get(flag.name)?.at(-1);
  return (
    value !== undefined && value !== '' && value !== flag.fallback && value !== 'false' && value !== '-1'
  );
}
