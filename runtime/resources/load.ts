/**
 * Resource folders -> typed resources in scope of one app, with every fault reported together. Follows the loader rules
 * of the CLI reference, section 4: what does not concern us is skipped, duplicates are fatal.
 */

import type {
  ComponentResource,
  HttpEndpointResource,
  ResiliencyResource,
  Resource,
  ResourceOrigin,
  SubscriptionResource,
  SyncResource,
} from '../contracts/resource.ts';
import { isObject, type RawDocument, type ResourceFault, readDirectory, shown } from './documents.ts';
import {
  type Parsed,
  parseComponent,
  parseHttpEndpoint,
  parseResiliency,
  parseSubscription,
} from './schema.ts';
import { parseSync } from './sync-schema.ts';

export interface LoadOptions {
  readonly directories: readonly string[];
  readonly appId: string;
  /** `undefined`: `NAMESPACE` is not set and namespaces are not compared. */
  readonly namespace: string | undefined;
}

export interface ConfigurationDocument {
  readonly kind: 'Configuration';
  readonly name: string;
  readonly origin: ResourceOrigin;
  readonly spec: unknown;
}

export interface LoadedResources {
  readonly components: readonly ComponentResource[];
  readonly subscriptions: readonly SubscriptionResource[];
  readonly httpEndpoints: readonly HttpEndpointResource[];
  readonly resiliencies: readonly ResiliencyResource[];
  readonly syncs: readonly SyncResource[];
  /** Configuration documents of the folders: they have no effect of their own, but a change of them restarts. */
  readonly configurations: readonly ConfigurationDocument[];
  readonly faults: readonly ResourceFault[];
}

const DAPR_V1 = 'dapr.io/v1alpha1';
const SKERRY_V1 = 'skerry.dev/v1alpha1';

/** Kinds by name: accepted apiVersions, the parser, and whether a fault in such a document stops the start. */
const KINDS: Readonly<
  Record<
    string,
    { versions: readonly string[]; parse: (document: RawDocument) => Parsed<Resource>; fatal: boolean }
  >
> = {
  Component: { versions: [DAPR_V1], parse: parseComponent, fatal: true },
  Subscription: { versions: [DAPR_V1, 'dapr.io/v2alpha1'], parse: parseSubscription, fatal: true },
  HTTPEndpoint: { versions: [DAPR_V1], parse: parseHttpEndpoint, fatal: false },
  Resiliency: { versions: [], parse: parseResiliency, fatal: false },
  Sync: { versions: [SKERRY_V1], parse: parseSync, fatal: true },
};

/** Kinds of later work: known, not read, no warning. */
const SILENT_KINDS = new Set(['MCPServer', 'WorkflowAccessPolicy']);

function kindOf(document: RawDocument): (typeof KINDS)[string] | string | undefined {
  const kind = document.value['kind'];
  if (typeof kind !== 'string') return 'kind: expected a kind such as Component';
  if (SILENT_KINDS.has(kind)) return undefined;
  const known = KINDS[kind];
  if (known === undefined)
    return `kind: '${kind}' is not a kind this runtime reads (${Object.keys(KINDS).join(', ')})`;
  const version = shown(document.value['apiVersion'] ?? '');
  if (known.versions.length > 0 && !known.versions.includes(version)) {
    return `apiVersion: expected ${known.versions.join(' or ')} for ${kind}, got '${version}'`;
  }
  return known;
}

function sameKind(a: Resource, b: Resource): boolean {
  return a.kind === b.kind && a.name === b.name;
}

function duplicate(resource: Resource, earlier: Resource): string {
  const describe = (r: Resource): string =>
    r.kind === 'Component' ? `${r.name} (${r.type}/${r.version === '' ? 'v1' : r.version})` : r.name;
  return resource.kind === 'Component' && earlier.kind === 'Component'
    ? `duplicate definition of Component name ${describe(resource)} with existing ${describe(earlier)}`
    : `duplicate definition of ${resource.kind} name ${resource.name}, also in ${earlier.origin.file}`;
}

