/**
 * Services that make app ids of nodes known in Kubernetes: Dapr's resolver there asks DNS for `<app id>-dapr` and dials it at the
 * internal port of the sidecar that asks. Headless, as Dapr's operator makes them: callers see the relays' own addresses.
 */

import type { NodeView } from './relay.ts';

export interface ServiceOptions {
  readonly namespace: string;
  /** The internal port: of Dapr's sidecars in the cluster, and so of the relays. */
  readonly port: number;
  /** Labels of the relays' pods. */
  readonly selector: Readonly<Record<string, string>>;
}

export interface Manifests {
  /** A `v1/List`, which is JSON and so YAML. */
  readonly text: string;
  /** App ids that are no names of a Service. */
  readonly skipped: readonly string[];
}

/** By which what is made here is found again: to apply, and to prune. */
export const MANAGED_BY = 'skerry-relay';

/** A label of DNS (RFC 1035), which names of Services must be. */
const NAME = /^[a-z](?:[-a-z0-9]*[a-z0-9])?$/;
const MAX_NAME = 63;

/** A Service for each app id that a node is enrolled for. */
export function serviceManifests(nodes: readonly NodeView[], options: ServiceOptions): Manifests {
  const enrolled = nodes.filter(({ state }) => state !== 'revoked').flatMap((node) => node.enrolled);
  const appIds = [...new Set(enrolled)].sort();
  const fits = (appId: string): boolean => NAME.test(nameOf(appId)) && nameOf(appId).length <= MAX_NAME;
  const list = {
    apiVersion: 'v1',
    kind: 'List',
    items: appIds.filter(fits).map((appId) => serviceOf(appId, options)),
  };
  return {
    text: `${JSON.stringify(list, undefined, 2)}\n`,
    skipped: appIds.filter((appId) => !fits(appId)),
  };
}

function nameOf(appId: string): string {
  return `${appId}-dapr`;
}

function serviceOf(appId: string, { namespace, port, selector }: ServiceOptions): object {
  return {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: {
      name: nameOf(appId),
      namespace,
      labels: { 'app.kubernetes.io/managed-by': MANAGED_BY },
      annotations: { 'dapr.io/app-id': appId },
    },
    spec: {
      type: 'ClusterIP',
      clusterIP: 'None',
      selector,
      ports: [{ name: 'dapr-internal', protocol: 'TCP', port, targetPort: port }],
    },
  };
}
