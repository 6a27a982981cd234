/** Every command line flag: daprd's own (CLI reference, section 1.2) and the few that Skerry adds. */

export type FlagKind = 'text' | 'int' | 'bool' | 'list' | 'duration' | 'quantity';

export interface FlagRow {
  readonly name: string;
  readonly kind: FlagKind;
  /** Default as text; absent: unset. */
  readonly fallback?: string;
  readonly help: string;
  /** Accepted for compatibility, without effect yet: said once in the log when it is given. */
  readonly noEffect?: true;
  /** Ours, not daprd's. */
  readonly added?: true;
}

const row = (
  name: string,
  kind: FlagKind,
  fallback: string | undefined,
  help: string,
  extra: Partial<FlagRow> = {},
): FlagRow => ({ name, kind, help, ...(fallback === undefined ? {} : { fallback }), ...extra });
const inert = { noEffect: true } as const;
const ours = { added: true } as const;

export const FLAGS: readonly FlagRow[] = [
  row('mode', 'text', 'standalone', 'Runtime mode; only standalone is supported'),
  row('app-id', 'text', undefined, 'Unique id of the app (required, no dots)'),
  row('app-port', 'text', undefined, 'Port the app listens on'),
  row('app-protocol', 'text', 'http', 'Protocol of the app: http, https, h2c, grpc, grpcs'),
  row('app-ssl', 'bool', 'false', 'Deprecated: turns http into https and grpc into grpcs'),
  row('app-channel-address', 'text', '127.0.0.1', 'Host of the app'),
  row('app-max-concurrency', 'int', '-1', 'Most simultaneous calls to the app; 0 or less is unlimited'),
  row('dapr-http-port', 'text', '3500', 'Port of the HTTP API'),
  row('dapr-grpc-port', 'text', '50001', 'Port of the gRPC API'),
  row(
    'dapr-internal-grpc-port',
    'text',
    undefined,
    'Port for calls between sidecars; empty or 0 picks a stable one',
  ),
  row(
    'dapr-internal-grpc-listen-address',
    'text',
    undefined,
    'Bind address of the internal server; default all interfaces',
  ),
  row('dapr-listen-addresses', 'list', undefined, 'Bind addresses of both APIs'),
  row('dapr-public-port', 'text', undefined, 'Extra HTTP listener with health and metadata only'),
  row('dapr-public-listen-address', 'text', undefined, 'Bind address of the public listener'),
  row('profile-port', 'text', '7777', 'Port of the profiling server', inert),
  row('enable-profiling', 'bool', 'false', 'Start the profiling server', inert),
  row('metrics-port', 'text', '9090', 'Port of the Prometheus endpoint'),
  row('metrics-listen-address', 'text', '0.0.0.0', 'Bind address of the Prometheus endpoint'),
  row('enable-metrics', 'bool', 'true', 'Serve Prometheus metrics'),
  row('resources-path', 'list', undefined, 'Folder of resource files (repeatable)'),
  row(
    'components-path',
    'text',
    undefined,
    'Deprecated: folder of resource files, used without --resources-path',
  ),
  row('config', 'list', undefined, 'Configuration file (repeatable, merged in order)'),
  row('unix-domain-socket', 'text', undefined, 'Folder for API sockets in place of TCP ports'),
  row('max-body-size', 'quantity', '4Mi', 'Largest request body or gRPC message'),
  row('dapr-http-max-request-size', 'int', undefined, 'Deprecated: --max-body-size in MB'),
  row('read-buffer-size', 'quantity', '4Ki', 'Budget for request headers'),
  row('dapr-http-read-buffer-size', 'int', undefined, 'Deprecated: --read-buffer-size in KB'),
  row('allowed-origins', 'text', undefined, 'CORS origins: * or a comma list; empty turns CORS off'),
  row('enable-api-logging', 'bool', undefined, 'Log every API call; default as the Configuration says'),
  row('enable-app-health-check', 'bool', 'false', 'Probe the health of the app'),
  row('app-health-check-path', 'text', '/healthz', 'Path of the health probe of HTTP apps'),
  row('app-health-probe-interval', 'int', '5', 'Seconds between health probes'),
  row('app-health-probe-timeout', 'int', '500', 'Milliseconds a health probe may take'),
  row('app-health-threshold', 'int', '3', 'Failures in a row that make the app unhealthy'),
  row('placement-host-address', 'text', undefined, 'Placement service addresses', inert),
  row('scheduler-host-address', 'list', undefined, 'Scheduler service addresses', inert),
  row('scheduler-job-streams', 'int', '3', 'Job streams per scheduler', inert),
  row('actors-disseminate-timeout', 'duration', '30s', 'Longest placement dissemination round', inert),
  row('actors-service', 'text', undefined, 'Old name, kept for old command lines', inert),
  row('reminders-service', 'text', undefined, 'Old name, kept for old command lines', inert),
  row('control-plane-address', 'text', undefined, 'Address of the control plane', inert),
  row('sentry-address', 'text', undefined, 'Address of sentry, the certificate authority: host:port'),
  row('control-plane-trust-domain', 'text', 'localhost', 'Trust domain that sentry belongs to'),
  row('control-plane-namespace', 'text', 'default', 'Namespace that sentry runs in'),
  row('enable-mtls', 'bool', 'false', 'Mutual TLS between sidecars, with certificates of sentry'),
  row('sentry-request-jwt-audiences', 'list', undefined, 'Audiences of identity tokens', inert),
  row('dapr-graceful-shutdown-seconds', 'int', '5', 'Longest graceful shutdown; 0 is without limit'),
  row('dapr-block-shutdown-duration', 'duration', undefined, 'Keep serving this long after a stop signal'),
  row(
    'disable-init-endpoints',
    'list',
    undefined,
    'Calls to leave out when the app is found: config, subscribe',
  ),
  row('disable-builtin-k8s-secret-store', 'bool', 'false', 'No effect outside Kubernetes'),
  row(
    'hot-reload-reconcile-interval',
    'duration',
    '0',
    'Interval of the full reading of resources; 0 is 60s',
  ),
  row('app-binding-options-timeout', 'duration', '3s', 'Longest probe of the app for an input binding'),
  row('log-level', 'text', 'info', 'debug, info, warn, error or fatal'),
  row('log-file', 'text', undefined, 'File to append the log to in place of standard output'),
  row('log-as-json', 'bool', 'false', 'Log lines as JSON'),
  row('version', 'bool', 'false', 'Print the version and exit'),
  row('build-info', 'bool', 'false', 'Print build information and exit'),
  row(
    'wait',
    'bool',
    'false',
    'Wait until the sidecar on --dapr-http-port is ready for outbound calls, then exit',
  ),
  row('kubeconfig', 'text', undefined, 'No effect outside Kubernetes'),
  row('help', 'bool', 'false', 'Print this help and exit'),

  row('data-dir', 'text', undefined, "Folder of the node's database; default ~/.skerry/<app id>", ours),
  row('mqtt-port', 'text', undefined, 'Port of the MQTT broker; 0 or off: no listener', ours),
  row('mqtt-listen-address', 'text', '127.0.0.1', 'Bind address of the MQTT broker', ours),
  row('mqtt-ws-port', 'text', undefined, 'Port of MQTT over WebSocket', ours),
  row('mqtt-wss-port', 'text', undefined, 'Port of MQTT over secure WebSocket', ours),
  row('mqtt-tls-port', 'text', undefined, 'Port of MQTT over TLS', ours),
  row('mqtt-tls-cert-file', 'text', undefined, 'PEM file of the certificate of the TLS listeners', ours),
  row('mqtt-tls-key-file', 'text', undefined, 'PEM file of the private key of the TLS listeners', ours),
  row(
    'mqtt-tls-ca-file',
    'text',
    undefined,
    'PEM file; clients of the TLS listeners must have a certificate signed by it, its common name is their user',
    ours,
  ),
  row(
    'mqtt-users-file',
    'text',
    undefined,
    'File of broker users (name:password or a hash per line); needed beyond loopback; read again on SIGHUP',
    ours,
  ),
  row(
    'mqtt-acl-file',
    'text',
    undefined,
    'File of what broker users may read and write (user, topic, pattern lines); read again on SIGHUP',
    ours,
  ),
  row('mqtt-allow-anonymous', 'bool', 'false', 'Let clients without a name in, beyond loopback too', ours),
  row('mqtt-max-connections', 'int', '2000', 'Connections per listener of the MQTT broker', ours),
  row('mqtt-max-sessions', 'int', '5000', 'Durable sessions the MQTT broker keeps', ours),
  row('mqtt-max-packet-size', 'int', '1048576', 'Largest packet the MQTT broker accepts, in bytes', ours),
  row('mqtt-max-queued-messages', 'int', '10000', 'Messages that wait for one client', ours),
  row('mqtt-max-queued-bytes', 'int', '16777216', 'Bytes of the messages that wait for one client', ours),
  row(
    'mqtt-queue-policy',
    'text',
    'drop-oldest',
    'What a full queue of a client does: drop-oldest, drop-newest or disconnect',
    ours,
  ),
  row('mqtt-max-inflight', 'int', '64', 'Messages sent to one client and not acknowledged', ours),
  row(
    'mqtt-receive-maximum',
    'int',
    '1024',
    'Publishes of an MQTT 5 client that may be without an acknowledgement',
    ours,
  ),
  row(
    'mqtt-linger',
    'duration',
    '0s',
    'How long a message may wait before it goes to disk, so that others go along; at most 1s; saves the card',
    ours,
  ),
  row('mqtt-max-keep-alive', 'int', '0', 'Longest keep alive of MQTT 5 clients in seconds; 0: any', ours),
  row('relay', 'text', 'on', 'Link to the relay that the data folder is enrolled at: on or off', ours),
  row('relay-probe-interval', 'duration', '46s', 'How often the relay is heard on a silent link', ours),
  row('relay-probe-timeout', 'duration', '12s', 'How late it may be before the link is given up', ours),
  row(
    'validate',
    'bool',
    'false',
    'Check flags, configuration and resources, start nothing, exit 0 or 1',
    ours,
  ),
];

/** What Dapr does not start with in flags that have no effect here; `undefined` when nothing is wrong. */
export function uselessFault(text: (name: string) => string): string | undefined {
  if (Number(text('scheduler-job-streams')) === 0) return 'must define at least 1 scheduler stream, got 0';
  const limit = text('actors-disseminate-timeout');
  if (/^\s*-|^[+]?0+(?:[a-z\u00b5]+)?$/.test(limit))
    return `invalid value for 'actors-disseminate-timeout' option: must be positive, got ${limit}`;
  return undefined;
}

/** What is said about another `--mode` than standalone. */
export function modeFault(mode: string): string {
  return mode === 'kubernetes'
    ? '--mode kubernetes is not supported: Skerry asks no operator for its resources and reads them from files; ' +
        'expected standalone, with --resources-path and --config'
    : `invalid argument "${mode}" for --mode: expected standalone`;
}
