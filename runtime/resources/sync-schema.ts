/**
 * What a `Sync` document (`skerry.dev/v1alpha1`, `docs/sync.md`) must look like, and its typed form. What a flow does not
 * say is taken from `spec`. Whether the named components exist and flows get into each other's way is checked later, over
 * all resources (`building-blocks/sync/check.ts`).
 */

import { z } from 'zod';
import { parseMetadataDuration } from '../contracts/duration.ts';
import { parseQuantity } from '../contracts/metadata.ts';
import type {
  ConflictRule,
  StateFlowSpec,
  SyncDirection,
  SyncedKey,
  SyncResource,
  TopicFlowSpec,
} from '../contracts/resource.ts';
import type { RawDocument } from './documents.ts';
import { base, objectMeta, type Parsed, parse, scopeList, text } from './schema.ts';

const DEFAULT_PRIORITY = 4;
const DEFAULT_POLL_MS = 30_000;
const LEAST_POLL_MS = 100;
const MAX_KEYS = 10_000;

const DIRECTIONS = ['up', 'down', 'both'] as const satisfies readonly SyncDirection[];
const RULES = [
  'last-write',
  'edge-wins',
  'cloud-wins',
  'merge',
  'ask',
] as const satisfies readonly ConflictRule[];

const oneOf = <const T extends readonly [string, ...string[]]>(words: T) =>
  z.enum(words, { error: `expected ${words.slice(0, -1).join(', ')} or ${words.at(-1)}` });

const nonEmpty = (error: string) => text(error, z.string({ error }).min(1, error));

const durationMs = z.preprocess(
  (value) => (typeof value === 'number' ? String(value) : value),
  z.string({ error: 'expected a duration such as 24h' }).transform((value, context): number => {
    const ms = parseMetadataDuration(value);
    if (ms !== undefined && ms >= 0) return ms;
    context.addIssue({ code: 'custom', message: `expected a duration such as 24h, got '${value}'` });
    return z.NEVER;
  }),
);

const bytes = z.preprocess(
  (value) => (typeof value === 'number' ? String(value) : value),
  z.string({ error: 'expected a number of bytes such as 10Mi' }).transform((value, context): number => {
    const count = parseQuantity(value);
    if (count !== undefined && count > 0) return count;
    context.addIssue({ code: 'custom', message: `expected a number of bytes such as 10Mi, got '${value}'` });
    return z.NEVER;
  }),
);

const QUIET = /^([01]\d|2[0-3]):([0-5]\d)-([01]\d|2[0-3]):([0-5]\d)$/;
const quietHours = z.array(
  z.string({ error: 'expected a time such as 22:00-06:00' }).transform((value, context): [number, number] => {
    const found = QUIET.exec(value);
    if (found === null) {
      context.addIssue({ code: 'custom', message: `expected a time such as 22:00-06:00, got '${value}'` });
      return z.NEVER;
    }
    const [h1 = 0, m1 = 0, h2 = 0, m2 = 0] = found.slice(1).map(Number);
    return [h1 * 60 + m1, h2 * 60 + m2];
  }),
  { error: 'expected a list of times such as 22:00-06:00' },
);

/** Members that `spec` and each flow may have; those of a flow win. */
const common = {
  direction: oneOf(DIRECTIONS).nullish(),
  priority: z
    .number({ error: 'expected a number from 0 (bulk) to 9 (urgent)' })
    .int('expected a number from 0 (bulk) to 9 (urgent)')
    .min(0, 'expected a number from 0 (bulk) to 9 (urgent)')
    .max(9, 'expected a number from 0 (bulk) to 9 (urgent)')
    .nullish(),
  ttl: durationMs.nullish(),
  filter: text('expected a CEL expression over event').nullish(),
  maxRate: z
    .number({ error: 'expected a number of messages a second above 0' })
    .positive('expected a number of messages a second above 0')
    .nullish(),
  maxBytesPerHour: bytes.nullish(),
  quietHours: quietHours.nullish(),
};

const address = z.strictObject(
  { pubsub: nonEmpty('expected the name of a pub/sub component'), topic: nonEmpty('expected a topic') },
  { error: unknownMember('expected {pubsub, topic}') },
);

const syncedKey = z.union(
  [
    nonEmpty('expected a key').transform((key): SyncedKey => ({ local: key, remote: key })),
    z.strictObject({ local: nonEmpty('expected a key'), remote: nonEmpty('expected a key') }),
  ],
  { error: 'expected a key, or {local, remote} where its name differs over there' },
);

const topicFlow = z.strictObject(
  { ...common, name: nonEmpty('expected a name').nullish(), local: address, remote: address },
  { error: unknownMember('expected {local, remote}') },
);

const stateFlow = z.strictObject(
  {
    ...common,
    name: nonEmpty('expected a name').nullish(),
    local: nonEmpty('expected the name of a state store'),
    remote: nonEmpty('expected the name of a state store'),
    keys: z.array(syncedKey, { error: 'expected a list of keys' }).max(MAX_KEYS).nullish(),
    keyPrefixes: z.array(syncedKey, { error: 'expected a list of key prefixes' }).max(MAX_KEYS).nullish(),
    conflict: oneOf(RULES).nullish(),
    pollInterval: durationMs.nullish(),
    journal: nonEmpty('expected a name').nullish(),
  },
  { error: unknownMember('expected {local, remote, keys}') },
);

const syncDocument = z.object({
  metadata: objectMeta,
  scopes: scopeList,
  spec: z.strictObject(
    {
      ...common,
      conflict: oneOf(RULES).nullish(),
      conflictTopic: address.nullish(),
      topics: z.array(topicFlow, { error: 'expected a list of topic flows' }).nullish(),
      state: z.array(stateFlow, { error: 'expected a list of state flows' }).nullish(),
    },
    { error: unknownMember('expected an object with topics or state') },
  ),
});

