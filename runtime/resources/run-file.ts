/** Dapr's multi-app run file (`dapr.yaml`, version 1): the apps and what they share. */

import { existsSync } from 'node:fs';
import { readFile, stat } from 'node:fs/promises';
import { homedir } from 'node:os';
import { basename, dirname, join, resolve } from 'node:path';
import { z } from 'zod';
import { faultText, parseDocuments } from './documents.ts';

export interface RunFileApp {
  readonly appId: string;
  /** Absolute: where the app is started. */
  readonly directory: string;
  readonly appPort?: number;
  readonly appProtocol?: string;
  readonly appMaxConcurrency?: number;
  readonly command: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  /** Absolute, as the next one. */
  readonly resourcesPaths: readonly string[];
  readonly configFile?: string;
  readonly daprHttpPort?: number;
  readonly daprGrpcPort?: number;
  readonly metricsPort?: number;
  readonly enableAppHealthCheck?: boolean;
  readonly appHealthCheckPath?: string;
  readonly appHealthProbeInterval?: number;
  readonly appHealthProbeTimeout?: number;
  readonly appHealthThreshold?: number;
  readonly enableApiLogging?: boolean;
  readonly unixDomainSocket?: string;
  readonly logs?: 'console' | 'file' | 'fileAndConsole';
  /** Further flags of the sidecar, by the member that says so. */
  readonly flags: readonly { readonly member: string; readonly flag: string; readonly value: string }[];
}

export interface RunFile {
  /** Names the node: the file's own name without ending, or its folder's for `dapr.yaml`. */
  readonly name: string;
  /** Its `name`, empty without one. */
  readonly title: string;
  /** The file itself, absolute. */
  readonly path: string;
  readonly apps: readonly RunFileApp[];
  /** Members that nothing comes of, with their place; not those that are for Kubernetes only. */
  readonly ignored: readonly string[];
}

/** The Dapr CLI's way to say that a port is not given. */
const UNSET_PORT = -1;
const port = z
  .number()
  .int()
  .min(UNSET_PORT)
  .max(65_535)
  .transform((given) => (given === UNSET_PORT ? undefined : given));
const scalar = z.union([z.string(), z.number(), z.boolean()]);
const destination = z.enum(['console', 'file', 'fileAndConsole'], {
  error: 'expected console, file or fileAndConsole',
});

/** Members that are flags of daprd under another name; those of an app win over those of `common`. */
const FLAG_MEMBERS: Readonly<Record<string, string>> = {
  apiListenAddresses: 'dapr-listen-addresses',
  logLevel: 'log-level',
  maxBodySize: 'max-body-size',
  readBufferSize: 'read-buffer-size',
  daprHTTPMaxRequestSize: 'dapr-http-max-request-size',
  daprHTTPReadBufferSize: 'dapr-http-read-buffer-size',
  appSSL: 'app-ssl',
  enableProfiling: 'enable-profiling',
  placementHostAddress: 'placement-host-address',
  schedulerHostAddress: 'scheduler-host-address',
  appChannelAddress: 'app-channel-address',
  daprInternalGRPCPort: 'dapr-internal-grpc-port',
  profilePort: 'profile-port',
};
const OWN_MEMBERS = ['appChannelAddress', 'daprInternalGRPCPort', 'profilePort'];
const FOR_KUBERNETES = ['containerImage', 'containerImagePullPolicy', 'createService'];
const flagMembers = (names: readonly string[]) =>
  Object.fromEntries(names.map((name) => [name, scalar.optional()]));
const shared = {
  ...flagMembers(Object.keys(FLAG_MEMBERS).filter((name) => !OWN_MEMBERS.includes(name))),
  appLogDestination: destination.optional(),
  appPort: port.optional(),
  appProtocol: z.string().optional(),
  appMaxConcurrency: z.number().int().optional(),
  env: z.record(z.string(), z.union([z.string(), z.number(), z.boolean()])).optional(),
  resourcesPath: z.string().optional(),
  resourcesPaths: z.array(z.string()).optional(),
  configFilePath: z.string().optional(),
  enableAppHealthCheck: z.boolean().optional(),
  appHealthCheckPath: z.string().optional(),
  appHealthProbeInterval: z.number().int().optional(),
  appHealthProbeTimeout: z.number().int().optional(),
  appHealthThreshold: z.number().int().optional(),
  enableApiLogging: z.boolean().optional(),
  unixDomainSocket: z.string().optional(),
};

const own = {
  ...shared,
  ...flagMembers(OWN_MEMBERS),
  appID: z.string({ error: 'expected an app id' }).optional(),
  appDirPath: z.string().optional(),
  command: z.array(z.string()).optional(),
  daprHTTPPort: port.optional(),
  daprGRPCPort: port.optional(),
  metricsPort: port.optional(),
};
const fileSchema = z.object({
  version: z.literal(1, { error: 'expected 1' }),
  name: z.string().optional(),
  common: z.object(shared).optional(),
  apps: z.array(z.object(own)).min(1, 'expected at least one app'),
});

/** Members of the file that nothing is made of. */
function ignoredMembers(file: unknown): readonly string[] {
  const { common, apps, ...rest } = file as { common?: object; apps: readonly object[] };
  const unknown = (value: object, place: string, known: readonly string[]): string[] =>
    Object.keys(value)
      .filter((name) => !known.includes(name) && !FOR_KUBERNETES.includes(name))
      .map((name) => `${place}${name}`);
  return [
    ...unknown(rest, '', ['version', 'name']),
    ...unknown(common ?? {}, 'common.', Object.keys(shared)),
    ...apps.flatMap((app, index) => unknown(app, `apps.${index}.`, Object.keys(own))),
  ];
}

