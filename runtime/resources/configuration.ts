/**
 * Configuration resources: only from `--config`, `$VAR` expanded, several files laid over one another in order, every
 * member with its default (CLI reference, section 8). Anything wrong in them is fatal.
 */

import { readFile } from 'node:fs/promises';
import { z } from 'zod';
import { parseGoDuration } from '../contracts/duration.ts';
import { foldMembers } from '../contracts/fold-members.ts';
import type { ConfigurationResource } from '../contracts/resource.ts';
import { isObject, parseDocuments, type ResourceFault, shown } from './documents.ts';
import { EnvironmentError, type SpecTracing, withTracingEnvironment } from './tracing-environment.ts';

export const DEFAULT_LATENCY_BUCKETS: readonly number[] = [
  1, 2, 3, 4, 5, 6, 8, 10, 13, 16, 20, 25, 30, 40, 50, 65, 80, 100, 130, 160, 200, 250, 300, 400, 500, 650,
  800, 1000, 2000, 5000, 10_000, 20_000, 50_000, 100_000,
];

const text = z
  .string()
  .nullish()
  .transform((value) => value ?? '');
const texts = z
  .array(z.string())
  .nullish()
  .transform((value) => value ?? []);
const bool = (fallback: boolean) =>
  z
    .boolean()
    .nullish()
    .transform((value) => value ?? fallback);
const handlers = z
  .object({ handlers: z.array(z.object({ name: z.string(), type: text })).nullish() })
  .nullish()
  .transform((value) => value?.handlers ?? []);
const access = z.enum(['allow', 'deny'], { error: "expected 'allow' or 'deny'" });
const apiRules = z
  .array(z.object({ name: z.string(), version: text, protocol: text }))
  .nullish()
  .transform((value) => value ?? []);
const metricSpec = z
  .object({
    enabled: z.boolean().nullish(),
    recordErrorCodes: z.boolean().nullish(),
    http: z
      .object({
        increasedCardinality: z.boolean().nullish(),
        pathMatching: texts,
        excludeVerbs: z.boolean().nullish(),
      })
      .nullish(),
    latencyDistributionBuckets: z.array(z.number()).nullish(),
    rules: z
      .array(
        z.object({
          name: z.string(),
          labels: z
            .array(
              z.object({
                name: z.string(),
                regex: z
                  .record(z.string(), z.string())
                  .nullish()
                  .transform((value) => value ?? {}),
              }),
            )
            .nullish()
            .transform((value) => value ?? []),
        }),
      )
      .nullish(),
  })
  .nullish();

/** `name=value` texts as daprd reads them from a file, or the `name`/`value` items of the Kubernetes resource. */
const otelHeaders = z
  .array(
    z.union(
      [
        z.string().refine((text) => text.indexOf('=') > 0, "expected 'name=value'"),
        z.object({ name: z.string(), value: z.coerce.string() }),
      ],
      { error: "expected 'name=value', or name and value" },
    ),
  )
  .nullish()
  .transform((items) => {
    if (items == null || items.length === 0) return undefined;
    const pairs = items.map((item): [string, string] =>
      typeof item === 'string'
        ? [item.slice(0, item.indexOf('=')), item.slice(item.indexOf('=') + 1)]
        : [item.name, item.value],
    );
    return Object.fromEntries(pairs) as Readonly<Record<string, string>>;
  });

/** A Go duration; a bare number counts nanoseconds, as everywhere in Go. */
const otelTimeout = z
  .union([z.string(), z.number()], { error: "expected a duration such as '10s'" })
  .nullish()
  .transform((value, context) => {
    if (value == null || value === '') return undefined;
    const ms = typeof value === 'number' ? value / 1e6 : parseGoDuration(value);
    if (ms === undefined || ms < 0) {
      context.addIssue({ code: 'custom', message: "expected a duration such as '10s'" });
      return undefined;
    }
    return ms === 0 ? undefined : ms;
  });

const tracing = z
  .object({
    samplingRate: z
      .union([z.string(), z.number()])
      .nullish()
      .transform((value) => (value == null ? '' : String(value))),
    stdout: bool(false),
    zipkin: z.object({ endpointAddress: text }).nullish(),
    otel: z
      .object({
        endpointAddress: text,
        protocol: text.refine(
          (value) => value === '' || value === 'grpc' || value === 'http',
          "expected 'grpc' or 'http'",
        ),
        isSecure: z.boolean().nullish(),
        headers: otelHeaders,
        timeout: otelTimeout,
      })
      .nullish(),
  })
  .nullish();

const duration = text.refine(
  (value) => value === '' || parseGoDuration(value) !== undefined,
  'expected a duration such as 15m',
);

