/** What each kind of resource document must look like, and its typed form. */

import { z } from 'zod';
import { parseGoDuration } from '../contracts/duration.ts';
import { foldMembers } from '../contracts/fold-members.ts';
import { isTruthy } from '../contracts/metadata.ts';
import { RELAY_URL } from '../contracts/relayed-sidecar.ts';
import type {
  BulkSubscribe,
  ComponentResource,
  HttpEndpointResource,
  MetadataEntry,
  ResiliencyResource,
  RouteRule,
  SubscriptionResource,
} from '../contracts/resource.ts';
import { type RawDocument, shown } from './documents.ts';

const DEFAULT_INIT_TIMEOUT_MS = 5000;

/** A text; a number or truth value that stands for one is taken as it is written, as Go's YAML library does. */
export function text<T extends z.ZodType<string> = z.ZodString>(
  error: string,
  schema?: T,
): z.ZodType<string> {
  const scalar = (value: unknown): unknown =>
    typeof value === 'number' || typeof value === 'bigint' || typeof value === 'boolean'
      ? String(value)
      : value;
  return z.preprocess(scalar, schema ?? z.string({ error }));
}

const nameText = text(
  'expected a name',
  z
    .string({ error: 'expected a name' })
    .min(1, 'must not be empty')
    .refine(
      (name) => !/[/%]/.test(name) && name !== '.' && name !== '..',
      "must not contain '/' or '%' nor be '.' or '..'",
    ),
);

/** `metadata` of a document. */
export const objectMeta = z.object(
  { name: nameText, namespace: text('expected a namespace').nullish() },
  { error: 'expected an object with a name' },
);
export const scopeList = z
  .array(text('expected an app id'), { error: 'expected a list of app ids' })
  .nullish();
const textMap = z.record(z.string(), z.unknown()).nullish();

/** Dynamic values become text: strings as they are, null empty, everything else its JSON text. */
function valueText(value: unknown): string {
  if (value === null || value === undefined) return '';
  if (typeof value === 'string') return value;
  if (typeof value === 'bigint') return value.toString();
  return JSON.stringify(value, (_key, member) => (typeof member === 'bigint' ? member.toString() : member));
}

const valueSource = {
  value: z.unknown().optional(),
  secretKeyRef: z
    .object({ name: text('expected the secret name'), key: text('expected a key').nullish() })
    .nullish(),
  envRef: text('expected the name of a variable').nullish(),
};

const metadataEntry = entryOf({ name: text('expected the item name'), ...valueSource });
/** What stands in a member of its own needs no name. */
const tlsEntry = entryOf({ name: text('expected a name').default(''), ...valueSource }).nullish();

function entryOf(shape: typeof valueSource & { readonly name: z.ZodType<string> }) {
  return z.object(shape).transform(
    (item): MetadataEntry => ({
      name: item.name,
      ...(item.value === undefined ? {} : { value: valueText(item.value) }),
      ...(item.secretKeyRef == null
        ? {}
        : {
            secretKeyRef: {
              name: item.secretKeyRef.name,
              key: item.secretKeyRef.key ?? item.secretKeyRef.name,
            },
          }),
      ...(item.envRef == null || item.envRef === '' ? {} : { envRef: item.envRef }),
    }),
  );
}

const componentDocument = z.object({
  metadata: objectMeta,
  scopes: scopeList,
  auth: z.object({ secretStore: text('expected the name of a secret store').nullish() }).nullish(),
  spec: z.object(
    {
      type: z
        .string({ error: 'expected a component type such as state.sqlite' })
        .min(1, 'expected a component type such as state.sqlite'),
      version: z.union([z.string(), z.number()]).nullish(),
      ignoreErrors: z.unknown().optional(),
      initTimeout: z.union([z.string(), z.number()]).nullish(),
      metadata: z.array(metadataEntry, { error: 'expected a list of {name, value}' }).nullish(),
    },
    { error: 'expected an object with a type' },
  ),
});

const bulkSchema = z
  .object({
    enabled: z.boolean().nullish(),
    maxMessagesCount: z.number().int().nullish(),
    maxAwaitDurationMs: z.number().int().nullish(),
  })
  .nullish();

const subscriptionSpec = {
  pubsubname: text('expected the name of a pub/sub component'),
  topic: text('expected a topic'),
  metadata: textMap,
  deadLetterTopic: text('expected a topic').nullish(),
  bulkSubscribe: bulkSchema,
};
const subscriptionV1 = z.object({
  metadata: objectMeta,
  scopes: scopeList,
  spec: z.object({ ...subscriptionSpec, route: text('expected a path').nullish() }),
});
const subscriptionV2 = z.object({
  metadata: objectMeta,
  scopes: scopeList,
  spec: z.object({
    ...subscriptionSpec,
    routes: z
      .object({
        rules: z
          .array(z.object({ match: text('expected an expression').nullish(), path: text('expected a path') }))
          .nullish(),
        default: text('expected a path').nullish(),
      })
      .nullish(),
  }),
});

