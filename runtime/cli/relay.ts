/** `skerry relay`: the relay itself; `token`, `revoke` and `services`, asked of it or of the registry that relays share. */

import { parseArgs } from 'node:util';
import { daprVersion } from '../build-info.ts';
import { parseGoDuration } from '../contracts/duration.ts';
import { errorText } from '../contracts/error.ts';
import { parseQuantity, splitCommaList } from '../contracts/metadata.ts';
import { FlagError, nodeOptions, parseFlags } from '../flags.ts';
import { createNode } from '../node.ts';
import { trimHeapWhenQuiet, trimHeapWhileStreaming } from '../platform/trim-heap.ts';
import { serviceManifests } from '../relay/service-manifests.ts';
import type { BesideOptions } from '../relay/sidecar-beside.ts';
import { DEFAULT_ALLOWED, parseAllowList } from '../relay/sidecar-rules.ts';
import { type RelayProcessOptions, startRelay } from '../relay-process.ts';
import type { ProgramSetup } from './daprd.ts';
import { print, printError } from './output.ts';
import { DESK_OPTIONS, type Desk, openDesk, registryUrl, relayDataDir } from './relay-desk.ts';

const USAGE = `Usage:
  skerry relay --listen HOST:PORT [flags]       run a relay: nodes dial in, their apps are called by name
  skerry relay token --app-ids A,B [flags]      a token of one use that enrols one node for these app ids
  skerry relay revoke NODE                      revokes a node and closes its link
  skerry relay services --namespace NS [flags]  manifests for Kubernetes: a Service for each app id, to pipe into kubectl

Flags of all:
  --data-dir DIR              (SKERRY_DATA_DIR, ~/.skerry/relay)
  --registry postgres://USER@HOST/DATABASE   the registry that relays share, in place of one in the data folder
  --registry-file FILE        a file with its address, password included; or SKERRY_RELAY_REGISTRY in the environment
Flags of relay:
  --listen HOST:PORT          where nodes dial in (0.0.0.0:8443)
  --public-address HOST,...   names and addresses by which nodes reach it
  --internal-address HOST     bind address of Dapr's internal gRPC (all interfaces)
  --internal-port PORT        its port; 0 picks one (0)
  --relays-port PORT          where other relays of the registry hand over calls; 0 picks one (0)
  --config FILE               a Dapr Configuration, for nameResolution (mDNS by default); repeatable
  --metrics-port PORT         Prometheus endpoint; 0: none (9090)
  --metrics-address HOST      its bind address (127.0.0.1)
  --ca-cert FILE, --ca-key FILE   your own authority in place of the relay's
  --trust-domain NAME         trust domain of callers as access policies see them (public)
  --enable-mtls, --sentry-address HOST:PORT   the cloud is a mesh of Dapr's sentry (DAPR_TRUST_ANCHORS as for daprd)
  --certificate-ttl DURATION  lifetime of the certificates of nodes (2160h)
  --max-links N               links taken at once (10000)
  --sidecar-http URL          a Dapr sidecar beside it that nodes may ask: http://127.0.0.1:3500
  --sidecar-grpc HOST:PORT    its gRPC address, for streaming subscriptions: 127.0.0.1:50001
  --sidecar-api-token-file FILE   its API token; read anew when it refuses the one in use
  --sidecar-allow WHAT,...    what nodes may ask of it, such as state,publish or state:statestore/{app}-
                              (state,publish,subscribe,bindings,configuration,lock; also: secrets, invoke)
  --max-body-size SIZE        largest message that passes (4Mi)
  --log-level LEVEL, --log-as-json, --log-file FILE
Flags of token: --app-ids A,B  --ttl DURATION (15m)  --node NAME (the name the node must take)
Flags of services: --namespace NS  --internal-port PORT (50002)  --selector LABEL=VALUE,... (app=skerry-relay)
`;

type Values = ReturnType<typeof parse>['values'];

export async function relayCommand(args: readonly string[], setup: ProgramSetup): Promise<void> {
  const { values, positionals } = parse(args);
  const [command, name] = positionals;
  if (values.help === true) return print(USAGE);
  if (command === undefined) return await serve(values, relayDataDir(values, setup.env), setup);
  const act = actOf(command, name, values);
  try {
    await using stack = new AsyncDisposableStack();
    const desk = await openDesk(values, setup.env);
    stack.defer(() => desk.close());
    print(await act(desk));
  } catch (error) {
    if (error instanceof FlagError) throw error;
    printError(errorText(error));
    process.exitCode = 1;
  }
}

