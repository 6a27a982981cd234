/**
 * The relay: takes links of enrolled nodes, lets in what they may announce, and hands calls to the switchboard. What a node says
 * of itself counts for nothing: its key says who it is, the registry what it may.
 */

import type { X509Certificate } from 'node:crypto';
import type { TLSSocket } from 'node:tls';
import type { Clock } from '../contracts/clock.ts';
import { errorText } from '../contracts/error.ts';
import { GrpcCode } from '../contracts/grpc-code.ts';
import type { Logger } from '../contracts/logger.ts';
import type { Metrics } from '../contracts/metrics.ts';
import { spiffeIdOfCertificate } from '../contracts/spiffe.ts';
import { keyHash } from '../security/authority.ts';
import { parseCertificates } from '../security/pem.ts';
import type { Enrolling } from './enrolling.ts';
import type { LinkedNode, LinkTable } from './link-table.ts';
import { isForSidecar, type NodeMessage, nodeUri } from './protocol.ts';
import type { EnrolledNode, RelayRegistry } from './registry.ts';
import { LAST_WORD_MS, openRelayLink, type RelayLink } from './relay-link.ts';
import type { SidecarDoor } from './sidecar-door.ts';
import type { Visit } from './sidecar-visit.ts';
import type { Switchboard } from './switchboard.ts';

export interface RelayOptions {
  readonly registry: RelayRegistry;
  readonly enrolling: Enrolling;
  readonly links: LinkTable;
  readonly switchboard: Switchboard;
  /** To the sidecar that nodes may ask. */
  readonly door?: SidecarDoor | undefined;
  /** The authority of nodes in PEM. */
  readonly authority: string;
  readonly trustDomain: string;
  readonly maxLinks: number;
  readonly maxMessageBytes: number;
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: Metrics;
}

/** A node as people see it. Times are wall clock. */
export interface NodeView {
  readonly node: string;
  readonly state: 'up' | 'down' | 'revoked';
  /** What it may announce, and what it does announce. */
  readonly enrolled: readonly string[];
  readonly announced: readonly string[];
  /** Since when it is up, or was enrolled or revoked. */
  readonly since: number;
  readonly lastContact?: number;
  readonly reason?: string;
  readonly calls: number;
  /** Where several relays share a registry: which one has the link. */
  readonly relay?: string;
}

export interface Relay {
  /** A connection that wants to be a link. Rejects with why not. */
  link(socket: TLSSocket): Promise<void>;
  nodes(): Promise<readonly NodeView[]>;
  /** A node is another one than it was: revoked, or enrolled anew. */
  changed(node: Pick<EnrolledNode, 'name' | 'keyHash' | 'revokedAt'>): void;
  /** Revokes a node and closes its link. */
  revoke(node: string): Promise<boolean>;
  close(): Promise<void>;
}

interface Admitted {
  readonly node: EnrolledNode;
  /** Its certificate has expired: it may renew it and nothing else. */
  readonly expired: boolean;
}