function inScope(resource: Resource, options: LoadOptions): boolean {
  if (
    options.namespace !== undefined &&
    resource.namespace !== '' &&
    resource.namespace !== options.namespace
  )
    return false;
  return resource.scopes.length === 0 || resource.scopes.includes(options.appId);
}

export async function loadResources(options: LoadOptions): Promise<LoadedResources> {
  const resources: Resource[] = [];
  const faults: ResourceFault[] = [];
  const configurations: ConfigurationDocument[] = [];
  for (const directory of options.directories) {
    const origin: ResourceOrigin = { file: directory, document: 0 };
    const read = await readDirectory(directory).catch((error: NodeJS.ErrnoException) => error);
    if (read instanceof Error) {
      faults.push({
        origin,
        field: '--resources-path',
        message: `cannot be read: ${read.code === 'ENOENT' ? 'no such directory' : read.message}`,
        fatal: true,
        reason: 'folder',
      });
      continue;
    }
    faults.push(...read.faults);
    for (const document of read.documents) {
      if (document.value['kind'] === 'Configuration') configurations.push(configurationOf(document));
      else take(document, resources, faults, options);
    }
  }
  const of = <K extends Resource['kind']>(kind: K): readonly Extract<Resource, { kind: K }>[] =>
    resources.filter((resource): resource is Extract<Resource, { kind: K }> => resource.kind === kind);
  return {
    components: of('Component'),
    subscriptions: of('Subscription'),
    httpEndpoints: of('HTTPEndpoint'),
    resiliencies: of('Resiliency'),
    syncs: of('Sync'),
    configurations,
    faults,
  };
}

function configurationOf({ origin, value }: RawDocument): ConfigurationDocument {
  const name = isObject(value['metadata']) ? shown(value['metadata']['name'] ?? '') : '';
  return { kind: 'Configuration', name, origin, spec: value['spec'] };
}

/** Whether a document that does not parse is meant for this app, as far as it can be told. */
function mayConcern(document: RawDocument, options: LoadOptions): boolean {
  const { scopes, metadata } = document.value as { readonly scopes?: unknown; readonly metadata?: unknown };
  const namespace = isObject(metadata) ? metadata['namespace'] : undefined;
  const elsewhere =
    options.namespace !== undefined &&
    typeof namespace === 'string' &&
    namespace !== '' &&
    namespace !== options.namespace;
  if (elsewhere) return false;
  return !Array.isArray(scopes) || scopes.length === 0 || scopes.includes(options.appId);
}

/** The faults of a document that does not parse. */
function parseFaults(
  { origin, value }: RawDocument,
  faults: readonly { readonly field: string; readonly message: string }[],
  fatal: boolean,
  concernsUs: boolean,
): readonly ResourceFault[] {
  const name = isObject(value['metadata']) ? value['metadata']['name'] : undefined;
  const label = typeof name === 'string' && name !== '' ? `${value['kind']} ${name}: ` : '';
  return faults.map(({ field, message }) => ({
    origin,
    field,
    message: `${label}${message}`,
    fatal: fatal && concernsUs,
    ...(concernsUs ? { reason: 'broken' as const } : {}),
  }));
}

function take(
  document: RawDocument,
  resources: Resource[],
  faults: ResourceFault[],
  options: LoadOptions,
): void {
  const { origin } = document;
  const kind = kindOf(document);
  if (kind === undefined) return;
  if (typeof kind === 'string') {
    faults.push({ origin, field: '', message: kind, fatal: false });
    return;
  }
  const parsed = kind.parse(document);
  if (!parsed.ok) {
    faults.push(...parseFaults(document, parsed.faults, kind.fatal, mayConcern(document, options)));
    return;
  }
  const { resource } = parsed;
  if (!inScope(resource, options)) return;
  const earlier = resources.find((other) => sameKind(other, resource));
  if (earlier !== undefined) {
    faults.push({
      origin,
      field: 'metadata.name',
      message: duplicate(resource, earlier),
      fatal: resource.kind === 'Component' || resource.kind === 'Sync',
      reason: 'duplicate',
    });
    return;
  }
  resources.push(resource);
}