/** `workloadCertTTL` and `allowedClockSkew` are sentry's business; here they are only read. */
const mtls = z
  .object({
    enabled: bool(false),
    sentryAddress: text,
    controlPlaneTrustDomain: text,
    workloadCertTTL: duration,
    allowedClockSkew: duration,
  })
  .nullish();

const named = (what: string) => z.string({ error: `expected ${what}` }).min(1, `expected ${what}`);
const policy = z.object({
  appId: named('an app id'),
  defaultAction: text,
  trustDomain: named('a trust domain'),
  namespace: named('a namespace'),
  operations: z
    .array(z.object({ name: z.string(), httpVerb: texts, action: text }))
    .nullish()
    .transform((value) => value ?? []),
});

const specSchema = z.object({
  tracing,
  metric: metricSpec,
  metrics: metricSpec,
  httpPipeline: handlers,
  appHttpPipeline: handlers,
  nameResolution: z
    .object({ component: text, version: text, configuration: z.record(z.string(), z.unknown()).nullish() })
    .nullish(),
  secrets: z
    .object({
      scopes: z
        .array(
          z.object({
            storeName: z.string(),
            defaultAccess: access.nullish().transform((value) => value ?? 'allow'),
            allowedSecrets: texts,
            deniedSecrets: texts,
          }),
        )
        .nullish()
        .refine(
          (scopes) => new Set(scopes?.map((s) => s.storeName)).size === (scopes?.length ?? 0),
          'a store may be named once only',
        ),
    })
    .nullish(),
  api: z.object({ allowed: apiRules, denied: apiRules }).nullish(),
  accessControl: z
    .object({ defaultAction: text, trustDomain: text, policies: z.array(policy).nullish() })
    .nullish(),
  mtls,
  features: z.array(z.object({ name: z.string(), enabled: bool(false) })).nullish(),
  components: z.object({ deny: texts }).nullish(),
  logging: z
    .object({
      apiLogging: z
        .object({ enabled: bool(false), obfuscateURLs: bool(false), omitHealthChecks: bool(false) })
        .nullish(),
    })
    .nullish(),
});

/** `$VAR` and `${VAR}`; an unset variable becomes empty, as in Go's `os.ExpandEnv`. */
export function expandEnvironment(source: string, env: Readonly<Record<string, string | undefined>>): string {
  return source.replace(
    /\$(?:\{(\w+)\}|(\w+))/g,
    (_whole, braced?: string, bare?: string) => env[braced ?? bare ?? ''] ?? '',
  );
}

/** Members of `over` replace those of `under`; objects are merged member by member. */
function overlay(under: unknown, over: unknown): unknown {
  if (!isObject(under) || !isObject(over)) return over ?? under;
  const merged: Record<string, unknown> = { ...under };
  for (const [key, value] of Object.entries(over)) merged[key] = overlay(merged[key], value);
  return merged;
}

export type LoadedConfiguration =
  | {
      readonly ok: true;
      readonly configuration: ConfigurationResource;
      readonly spec: Readonly<Record<string, unknown>>;
    }
  | { readonly ok: false; readonly faults: readonly ResourceFault[] };

type Spec = z.output<typeof specSchema>;

/** What one file gives; faults of it are fatal. */
async function readOne(
  file: string,
  env: Readonly<Record<string, string | undefined>>,
): Promise<{
  readonly document?: Readonly<Record<string, unknown>>;
  readonly faults: readonly ResourceFault[];
}> {
  const origin = { file, document: 0 };
  const source = await readFile(file, 'utf8').catch((error: Error) => error);
  if (typeof source !== 'string') {
    const message = `cannot be read: ${source.message}`;
    return { faults: [{ origin, field: '--config', message, fatal: true }] };
  }
  const { documents, faults: broken } = parseDocuments(expandEnvironment(source, env), file);
  const faults = broken.map((fault) => ({ ...fault, fatal: fault.reason === 'broken' }));
  const document = documents[0]?.value;
  if (document === undefined) return { faults };
  if (document['kind'] !== 'Configuration') {
    const message = `expected Configuration, got '${shown(document['kind'])}'`;
    return { faults: [...faults, { origin, field: 'kind', message, fatal: true }] };
  }
  return { document, faults };
}

/** Reads and merges `files`; no file gives the defaults. */
export async function loadConfiguration(
  files: readonly string[],
  env: Readonly<Record<string, string | undefined>>,
): Promise<LoadedConfiguration> {
  const faults: ResourceFault[] = [];
  let spec: unknown = {};
  let name = 'daprsystem';
  for (const file of files) {
    const { document, faults: found } = await readOne(file, env);
    faults.push(...found);
    if (document === undefined) continue;
    if (isObject(document['metadata'])) name = shown(document['metadata']['name'] ?? name);
    spec = overlay(spec, foldMembers(specSchema, document['spec'] ?? {}));
  }
  const parsed = specSchema.safeParse(spec);
  const origin = { file: files.join(', '), document: 0 };
  if (!parsed.success) {
    for (const issue of parsed.error.issues)
      faults.push({ origin, field: `spec.${issue.path.join('.')}`, message: issue.message, fatal: true });
  }
  if (faults.length > 0 || !parsed.success) return { ok: false, faults };
  const tracing = completeTracing(tracingOf(parsed.data.tracing ?? {}), env);
  if ('fault' in tracing) return { ok: false, faults: [tracing.fault] };
  return {
    ok: true,
    configuration: Object.freeze({ ...build(name, parsed.data), tracing }),
    spec: spec as Readonly<Record<string, unknown>>,
  };
}

