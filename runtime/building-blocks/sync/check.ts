/**
 * What can be wrong with Sync resources among the other resources of an app: names that lead nowhere, flows that write
 * the same key, flows that go in a circle. Pure; told at the start and by `--validate`, each with its field.
 */

import { errorText } from '../../contracts/error.ts';
import { RELAY_URL } from '../../contracts/relayed-sidecar.ts';
import type {
  ComponentResource,
  HttpEndpointResource,
  ResourceOrigin,
  StateFlowSpec,
  SyncFlowSpec,
  SyncResource,
  TopicAddress,
  TopicFlowSpec,
} from '../../contracts/resource.ts';
import { compileRules } from '../pubsub/routing-rules.ts';

export interface CheckedResources {
  readonly syncs: readonly SyncResource[];
  readonly components: readonly ComponentResource[];
  readonly httpEndpoints: readonly HttpEndpointResource[];
}

type Fault = (field: string, message: string) => void;

/** Local stores that note changes within the write. */
const WITH_JOURNAL = /^state\.sqlite3?$/i;

/** A fault of one document, in the form of those that its schema finds. */
export interface SyncFault {
  readonly origin: ResourceOrigin;
  readonly field: string;
  readonly message: string;
  readonly fatal: true;
  readonly reason: 'broken';
}

/** Every fault of all Syncs. */
export function syncFaults(resources: CheckedResources): readonly SyncFault[] {
  const faults: SyncFault[] = [];
  const flows: Placed[] = [];
  for (const sync of resources.syncs) {
    const { origin, name } = sync;
    const fault: Fault = (field, message) =>
      void faults.push({ origin, field, message: `Sync ${name}: ${message}`, fatal: true, reason: 'broken' });
    const look = lookUp(resources, fault);
    if (sync.conflictTopic !== undefined) look.topic(sync.conflictTopic, 'spec.conflictTopic');
    for (const spec of sync.flows) {
      checkFilter(spec, fault);
      if (spec.kind === 'topic') checkTopic(spec, look, fault);
      else checkState(spec, look, fault);
      flows.push({ spec, label: `${sync.name}/${spec.name}`, fault });
    }
  }
  checkWriters(flows);
  checkCircles(flows);
  return faults;
}

interface LookUp {
  component(category: 'state' | 'pubsub', name: string, field: string): ComponentResource | undefined;
  topic(address: TopicAddress, field: string): ComponentResource | undefined;
  /** Whether its far side stands beside the relay of this node. */
  relayed(component: ComponentResource): boolean;
}

function lookUp({ components, httpEndpoints }: CheckedResources, fault: Fault): LookUp {
  const what = { state: 'state store', pubsub: 'pub/sub component' };
  const component: LookUp['component'] = (category, name, field) => {
    const found = components.find((candidate) => candidate.name === name);
    if (found === undefined) {
      fault(field, `there is no ${what[category]} ${name} for this app`);
      return undefined;
    }
    if (!found.type.toLowerCase().startsWith(`${category}.`)) {
      fault(field, `expected the name of a ${what[category]}, and ${name} is a ${found.type}`);
      return undefined;
    }
    const endpoint = itemOf(found, 'endpointName');
    if (endpoint !== undefined && !httpEndpoints.some((candidate) => candidate.name === endpoint))
      fault(field, `${name} names the HTTPEndpoint ${endpoint}, and there is none for this app`);
    return found;
  };
  const relayed: LookUp['relayed'] = (found) => {
    const name = itemOf(found, 'endpointName');
    const url = httpEndpoints.find((candidate) => candidate.name === name)?.baseUrl;
    return RELAY_URL.test(url ?? itemOf(found, 'baseUrl') ?? itemOf(found, 'url') ?? '');
  };
  return { relayed, component, topic: ({ pubsub }, field) => component('pubsub', pubsub, `${field}.pubsub`) };
}

function itemOf(component: ComponentResource, name: string): string | undefined {
  const wanted = name.toLowerCase();
  const found = component.metadata.find((item) => item.name.toLowerCase() === wanted);
  return found?.value === '' ? undefined : found?.value;
}

function checkFilter(spec: SyncFlowSpec, fault: Fault): void {
  if (spec.filter === '') return;
  try {
    compileRules([{ match: spec.filter, path: '' }]);
  } catch (error) {
    fault(`${spec.field}.filter`, errorText(error));
  }
}