/** What a command does, and prints. Throws where it is not complete. */
function actOf(command: string, name: string | undefined, values: Values): (desk: Desk) => Promise<string> {
  switch (command) {
    case 'token':
      return token(values);
    case 'revoke': {
      if (name === undefined) throw new FlagError('relay revoke: the name of a node is required');
      return async (desk) => {
        await desk.revoke(name);
        return `${name} is revoked`;
      };
    }
    case 'services':
      return services(values);
    default:
      throw new FlagError(`unknown command: relay ${command} (expected token, revoke, services or none)`);
  }
}

function parse(args: readonly string[]) {
  try {
    const text = { type: 'string' } as const;
    return parseArgs({
      args: [...args],
      allowPositionals: true,
      options: {
        ...DESK_OPTIONS,
        'relays-port': text,
        namespace: text,
        selector: { type: 'string', multiple: true },
        listen: text,
        'public-address': { type: 'string', multiple: true },
        'internal-address': text,
        'internal-port': text,
        config: { type: 'string', multiple: true },
        'metrics-port': text,
        'metrics-address': text,
        'ca-cert': text,
        'ca-key': text,
        'trust-domain': text,
        'certificate-ttl': text,
        'max-links': text,
        'enable-mtls': { type: 'boolean' },
        'sentry-address': text,
        'control-plane-trust-domain': text,
        'control-plane-namespace': text,
        'max-body-size': text,
        'sidecar-http': text,
        'sidecar-grpc': text,
        'sidecar-api-token-file': text,
        'sidecar-allow': { type: 'string', multiple: true },
        'log-level': text,
        'log-file': text,
        'log-as-json': { type: 'boolean' },
        'app-ids': { type: 'string', multiple: true },
        ttl: text,
        node: text,
        help: { type: 'boolean' },
      },
    });
  } catch (error) {
    throw new FlagError(`relay: ${errorText(error)}`);
  }
}

function token(values: Values): (desk: Desk) => Promise<string> {
  const appIds = (values['app-ids'] ?? []).flatMap((list) => splitCommaList(list));
  if (appIds.length === 0)
    throw new FlagError('relay token: --app-ids is required, such as --app-ids door,lamp');
  const request = {
    appIds,
    ttlMs: duration('ttl', values.ttl ?? '15m'),
    ...(values.node === undefined ? {} : { node: values.node }),
  };
  return (desk) => desk.token(request);
}

function services(values: Values): (desk: Desk) => Promise<string> {
  const { namespace } = values;
  if (namespace === undefined || namespace === '')
    throw new FlagError('relay services: --namespace is required, such as --namespace default');
  const labels = (values.selector ?? ['app=skerry-relay']).flatMap((list) => splitCommaList(list));
  const selector = Object.fromEntries(
    labels.map((label) => {
      const [, name = '', value = ''] = /^([^=]+)=(.*)$/.exec(label) ?? [];
      if (name === '')
        throw new FlagError(`invalid argument "${label}" for --selector: expected LABEL=VALUE`);
      return [name, value];
    }),
  );
  const port = whole('internal-port', values['internal-port'] ?? '50002', 1, MAX_PORT);
  return async (desk) => {
    const { text, skipped } = serviceManifests(await desk.nodes(), { namespace, port, selector });
    if (skipped.length > 0)
      printError(`left out, since Kubernetes has no Service of such a name: ${skipped.join(', ')}`);
    return text.trimEnd();
  };
}

function duration(name: string, text: string): number {
  const ms = parseGoDuration(text);
  if (ms === undefined || ms <= 0)
    throw new FlagError(`invalid argument "${text}" for --${name}: expected a duration such as 15m`);
  return ms;
}

function whole(name: string, text: string, least: number, most: number): number {
  const number = Number(text);
  if (!Number.isInteger(number) || number < least || number > most)
    throw new FlagError(
      `invalid argument "${text}" for --${name}: expected a number from ${least} to ${most}`,
    );
  return number;
}

const MAX_PORT = 65_535;
const NONE: string[] = [];
const DEFAULTS = {
  listen: '0.0.0.0:8443',
  'public-address': NONE,
  'internal-address': '',
  'internal-port': '0',
  'relays-port': '0',
  config: NONE,
  'metrics-port': '9090',
  'metrics-address': '127.0.0.1',
  'trust-domain': 'public',
  'certificate-ttl': '2160h',
  'max-links': '10000',
  'enable-mtls': false,
  'max-body-size': '4Mi',
};

function listenAddress(listen: string): { readonly listenHost: string; readonly listenPort: number } {
  const [, host = '', port = ''] = /^(.*):(\d+)$/.exec(listen) ?? [];
  if (port === '')
    throw new FlagError(`invalid argument "${listen}" for --listen: expected host:port such as 0.0.0.0:8443`);
  return {
    listenHost: host.replace(/^\[(.*)\]$/, '$1') || '0.0.0.0',
    listenPort: whole('listen', port, 0, MAX_PORT),
  };
}

