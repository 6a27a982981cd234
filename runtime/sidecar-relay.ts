/** What a sidecar of an enrolled node sees: apps behind the relay resolve like any other, and are called like any other. */

import type { Clock } from './contracts/clock.ts';
import type { NameResolver } from './contracts/name-resolver.ts';
import { type GrpcClient, type GrpcClientPool, grpcClientOver } from './grpc-client/client.ts';
import type { EdgeLink } from './relay/edge-link.ts';
import { createRelayNames, RELAY_ADDRESS } from './relay/names.ts';

/** Names of neighbours, and behind them those of the relay. */
export function namesWithRelay(
  neighbours: () => NameResolver | undefined,
  relay: EdgeLink | undefined,
  clock: Clock,
): () => NameResolver | undefined {
  if (relay === undefined) return neighbours;
  const names = createRelayNames(neighbours, relay, clock);
  const resolver: NameResolver = {
    ...names,
    init: async () => {},
    register: async (announcement) =>
      (await neighbours()?.register(announcement)) ?? { close: async () => {} },
    close: async () => {},
  };
  return () => resolver;
}

const MAX_CLIENTS = 1024;

/** Connections of `caller`: to addresses as before, to apps behind the relay over its link. */
export function clientsWithRelay(direct: GrpcClientPool, relay: EdgeLink, caller: string): GrpcClientPool {
  const overLink = new Map<string, GrpcClient>();
  return {
    client: (target, callee) => {
      if (!target.startsWith(RELAY_ADDRESS)) return direct.client(target, callee);
      const { appId, namespace } = callee ?? {
        appId: target.slice(RELAY_ADDRESS.length),
        namespace: 'default',
      };
      const key = `${appId} ${namespace}`;
      const known = overLink.get(key);
      if (known !== undefined) return known;
      const oldest = overLink.size >= MAX_CLIENTS ? overLink.keys().next().value : undefined;
      if (oldest !== undefined) overLink.delete(oldest);
      const client = grpcClientOver(target, (path, options) =>
        relay.open({ path, caller, callee: appId, namespace }, options),
      );
      overLink.set(key, client);
      return client;
    },
    close: () => direct.close(),
  };
}