const endpointDocument = z.object({
  metadata: objectMeta,
  scopes: scopeList,
  auth: z.object({ secretStore: text('expected the name of a secret store').nullish() }).nullish(),
  spec: z.object({
    baseUrl: z
      .string({ error: 'expected a URL' })
      .refine(
        (url) => RELAY_URL.test(url) || (URL.canParse(url) && /^https?:/i.test(url)),
        'expected an http or https URL, or relay: for the sidecar beside the relay of this node',
      ),
    headers: z.array(metadataEntry).nullish(),
    clientTLS: z
      .object({
        rootCA: tlsEntry,
        certificate: tlsEntry,
        privateKey: tlsEntry,
        renegotiation: z.string().nullish(),
      })
      .nullish(),
  }),
});

export type Parsed<T> =
  | { readonly ok: true; readonly resource: T }
  | { readonly ok: false; readonly faults: readonly { field: string; message: string }[] };

/** The document as `schema` wants it, made into a resource by `build`; or everything that is wrong with it. */
export function parse<I, T>(schema: z.ZodType<I>, document: RawDocument, build: (value: I) => T): Parsed<T> {
  const result = schema.safeParse(foldMembers(schema, document.value));
  if (result.success) return { ok: true, resource: Object.freeze(build(result.data)) };
  return {
    ok: false,
    faults: result.error.issues.map((issue) => ({ field: issue.path.join('.'), message: issue.message })),
  };
}

/** The members of every resource. */
export const base = (
  value: {
    metadata: { name: string; namespace?: string | null | undefined };
    scopes?: readonly string[] | null | undefined;
  },
  document: RawDocument,
) => ({
  name: value.metadata.name,
  namespace: value.metadata.namespace ?? '',
  scopes: value.scopes ?? [],
  origin: document.origin,
});

function timeoutMs(text: string | number | null | undefined): number {
  const ms = typeof text === 'string' ? parseGoDuration(text) : undefined;
  return ms === undefined || ms <= 0 ? DEFAULT_INIT_TIMEOUT_MS : ms;
}

export function parseComponent(document: RawDocument): Parsed<ComponentResource> {
  return parse(componentDocument, document, (value) => ({
    kind: 'Component' as const,
    ...base(value, document),
    type: value.spec.type,
    version: String(value.spec.version ?? ''),
    ignoreErrors: isTruthy(shown(value.spec.ignoreErrors)),
    initTimeoutMs: timeoutMs(value.spec.initTimeout),
    metadata: value.spec.metadata ?? [],
    secretStore: value.auth?.secretStore ?? '',
  }));
}

function bulkOf(value: z.output<typeof bulkSchema>): BulkSubscribe {
  return {
    enabled: value?.enabled ?? false,
    maxMessagesCount: value?.maxMessagesCount ?? 0,
    maxAwaitDurationMs: value?.maxAwaitDurationMs ?? 0,
  };
}

function mapOf(
  value: Readonly<Record<string, unknown>> | null | undefined,
): Readonly<Record<string, string>> {
  return Object.fromEntries(Object.entries(value ?? {}).map(([key, item]) => [key, valueText(item)]));
}

/** `v1alpha1` has one route, `v2alpha1` rules and a default; both become rules. */
export function parseSubscription(document: RawDocument): Parsed<SubscriptionResource> {
  const common = (
    value: z.output<typeof subscriptionV1> | z.output<typeof subscriptionV2>,
    rules: readonly RouteRule[],
  ) => ({
    kind: 'Subscription' as const,
    ...base(value, document),
    pubsubName: value.spec.pubsubname,
    topic: value.spec.topic,
    metadata: mapOf(value.spec.metadata),
    rules,
    deadLetterTopic: value.spec.deadLetterTopic ?? '',
    bulk: bulkOf(value.spec.bulkSubscribe),
  });
  if (String(document.value['apiVersion']).endsWith('/v1alpha1')) {
    return parse(subscriptionV1, document, (value) =>
      common(
        value,
        value.spec.route == null || value.spec.route === '' ? [] : [{ match: '', path: value.spec.route }],
      ),
    );
  }
  return parse(subscriptionV2, document, (value) => {
    const rules = (value.spec.routes?.rules ?? []).map((rule) => ({
      match: rule.match ?? '',
      path: rule.path,
    }));
    const fallback = value.spec.routes?.default;
    return common(
      value,
      fallback == null || fallback === '' ? rules : [...rules, { match: '', path: fallback }],
    );
  });
}

export function parseHttpEndpoint(document: RawDocument): Parsed<HttpEndpointResource> {
  return parse(endpointDocument, document, (value) => {
    const tls = value.spec.clientTLS;
    return {
      kind: 'HTTPEndpoint' as const,
      ...base(value, document),
      baseUrl: value.spec.baseUrl,
      headers: value.spec.headers ?? [],
      clientTls: {
        ...(tls?.rootCA == null ? {} : { rootCa: tls.rootCA }),
        ...(tls?.certificate == null ? {} : { certificate: tls.certificate }),
        ...(tls?.privateKey == null ? {} : { privateKey: tls.privateKey }),
        renegotiation: tls?.renegotiation ?? '',
      },
      secretStore: value.auth?.secretStore ?? '',
    };
  });
}

const resiliencyDocument = z.object({
  metadata: objectMeta,
  scopes: scopeList,
  spec: z.record(z.string(), z.unknown()),
});

/** The policies inside are validated by `runtime/resiliency`, which skips a resource it cannot compile. */
export function parseResiliency(document: RawDocument): Parsed<ResiliencyResource> {
  return parse(resiliencyDocument, document, (value) => ({
    kind: 'Resiliency' as const,
    ...base(value, document),
    spec: value.spec,
  }));
}
