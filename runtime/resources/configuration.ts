/**
 * Configuration resources: only from `--config`, `$VAR` expanded, several files laid over one another in order, every
 * member with its default (CLI reference, section 8). Anything wrong in them is fatal.
 */

import { readFile } from 'node:fs/promises';
import { z } from 'zod';
import type { ConfigurationResource } from '../contracts/resource.ts';
import { isObject, parseDocuments, type ResourceFault } from './documents.ts';

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
        isSecure: bool(true),
        headers: z.unknown().optional(),
        timeout: z.unknown().optional(),
      })
      .nullish(),
  })
  .nullish();

const policy = z.object({
  appId: z.string({ error: 'expected an app id' }),
  defaultAction: text,
  trustDomain: z.string({ error: 'expected a trust domain' }),
  namespace: z.string({ error: 'expected a namespace' }),
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

/** Reads and merges `files`; no file gives the defaults. */
export async function loadConfiguration(
  files: readonly string[],
  env: Readonly<Record<string, string | undefined>>,
): Promise<LoadedConfiguration> {
  const faults: ResourceFault[] = [];
  let spec: unknown = {};
  let name = 'daprsystem';
  for (const file of files) {
    const origin = { file, document: 0 };
    const source = await readFile(file, 'utf8').catch((error: Error) => error);
    if (typeof source !== 'string') {
      faults.push({ origin, field: '--config', message: `cannot be read: ${source.message}`, fatal: true });
      continue;
    }
    const { documents, faults: broken } = parseDocuments(expandEnvironment(source, env), file);
    faults.push(...broken.map((fault) => ({ ...fault, fatal: true })));
    const document = documents[0];
    if (document === undefined) continue;
    if (document.value['kind'] !== 'Configuration') {
      faults.push({
        origin,
        field: 'kind',
        message: `expected Configuration, got '${document.value['kind']}'`,
        fatal: true,
      });
      continue;
    }
    if (isObject(document.value['metadata'])) name = String(document.value['metadata']['name'] ?? name);
    spec = overlay(spec, document.value['spec'] ?? {});
  }
  const parsed = specSchema.safeParse(spec);
  const origin = { file: files.join(', '), document: 0 };
  if (!parsed.success) {
    for (const issue of parsed.error.issues)
      faults.push({ origin, field: `spec.${issue.path.join('.')}`, message: issue.message, fatal: true });
  }
  if (faults.length > 0 || !parsed.success) return { ok: false, faults };
  return {
    ok: true,
    configuration: Object.freeze(build(name, parsed.data)),
    spec: spec as Readonly<Record<string, unknown>>,
  };
}

function build(name: string, spec: z.output<typeof specSchema>): ConfigurationResource {
  const metric = spec.metric ?? {};
  const metrics = spec.metrics ?? {};
  const http = { ...metric.http, ...metrics.http };
  const buckets = metrics.latencyDistributionBuckets ?? metric.latencyDistributionBuckets ?? [];
  const acl = spec.accessControl;
  return {
    name,
    tracing: {
      samplingRate: spec.tracing?.samplingRate ?? '',
      stdout: spec.tracing?.stdout ?? false,
      zipkinEndpoint: spec.tracing?.zipkin?.endpointAddress ?? '',
      otel: {
        endpointAddress: spec.tracing?.otel?.endpointAddress ?? '',
        protocol: spec.tracing?.otel?.protocol ?? '',
        isSecure: spec.tracing?.otel?.isSecure ?? true,
        headers: {},
        timeoutMs: 10_000,
      },
    },
    metrics: {
      enabled: metrics.enabled ?? metric.enabled ?? true,
      recordErrorCodes: metrics.recordErrorCodes ?? metric.recordErrorCodes ?? false,
      increasedCardinality: http.increasedCardinality ?? true,
      pathMatching: http.pathMatching ?? [],
      excludeVerbs: http.excludeVerbs ?? false,
      latencyBuckets: buckets.length > 0 ? buckets : DEFAULT_LATENCY_BUCKETS,
      rules: metrics.rules ?? metric.rules ?? [],
    },
    httpPipeline: spec.httpPipeline,
    appHttpPipeline: spec.appHttpPipeline,
    nameResolution: {
      component:
        spec.nameResolution?.component === undefined || spec.nameResolution.component === ''
          ? 'mdns'
          : spec.nameResolution.component,
      version:
        spec.nameResolution?.version === undefined || spec.nameResolution.version === ''
          ? 'v1'
          : spec.nameResolution.version,
      configuration: spec.nameResolution?.configuration ?? {},
    },
    secretScopes: spec.secrets?.scopes ?? [],
    api: { allowed: spec.api?.allowed ?? [], denied: spec.api?.denied ?? [] },
    ...(acl == null
      ? {}
      : {
          accessControl: {
            defaultAction: acl.defaultAction,
            trustDomain: acl.trustDomain === '' ? 'public' : acl.trustDomain,
            policies: acl.policies ?? [],
          },
        }),
    features: Object.fromEntries((spec.features ?? []).map((feature) => [feature.name, feature.enabled])),
    deniedComponents: spec.components?.deny ?? [],
    apiLogging: {
      enabled: spec.logging?.apiLogging?.enabled ?? false,
      obfuscateUrls: spec.logging?.apiLogging?.obfuscateURLs ?? false,
      omitHealthChecks: spec.logging?.apiLogging?.omitHealthChecks ?? false,
    },
  };
}