type Document = z.output<typeof syncDocument>;
type Spec = Document['spec'];

/** Says which member is not known; `otherwise` for everything else that may be wrong with the object. */
function unknownMember(otherwise: string) {
  return (issue: { readonly code?: string; readonly keys?: readonly string[] }): string =>
    issue.code === 'unrecognized_keys' ? `not known here: ${(issue.keys ?? []).join(', ')}` : otherwise;
}

const checked = syncDocument.superRefine(({ spec }, context) => {
  const fault = (path: readonly (string | number)[], message: string): void =>
    context.addIssue({ code: 'custom', path: ['spec', ...path], message });
  const topics = spec.topics ?? [];
  const state = spec.state ?? [];
  if (topics.length + state.length === 0) fault([], 'expected at least one flow in topics or state');
  for (const [list, flows] of [
    ['topics', topics],
    ['state', state],
  ] as const) {
    flows.forEach((flow, at) => {
      if ((flow.direction ?? spec.direction) == null)
        fault([list, at, 'direction'], 'expected up, down or both (here or in spec)');
    });
  }
  for (const [at, flow] of state.entries())
    checkState(spec, flow, (path, message) => fault(['state', at, ...path], message));
  const names = new Map<string, string>();
  flowNames(spec).forEach(([field, name]) => {
    const earlier = names.get(name);
    if (earlier !== undefined)
      fault(
        field.split('.').slice(1),
        `another flow (${earlier}) is called ${name} too: give it a name of its own`,
      );
    else names.set(name, field);
  });
});

type Fault = (path: readonly (string | number)[], message: string) => void;

function checkState(spec: Spec, flow: NonNullable<Spec['state']>[number], fault: Fault): void {
  const keys = flow.keys ?? [];
  const prefixes = flow.keyPrefixes ?? [];
  const direction = flow.direction ?? spec.direction;
  if (keys.length + prefixes.length === 0) fault(['keys'], 'expected at least one of keys and keyPrefixes');
  for (const [list, all] of [
    ['keys', keys],
    ['keyPrefixes', prefixes],
  ] as const) {
    all.forEach(({ local, remote }, at) => {
      if (local.includes('||') || remote.includes('||')) fault([list, at], "must not contain '||'");
    });
  }
  if (flow.local === flow.remote) fault(['remote'], 'must be another store than local');
  if ((flow.pollInterval ?? LEAST_POLL_MS) < LEAST_POLL_MS)
    fault(['pollInterval'], `expected at least ${LEAST_POLL_MS}ms`);
  if (prefixes.length > 0 && direction !== 'up' && flow.journal == null) {
    fault(
      ['keyPrefixes'],
      "Dapr's API cannot list keys, so changes of a prefix come down only through a journal that other Syncs write: " +
        'name it in journal, name the keys in keys, or let the cloud app publish its changes to a topic',
    );
  }
  if ((flow.conflict ?? spec.conflict) === 'ask' && direction === 'both' && spec.conflictTopic == null)
    fault(['conflict'], 'ask needs a topic to ask on: set spec.conflictTopic');
}

/** Field and name of every flow. */
function flowNames(spec: Spec): readonly (readonly [field: string, name: string])[] {
  return [
    ...(spec.topics ?? []).map(
      (flow, at) => [`spec.topics.${at}`, flow.name ?? `${flow.local.pubsub}/${flow.local.topic}`] as const,
    ),
    ...(spec.state ?? []).map((flow, at) => [`spec.state.${at}`, flow.name ?? flow.local] as const),
  ];
}

/** A Sync as the runtime uses it. */
export function parseSync(document: RawDocument): Parsed<SyncResource> {
  return parse(checked as unknown as z.ZodType<Document>, document, (value) => {
    const { spec } = value;
    const names = new Map(flowNames(spec));
    const shared = (flow: Partial<Spec>, field: string) => ({
      name: names.get(field) ?? field,
      field,
      direction: flow.direction ?? spec.direction ?? 'up',
      priority: flow.priority ?? spec.priority ?? DEFAULT_PRIORITY,
      ttlMs: flow.ttl ?? spec.ttl ?? 0,
      filter: (flow.filter ?? spec.filter ?? '').trim(),
      maxRate: flow.maxRate ?? spec.maxRate ?? 0,
      maxBytesPerHour: flow.maxBytesPerHour ?? spec.maxBytesPerHour ?? 0,
      quietHours: flow.quietHours ?? spec.quietHours ?? [],
    });
    const topics = (spec.topics ?? []).map(
      (flow, at): TopicFlowSpec => ({
        kind: 'topic',
        ...shared(flow, `spec.topics.${at}`),
        local: flow.local,
        remote: flow.remote,
      }),
    );
    const state = (spec.state ?? []).map(
      (flow, at): StateFlowSpec => ({
        kind: 'state',
        ...shared(flow, `spec.state.${at}`),
        local: flow.local,
        remote: flow.remote,
        keys: flow.keys ?? [],
        prefixes: flow.keyPrefixes ?? [],
        conflict: flow.conflict ?? spec.conflict ?? 'last-write',
        pollMs: flow.pollInterval ?? DEFAULT_POLL_MS,
        journal: flow.journal ?? '',
      }),
    );
    return {
      kind: 'Sync' as const,
      ...base(value, document),
      flows: [...topics, ...state],
      ...(spec.conflictTopic == null ? {} : { conflictTopic: spec.conflictTopic }),
    };
  });
}