export function createRelay(options: RelayOptions): Relay {
  const { registry, links, clock, log, metrics } = options;
  const authorities = parseCertificates(options.authority);
  const closing = new AbortController();
  const saving = new Set<Promise<void>>();
  let open = 0;

  /** Keys by which links were taken. */
  const keys = new WeakMap<RelayLink, string>();

  /** Rejects with why the connection may not be a link. */
  const admit = async (socket: TLSSocket): Promise<Admitted> => {
    const certificate = socket.getPeerX509Certificate();
    if (certificate === undefined) throw new Error('a link needs the certificate of an enrolled node');
    const expired = expiredOnly(socket);
    if (!socket.authorized && !expired)
      throw new Error(`the certificate is not trusted: ${String(socket.authorizationError)}`);
    if (!authorities.some((authority) => certificate.verify(authority.publicKey)))
      throw new Error('the certificate is not of this relay');
    const name = nodeNameOf(certificate, options.trustDomain);
    const node = await registry.node(name);
    if (node === undefined) throw new Error(`the node ${name} is not enrolled here`);
    if (node.revokedAt !== undefined) throw new Error(`the node ${name} is revoked`);
    if (keyHash(certificate.publicKey) !== node.keyHash)
      throw new Error(`the node ${name} was enrolled anew with another key`);
    return { node, expired };
  };

  const announce = (admitted: Admitted, link: RelayLink, apps: readonly string[]): void => {
    const { node, expired } = admitted;
    const allowed = new Set(expired ? [] : node.appIds);
    const accepted = [...new Set(apps.filter((appId) => allowed.has(appId)))];
    // A node whose certificate has expired hears nothing of its apps until it has a new one.
    const refused = expired ? [] : apps.filter((appId) => !allowed.has(appId));
    if (refused.length > 0) {
      log.warn('a node announced app ids that it was not enrolled for', {
        node: node.name,
        app_ids: refused,
      });
      metrics.count('skerry_relay_refused_total', { reason: 'app_id' }, refused.length);
    }
    links.set(node.name, link, accepted);
    const sidecar = expired ? undefined : options.door?.offer;
    link.send({
      type: 'welcome',
      node: node.name,
      accepted,
      refused,
      ...(sidecar === undefined ? {} : { sidecar }),
    });
  };

  const received = (admitted: Admitted, message: NodeMessage, link: RelayLink): void => {
    switch (message.type) {
      case 'hello': {
        const { name } = admitted.node;
        const earlier = links.get(name)?.link;
        if (earlier !== undefined && earlier !== link) earlier.close('the node has a newer link');
        link.watch(message.probeMs);
        announce(admitted, link, message.apps);
        metrics.gauge('skerry_relay_links', {}, links.size);
        log.info('relay link up', { node: name, app_ids: links.get(name)?.appIds, version: message.version });
        return;
      }
      case 'apps':
        if (links.get(admitted.node.name)?.link === link) announce(admitted, link, message.apps);
        return;
      case 'find':
        void options.switchboard
          .find(message.appId, message.namespace, closing.signal)
          // Other relays may not be there to be asked.
          .catch(() => false)
          .then((found) => link.send({ type: 'found', n: message.n, found }));
        return;
      case 'renew':
        void renew(admitted, message.request, link);
        return;
    }
  };

  const renew = async ({ node, expired }: Admitted, request: string, link: RelayLink): Promise<void> => {
    try {
      // As it is known now: it may have been revoked or enrolled anew meanwhile.
      const current = await registry.node(node.name);
      if (current === undefined || current.revokedAt !== undefined) throw new Error('the node is revoked');
      link.send({ type: 'certificate', chain: options.enrolling.renew(current, request) });
      log.info('a certificate was renewed', { node: node.name });
      if (expired) link.close('the certificate had expired and is renewed: dial again');
    } catch (cause) {
      log.warn('a certificate was not renewed', { node: node.name, reason: errorText(cause) });
      link.close(`the certificate is not renewed: ${errorText(cause)}`);
    }
  };

  const ended = (node: string, reason: string, link: RelayLink): void => {
    open -= 1;
    const wasUp = links.get(node)?.link === link;
    links.remove(node, link);
    metrics.gauge('skerry_relay_links', {}, links.size);
    if (!wasUp) return;
    metrics.count('skerry_relay_link_down_total', {});
    log.info('relay link down', { node, reason });
    const saved = registry
      .linkEnded(node, link.lastContact, reason)
      .catch((error: unknown) =>
        log.error(`the end of the link of ${node} is not kept: ${errorText(error)}`),
      );
    saving.add(saved);
    void saved.finally(() => saving.delete(saved));
  };

  return {
    async link(socket) {
      if (open >= options.maxLinks) throw new Error(`there are ${open} links: no more are taken`);
      open += 1;
      let admitted: Admitted;
      try {
        admitted = await admit(socket);
        if (socket.destroyed) throw new Error('the connection was closed');
        closing.signal.throwIfAborted();
      } catch (cause) {
        open -= 1;
        throw cause;
      }
      const { name, keyHash } = admitted.node;
      let visit: Visit | undefined;
      const link = openRelayLink({
        socket,
        clock,
        maxMessageBytes: options.maxMessageBytes,
        received: (message, link) => received(admitted, message, link),
        called: (call) => {
          if (!isForSidecar(call.path)) return void options.switchboard.fromNode(call, name);
          const { door } = options;
          // A node whose certificate has expired may renew it and nothing else.
          if (door === undefined || admitted.expired)
            return call.finish({
              code: GrpcCode.Unimplemented,
              message: 'the relay has no sidecar for this node',
            });
          visit ??= door.enter({ name, appIds: admitted.node.appIds });
          void visit.serve(call);
        },
        closed: (reason, link) => {
          visit?.leave();
          ended(name, reason, link);
        },
      });
      keys.set(link, keyHash);
    },

    nodes: async () => (await registry.nodes()).map((node) => viewOf(node, links.get(node.name))),

    changed({ name, revokedAt, keyHash }) {
      const link = links.get(name)?.link;
      if (link === undefined) return;
      if (revokedAt !== undefined) link.close('the node is revoked');
      else if (keys.get(link) !== keyHash) link.close('the node was enrolled anew with another key');
    },

    async revoke(name) {
      const known = await registry.revoke(name);
      if (known) log.info('a node was revoked', { node: name });
      links.get(name)?.link.close('the node is revoked');
      return known;
    },

    async close() {
      closing.abort(new Error('the relay is closing'));
      const open = links.all();
      for (const { link } of open) link.close('the relay is closing');
      await Promise.all(saving);
      if (open.length > 0) await clock.sleep(LAST_WORD_MS);
    },
  };
}

/** TLS found nothing wrong but the date; who issued the certificate is looked at on its own. */
function expiredOnly(socket: TLSSocket): boolean {
  return !socket.authorized && String(socket.authorizationError) === 'CERT_HAS_EXPIRED';
}

function nodeNameOf(certificate: X509Certificate, trustDomain: string): string {
  const { text } = spiffeIdOfCertificate(certificate);
  const prefix = nodeUri(trustDomain, '');
  if (!text.startsWith(prefix)) throw new Error(`${text} is no node of ${trustDomain}`);
  return text.slice(prefix.length);
}

/** A node, and its link where this relay has it. */
export function viewOf(node: EnrolledNode, linked?: LinkedNode): NodeView {
  const shared = { node: node.name, enrolled: node.appIds };
  if (linked !== undefined) {
    const { since, lastContact, calls } = linked.link;
    return { ...shared, state: 'up', announced: linked.appIds, since, lastContact, calls };
  }
  const { revokedAt, lastContact, lastReason, enrolledAt } = node;
  return {
    ...shared,
    state: revokedAt === undefined ? 'down' : 'revoked',
    announced: [],
    since: revokedAt ?? lastContact ?? enrolledAt,
    ...(lastContact === undefined ? {} : { lastContact }),
    ...(lastReason === undefined ? {} : { reason: lastReason }),
    calls: 0,
  };
}
