import t from 'tap';
import { FlagError, nodeOptions, parseFlags, sidecarOptions } from '../../runtime/flags.ts';
import { FLAGS } from '../../runtime/flags-table.ts';

const sidecar = (...args: string[]) => sidecarOptions(parseFlags(['--app-id', 'a', ...args]));
const refusal = (run: () => unknown): string => {
  try {
    run();
  } catch (error) {
    if (error instanceof FlagError) return error.message;
    throw error;
  }
  return 'accepted';
};

t.test('flags come as --name value, --name=value, -name value and bare booleans', (t) => {
  const given = parseFlags([
    '--app-id=x',
    '-app-port',
    '3000',
    '--log-as-json',
    '--resources-path',
    'a,b',
    '--resources-path',
    'c',
    '--',
    'node',
    '-x',
  ]);
  const options = sidecarOptions(given);
  t.equal(options.appId, 'x');
  t.equal(options.appPort, 3000);
  t.equal(nodeOptions(given).logAsJson, true);
  t.same(options.resourcePaths, ['a', 'b', 'c']);
  t.same(given.rest, ['node', '-x']);
  t.end();
});

t.test('defaults are those of daprd', (t) => {
  const options = sidecar();
  t.match(options, {
    httpPort: 3500,
    grpcPort: 50001,
    metricsPort: 9090,
    maxBodyBytes: 4 * 1024 * 1024,
    readBufferBytes: 4096,
    appProtocol: 'http',
    appMaxConcurrency: -1,
    gracefulShutdownMs: 5000,
    listenAddresses: [],
    bindingProbeTimeoutMs: 3000,
  });
  t.match(options.appHealth, {
    enabled: false,
    path: '/healthz',
    intervalMs: 5000,
    timeoutMs: 500,
    threshold: 3,
  });
  t.end();
});

t.test('zero health settings mean the default, as launchers pass them', (t) => {
  const { appHealth } = sidecar(
    '--app-health-probe-interval=0',
    '--app-health-threshold=0',
    '--app-health-probe-timeout=0',
  );
  t.match(appHealth, { intervalMs: 5000, threshold: 3, timeoutMs: 500 });
  t.end();
});

t.test('the newer size flag wins over the deprecated one', (t) => {
  t.equal(sidecar('--dapr-http-max-request-size', '8').maxBodyBytes, 8 * 1024 * 1024);
  t.equal(sidecar('--dapr-http-max-request-size', '8', '--max-body-size', '1Ki').maxBodyBytes, 1024);
  t.equal(sidecar('--max-body-size', '-1').maxBodyBytes, 4 * 1024 * 1024);
  t.equal(sidecar('--dapr-http-read-buffer-size', '16').readBufferBytes, 16 * 1024);
  t.end();
});

t.test('what cannot be understood is refused by name', (t) => {
  t.match(
    refusal(() => parseFlags(['--nope'])),
    'unknown flag: --nope',
  );
  t.match(
    refusal(() => parseFlags(['--app-id'])),
    'flag needs an argument: --app-id',
  );
  t.match(
    refusal(() => sidecar('--dapr-http-port', 'x')),
    /--dapr-http-port: expected a port/,
  );
  t.match(
    refusal(() => sidecar('--dapr-grpc-port', '')),
    /"" for --dapr-grpc-port: expected a port/,
  );
  t.match(
    refusal(() => sidecar('--profile-port', 'x')),
    /--profile-port: expected a port/,
  );
  t.equal(
    refusal(() => sidecar('--scheduler-job-streams', '0')),
    'must define at least 1 scheduler stream, got 0',
  );
  t.equal(
    refusal(() => sidecar('--actors-disseminate-timeout', '0s')),
    "invalid value for 'actors-disseminate-timeout' option: must be positive, got 0s",
  );
  t.match(
    refusal(() => sidecar('--dapr-http-port', '70000')),
    /--dapr-http-port: expected a port/,
  );
  t.match(
    refusal(() => sidecar('--max-body-size', '4 pounds')),
    /--max-body-size: expected a size/,
  );
  t.match(
    refusal(() => sidecar('--app-binding-options-timeout', 'soon')),
    /expected a duration/,
  );
  t.match(
    refusal(() => sidecar('--app-protocol', 'gopher')),
    /app-protocol.*gopher/,
  );
  t.match(
    refusal(() => sidecar('--disable-init-endpoints', 'config,x')),
    /--disable-init-endpoints: expected config or subscribe/,
  );
  t.match(
    refusal(() => sidecarOptions(parseFlags([]))),
    'parameter app-id cannot be empty',
  );
  t.match(
    refusal(() => sidecarOptions(parseFlags(['--app-id', 'a.b']))),
    /cannot contain dots/,
  );
  t.match(
    refusal(() => sidecar('--app-port', '3500')),
    /must differ from 'app-port' 3500/,
  );
  t.match(
    refusal(() => sidecar('--app-health-probe-timeout', '6000')),
    /app-health-probe-timeout/,
  );
  t.match(
    refusal(() => sidecar('--mode', 'kubernetes')),
    /--mode kubernetes is not supported: .* --resources-path/,
  );
  t.match(
    refusal(() => sidecar('--mode', 'cloud')),
    /--mode: expected standalone/,
  );
  t.match(
    refusal(() => nodeOptions(parseFlags(['--log-level', 'loud']))),
    /--log-level: expected debug/,
  );
  t.end();
});

t.test('every flag of the table is accepted, and those without effect are named', (t) => {
  for (const flag of FLAGS) {
    const value = { text: 'x', int: '1', bool: 'true', list: 'x', duration: '1s', quantity: '1Ki' }[
      flag.kind
    ];
    t.doesNotThrow(() => parseFlags([`--${flag.name}=${value}`]), flag.name);
  }
  t.same(
    nodeOptions(parseFlags(['--enable-profiling', '--placement-host-address', 'localhost:50005'])).inert,
    ['--enable-profiling', '--placement-host-address'],
  );
  t.same(
    nodeOptions(
      parseFlags(['--enable-profiling=false', '--placement-host-address', '', '--profile-port', '-1']),
    ).inert,
    [],
  );
  t.end();
});

t.test('flags of mutual TLS tell apart what was given', (t) => {
  t.same(sidecar().mtls, {
    enabled: undefined,
    sentryAddress: undefined,
    controlPlaneTrustDomain: undefined,
    controlPlaneNamespace: undefined,
  });
  t.same(sidecar('--enable-mtls', '--sentry-address=s:1', '--control-plane-trust-domain', 'td').mtls, {
    enabled: true,
    sentryAddress: 's:1',
    controlPlaneTrustDomain: 'td',
    controlPlaneNamespace: undefined,
  });
  t.equal(sidecar('--enable-mtls=false').mtls.enabled, false);
  t.end();
});

t.test('ports of the broker', (t) => {
  t.equal(nodeOptions(parseFlags([])).mqttPort, undefined);
  t.equal(nodeOptions(parseFlags(['--mqtt-port', '1883'])).mqttPort, 1883);
  t.equal(nodeOptions(parseFlags(['--mqtt-port', 'off'])).mqttPort, undefined);
  t.end();
});
