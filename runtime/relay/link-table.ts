/** The links that stand: by node, and by the app ids that their nodes announce and may announce. */

import type { RelayLink } from './relay-link.ts';

export interface LinkedNode {
  readonly node: string;
  readonly link: RelayLink;
  readonly appIds: readonly string[];
}

export interface LinkTable {
  /** Puts a node's announced app ids in force; `changed` apps appear or vanish through `onApp`. */
  set(node: string, link: RelayLink, appIds: readonly string[]): void;
  /** Takes a link out; a newer one of the same node stays. */
  remove(node: string, link: RelayLink): void;
  get(node: string): LinkedNode | undefined;
  all(): readonly LinkedNode[];
  announces(node: string, appId: string): boolean;
  /** A link to a node with this app, in turn where there are several. */
  pick(appId: string): RelayLink | undefined;
  readonly size: number;
}

/** `onApp` hears of the first node of an app and of the end of the last. */
export function createLinkTable(onApp: (appId: string, present: boolean) => void): LinkTable {
  const nodes = new Map<string, LinkedNode>();
  const apps = new Map<string, RelayLink[]>();

  const add = (appId: string, link: RelayLink): void => {
    const links = apps.get(appId);
    if (links !== undefined) {
      links.push(link);
      return;
    }
    apps.set(appId, [link]);
    onApp(appId, true);
  };
  const drop = (appId: string, link: RelayLink): void => {
    const links = apps.get(appId) ?? [];
    const at = links.indexOf(link);
    if (at < 0) return;
    links.splice(at, 1);
    if (links.length > 0) return;
    apps.delete(appId);
    onApp(appId, false);
  };

  return {
    set(node, link, appIds) {
      const known = nodes.get(node);
      nodes.set(node, { node, link, appIds });
      for (const appId of appIds) if (known?.link !== link || !known.appIds.includes(appId)) add(appId, link);
      for (const appId of known?.appIds ?? [])
        if (known?.link !== link || !appIds.includes(appId)) drop(appId, known?.link as RelayLink);
    },
    remove(node, link) {
      const known = nodes.get(node);
      if (known?.link !== link) return;
      nodes.delete(node);
      for (const appId of known.appIds) drop(appId, link);
    },
    get: (node) => nodes.get(node),
    all: () => [...nodes.values()],
    announces: (node, appId) => nodes.get(node)?.appIds.includes(appId) === true,
    pick(appId) {
      const links = apps.get(appId);
      if (links === undefined) return undefined;
      const [first] = links;
      if (links.length > 1) links.push(links.shift() as RelayLink);
      return first;
    },
    get size() {
      return nodes.size;
    },
  };
}