function flagsOf(common: object, app: object): RunFileApp['flags'] {
  const both = { ...definedOnly(common), ...definedOnly(app) } as Readonly<Record<string, unknown>>;
  return Object.entries(FLAG_MEMBERS).flatMap(([member, flag]) => {
    const value = both[member];
    return value === undefined || value === '' ? [] : [{ member, flag, value: String(value) }];
  });
}

type Shared = Partial<z.output<z.ZodObject<typeof shared>>>;

/** A folder stands for the `dapr.yaml` inside it, as with `dapr run -f`. */
async function fileOf(path: string): Promise<string> {
  const info = await stat(path).catch(() => undefined);
  return info?.isDirectory() ? join(path, 'dapr.yaml') : path;
}

/** Reads and checks the file; rejects with every fault in one message. */
export async function readRunFile(path: string): Promise<RunFile> {
  const file = await fileOf(path);
  const text = await readFile(file, 'utf8');
  const { documents, faults } = parseDocuments(text, file);
  if (faults.length > 0) throw new Error(faults.map(faultText).join('; '));
  const parsed = fileSchema.safeParse(documents[0]?.value ?? {});
  if (!parsed.success) {
    throw new Error(
      parsed.error.issues.map((issue) => `${file}: ${issue.path.join('.')}: ${issue.message}`).join('; '),
    );
  }
  const { common = {}, apps } = parsed.data;
  const named = apps.map((app) => ({
    ...app,
    appID: app.appID ?? basename(resolve(dirname(file), app.appDirPath ?? '.')),
  }));
  const twice = named.find((app, index) => named.findIndex((other) => other.appID === app.appID) !== index);
  if (twice !== undefined) throw new Error(`${file}: apps: the app id ${twice.appID} is used twice`);
  const stem = basename(file).replace(/\.[^.]+$/, '');
  return {
    name: stem === 'dapr' ? basename(dirname(resolve(file))) : stem,
    title: parsed.data.name ?? '',
    path: resolve(file),
    ignored: ignoredMembers(documents[0]?.value),
    apps: named.map((app) => merge(app, common, dirname(resolve(file)))),
  };
}

/** Relative to `base`; `~` is the home folder. */
function absolute(base: string, path: string): string {
  return resolve(base, path.replace(/^~(?=\/|$)/, homedir()));
}

function paths(base: string, { resourcesPath, resourcesPaths = [] }: Shared): readonly string[] {
  const all = resourcesPath === undefined ? resourcesPaths : [...resourcesPaths, resourcesPath];
  return all.map((path) => absolute(base, path));
}

/** What the app's own section names, else what lies in its `.dapr` folder, else the common section's. */
function resourcesOf(directory: string, app: Shared, base: string, common: Shared): readonly string[] {
  const own = paths(directory, app);
  if (own.length > 0) return own;
  const local = join(directory, '.dapr/resources');
  return existsSync(local) ? [local] : paths(base, common);
}

function configOf(directory: string, app: Shared, base: string, common: Shared): string | undefined {
  if (app.configFilePath) return absolute(directory, app.configFilePath);
  const local = join(directory, '.dapr/config.yaml');
  if (existsSync(local)) return local;
  return common.configFilePath ? absolute(base, common.configFilePath) : undefined;
}

/**
 * An app's own members win, environments are merged. Paths of an app's section are relative to its folder, those of the
 * common section to the file (Dapr, multi-app run template).
 */
function merge(
  app: Shared & {
    appID: string;
    appDirPath?: string | undefined;
    command?: string[] | undefined;
    daprHTTPPort?: number | undefined;
    daprGRPCPort?: number | undefined;
    metricsPort?: number | undefined;
  },
  common: Shared,
  base: string,
): RunFileApp {
  const env = Object.fromEntries(
    Object.entries({ ...common.env, ...app.env }).map(([name, value]) => [name, String(value)]),
  );
  const both = { ...definedOnly(common), ...definedOnly(app) } as Shared;
  const { appDirPath = '.', command = [], daprHTTPPort, daprGRPCPort, metricsPort } = app;
  const directory = absolute(base, appDirPath);
  return definedOnly({
    appId: app.appID,
    directory,
    command,
    env,
    resourcesPaths: resourcesOf(directory, app, base, common),
    configFile: configOf(directory, app, base, common),
    daprHttpPort: daprHTTPPort,
    daprGrpcPort: daprGRPCPort,
    metricsPort,
    appPort: both.appPort,
    appProtocol: both.appProtocol,
    appMaxConcurrency: both.appMaxConcurrency,
    enableAppHealthCheck: both.enableAppHealthCheck,
    appHealthCheckPath: both.appHealthCheckPath,
    appHealthProbeInterval: both.appHealthProbeInterval,
    appHealthProbeTimeout: both.appHealthProbeTimeout,
    appHealthThreshold: both.appHealthThreshold,
    enableApiLogging: both.enableApiLogging,
    unixDomainSocket: both.unixDomainSocket,
    logs: both.appLogDestination,
    flags: flagsOf(common, app),
  }) as unknown as RunFileApp;
}

function definedOnly<T extends object>(value: T): Partial<T> {
  return Object.fromEntries(Object.entries(value).filter(([, member]) => member !== undefined)) as Partial<T>;
}