/** With the defaults of what was not given. */
function relayOptions(given: Values, env: ProgramSetup['env']): RelayProcessOptions {
  const values = { ...DEFAULTS, ...given };
  const metricsPort = whole('metrics-port', values['metrics-port'], 0, MAX_PORT);
  const size = values['max-body-size'];
  const maxMessageBytes = parseQuantity(size) ?? 0;
  if (maxMessageBytes <= 0)
    throw new FlagError(`invalid argument "${size}" for --max-body-size: expected a size such as 4Mi`);
  return {
    ...listenAddress(values.listen),
    publicHosts: values['public-address']
      .flatMap((list) => splitCommaList(list))
      .map((one) => one.replace(/^\[(.*)\]$/, '$1')),
    internalAddress: values['internal-address'],
    internalPort: whole('internal-port', values['internal-port'], 0, MAX_PORT),
    metricsAddress: values['metrics-address'],
    metricsPort: metricsPort === 0 ? undefined : metricsPort,
    configFiles: values.config,
    caCert: values['ca-cert'],
    caKey: values['ca-key'],
    trustDomain: values['trust-domain'],
    certificateTtlMs: duration('certificate-ttl', values['certificate-ttl']),
    maxLinks: whole('max-links', values['max-links'], 1, 1_000_000),
    maxMessageBytes,
    registry: registryUrl(given, env),
    relaysPort: whole('relays-port', values['relays-port'], 0, MAX_PORT),
    sidecar: besideOptions(given),
    mtls: {
      enabled: values['enable-mtls'],
      sentryAddress: values['sentry-address'],
      controlPlaneTrustDomain: values['control-plane-trust-domain'],
      controlPlaneNamespace: values['control-plane-namespace'],
    },
  };
}

/** The sidecar beside the relay; `undefined` when none is named. */
function besideOptions(given: Values): BesideOptions | undefined {
  const http = given['sidecar-http'];
  const grpc = given['sidecar-grpc'];
  const tokenFile = given['sidecar-api-token-file'];
  if (http === undefined && grpc === undefined) {
    if (tokenFile === undefined && given['sidecar-allow'] === undefined) return undefined;
    throw new FlagError(
      'relay: --sidecar-api-token-file and --sidecar-allow need --sidecar-http or --sidecar-grpc',
    );
  }
  if (http !== undefined && !(URL.canParse(http) && /^https?:/i.test(http)))
    throw new FlagError(
      `invalid argument "${http}" for --sidecar-http: expected a URL such as http://127.0.0.1:3500`,
    );
  if (grpc !== undefined && !/^(?:https?:\/\/)?\S+:\d+$/.test(grpc))
    throw new FlagError(
      `invalid argument "${grpc}" for --sidecar-grpc: expected host:port such as 127.0.0.1:50001`,
    );
  const entries = (given['sidecar-allow'] ?? []).flatMap((list) => splitCommaList(list));
  const allowed = parseAllowList(entries.length === 0 ? DEFAULT_ALLOWED : entries);
  if (typeof allowed === 'string') throw new FlagError(`invalid argument for --sidecar-allow: ${allowed}`);
  return { http, grpc, tokenFile, allowed };
}

async function serve(values: Values, dataDir: string, setup: ProgramSetup): Promise<void> {
  const options = relayOptions(values, setup.env);
  const flags = ['log-level', 'log-file', 'log-as-json'] as const;
  const given = flags.flatMap((name) =>
    values[name] === undefined ? [] : [`--${name}=${String(values[name])}`],
  );
  const end = (code: number): never => {
    node.log.flush();
    process.exit(code);
  };
  const node = createNode({
    options: nodeOptions(parseFlags([...given, `--data-dir=${dataDir}`, '--relay=off'])),
    name: 'skerry-relay',
    version: daprVersion,
    env: setup.env,
    workerEntry: setup.workerEntry,
    onFatal: () => end(1),
  });
  const stopping = new AbortController();
  const stopped = new Promise<void>((resolve) => {
    for (const name of ['SIGTERM', 'SIGINT'] as const)
      process.on(name, () => {
        stopping.abort(new Error('the relay is shutting down'));
        resolve();
      });
  });
  try {
    const relay = await startRelay(node, options, stopping.signal);
    trimHeapWhenQuiet(node.clock);
    trimHeapWhileStreaming();
    print(
      `Skerry relay is up: nodes dial in on port ${relay.port}, sidecars call on port ${relay.internalPort}.`,
    );
    await stopped;
    node.clock.startTimer(STOP_LIMIT_MS, () => end(1), true);
    await relay.close();
    await node.close();
  } catch (error) {
    node.log.fatal(`the relay cannot run: ${errorText(error)}`);
    end(1);
  }
  end(0);
}

const STOP_LIMIT_MS = 5000;