function checkTopic(spec: TopicFlowSpec, look: LookUp, fault: Fault): void {
  look.topic(spec.local, `${spec.field}.local`);
  const remote = look.topic(spec.remote, `${spec.field}.remote`);
  if (spec.local.pubsub === spec.remote.pubsub && spec.local.topic === spec.remote.topic)
    fault(`${spec.field}.remote`, 'must be another topic than local');
  const byStream = remote !== undefined && remote.type.toLowerCase() === 'pubsub.dapr';
  if (spec.direction === 'up' || !byStream || look.relayed(remote)) return;
  const entry = remote.metadata.find(({ name }) => name.toLowerCase() === 'grpcaddress');
  if (
    entry === undefined ||
    ((entry.value ?? '') === '' && entry.secretKeyRef === undefined && entry.envRef === undefined)
  )
    fault(
      `${spec.field}.direction`,
      `${spec.direction} needs events from ${remote.name}, whose metadata item grpcAddress (the gRPC address over there) is not set`,
    );
}

function checkState(spec: StateFlowSpec, look: LookUp, fault: Fault): void {
  const local = look.component('state', spec.local, `${spec.field}.local`);
  const remote = look.component('state', spec.remote, `${spec.field}.remote`);
  const mode = remote === undefined ? undefined : itemOf(remote, 'mode');
  if (remote?.type.toLowerCase() === 'state.dapr' && mode !== undefined && mode !== 'remote')
    fault(
      `${spec.field}.remote`,
      `expected a state.dapr with mode remote, which shows what is over there; ${remote.name} has mode ${mode}`,
    );
  if (local !== undefined && !WITH_JOURNAL.test(local.type))
    fault(
      `${spec.field}.local`,
      `expected a state.sqlite, which notes changes in the transaction of the write; ${local.name} is a ${local.type}`,
    );
}

/** A flow in its place, with where its faults go. */
interface Placed {
  readonly spec: SyncFlowSpec;
  readonly label: string;
  readonly fault: Fault;
}

/** One end of a flow: a store or a broker, and what of it. */
interface End {
  readonly place: string;
  readonly names: readonly { readonly name: string; readonly prefix: boolean }[];
}

function endOf(spec: SyncFlowSpec, side: 'local' | 'remote'): End {
  if (spec.kind === 'topic')
    return { place: `pubsub ${spec[side].pubsub}`, names: [{ name: spec[side].topic, prefix: false }] };
  return {
    place: `state ${spec[side]}`,
    names: [
      ...spec.keys.map((key) => ({ name: key[side], prefix: false })),
      ...spec.prefixes.map((key) => ({ name: key[side], prefix: true })),
    ],
  };
}

/** The ways of a flow: where it reads, where it writes. */
function ways({ spec }: Placed): readonly { readonly from: End; readonly to: End }[] {
  const [local, remote] = [endOf(spec, 'local'), endOf(spec, 'remote')];
  const up = { from: local, to: remote };
  const down = { from: remote, to: local };
  return spec.direction === 'both' ? [up, down] : [spec.direction === 'up' ? up : down];
}

/** A name that both ends cover. */
function common(a: End, b: End): string | undefined {
  if (a.place !== b.place) return undefined;
  for (const one of a.names) {
    for (const other of b.names) {
      if (one.name === other.name) return one.name;
      if (one.prefix && other.name.startsWith(one.name)) return other.name;
      if (other.prefix && one.name.startsWith(other.name)) return one.name;
    }
  }
  return undefined;
}

function checkWriters(flows: readonly Placed[]): void {
  const written = flows.filter(({ spec }) => spec.kind === 'state');
  written.forEach((flow, at) => {
    for (const other of written.slice(0, at)) {
      const both = ways(flow).flatMap(({ to }) => ways(other).map((way) => ({ to, other: way.to })));
      for (const pair of both) {
        const name = common(pair.to, pair.other);
        if (name === undefined) continue;
        flow.fault(
          `${flow.spec.field}.keys`,
          `${other.label} writes ${name} of ${pair.to.place} too: one flow per key`,
        );
        break;
      }
    }
  });
}

/** What leaves a flow must not come back to it through others; back through itself is what `both` is for. */
function checkCircles(flows: readonly Placed[]): void {
  for (const [at, flow] of flows.entries()) {
    const circle = ways(flow)
      .map(({ from, to }) => pathTo(from, to, flows, new Set([flow])))
      .find((path) => path !== undefined);
    // Told at the last flow of the circle, once.
    if (circle === undefined || circle.some((other) => flows.indexOf(other) > at)) continue;
    const others = circle.map(({ label }) => label).join(', ');
    flow.fault(flow.spec.field, `goes in a circle with ${others}: use one flow with direction both`);
  }
}

function pathTo(
  goal: End,
  from: End,
  flows: readonly Placed[],
  used: ReadonlySet<Placed>,
): readonly Placed[] | undefined {
  for (const flow of flows) {
    if (used.has(flow)) continue;
    for (const way of ways(flow)) {
      if (common(from, way.from) === undefined) continue;
      if (common(way.to, goal) !== undefined) return [flow];
      const rest = pathTo(goal, way.to, flows, new Set([...used, flow]));
      if (rest !== undefined) return [flow, ...rest];
    }
  }
  return undefined;
}