/** With the environment's part; a variable that cannot be read is fatal, as a member of the file would be. */
function completeTracing(
  spec: SpecTracing,
  env: Readonly<Record<string, string | undefined>>,
): ConfigurationResource['tracing'] | { readonly fault: ResourceFault } {
  try {
    return withTracingEnvironment(spec, env);
  } catch (error) {
    if (!(error instanceof EnvironmentError)) throw error;
    const { variable: field, message } = error;
    return { fault: { origin: { file: 'environment', document: 0 }, field, message, fatal: true } };
  }
}

function build(name: string, spec: Spec): Omit<ConfigurationResource, 'tracing'> {
  const acl = spec.accessControl;
  return {
    name,
    metrics: metricsOf(spec.metric ?? {}, spec.metrics ?? {}),
    httpPipeline: spec.httpPipeline,
    appHttpPipeline: spec.appHttpPipeline,
    nameResolution: nameResolutionOf(spec.nameResolution),
    secretScopes: spec.secrets?.scopes ?? [],
    api: spec.api ?? { allowed: [], denied: [] },
    ...(acl == null
      ? {}
      : {
          accessControl: {
            defaultAction: acl.defaultAction,
            trustDomain: orDefault(acl.trustDomain, 'public'),
            policies: acl.policies ?? [],
          },
        }),
    ...(spec.mtls == null ? {} : { mtls: mtlsOf(spec.mtls) }),
    features: Object.fromEntries((spec.features ?? []).map((feature) => [feature.name, feature.enabled])),
    deniedComponents: spec.components?.deny ?? [],
    apiLogging: apiLoggingOf(spec.logging?.apiLogging),
  };
}

function mtlsOf(spec: NonNullable<Spec['mtls']>): NonNullable<ConfigurationResource['mtls']> {
  const { enabled, sentryAddress, controlPlaneTrustDomain } = spec;
  return { enabled, sentryAddress, controlPlaneTrustDomain };
}

function orDefault(value: string | undefined, fallback: string): string {
  return value === undefined || value === '' ? fallback : value;
}

function tracingOf(spec: Partial<NonNullable<Spec['tracing']>>): SpecTracing {
  return {
    samplingRate: spec.samplingRate ?? '',
    stdout: spec.stdout ?? false,
    zipkinEndpoint: spec.zipkin?.endpointAddress ?? '',
    otel: {
      endpointAddress: spec.otel?.endpointAddress ?? '',
      protocol: spec.otel?.protocol ?? '',
      isSecure: spec.otel?.isSecure ?? undefined,
      headers: spec.otel?.headers,
      timeoutMs: spec.otel?.timeout,
    },
  };
}

type MetricSpec = NonNullable<Spec['metric']>;

/** `metrics` wins over its older spelling `metric`. */
function metricsOf(metric: MetricSpec, metrics: MetricSpec): ConfigurationResource['metrics'] {
  const http = { ...metric.http, ...metrics.http };
  const buckets = metrics.latencyDistributionBuckets ?? metric.latencyDistributionBuckets ?? [];
  return {
    enabled: metrics.enabled ?? metric.enabled ?? true,
    recordErrorCodes: metrics.recordErrorCodes ?? metric.recordErrorCodes ?? false,
    increasedCardinality: http.increasedCardinality ?? true,
    pathMatching: http.pathMatching ?? [],
    excludeVerbs: http.excludeVerbs ?? false,
    latencyBuckets: buckets.length > 0 ? buckets : DEFAULT_LATENCY_BUCKETS,
    rules: metrics.rules ?? metric.rules ?? [],
  };
}

function nameResolutionOf(spec: Spec['nameResolution']): ConfigurationResource['nameResolution'] {
  return {
    component: orDefault(spec?.component, 'mdns'),
    version: orDefault(spec?.version, 'v1'),
    configuration: spec?.configuration ?? {},
  };
}

function apiLoggingOf(
  spec: NonNullable<Spec['logging']>['apiLogging'] | undefined,
): ConfigurationResource['apiLogging'] {
  return {
    enabled: spec?.enabled ?? false,
    obfuscateUrls: spec?.obfuscateURLs ?? false,
    omitHealthChecks: spec?.omitHealthChecks ?? false,
  };
}
