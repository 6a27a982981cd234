/**
 * The relay in a mesh of Dapr's sentry. Callers expect the callee's own SPIFFE id, and callees take the caller from the
 * certificate: so every app of a node has an identity of its own here, with a port that shows it and connections made in its name.
 */

import { GrpcCode } from '../contracts/grpc-code.ts';
import { GrpcStatusError } from '../contracts/grpc-wire/status.ts';
import type { Random } from '../contracts/random.ts';
import { createGrpcClientPool, type GrpcClientPool } from '../grpc-client/client.ts';
import { openMeshSecurity } from '../security/mesh-security.ts';
import type { SecuritySettings } from '../security/settings.ts';
import { type CloudPortOptions, createCloudPort, type Place } from './cloud-side.ts';

export interface MeshPlacesOptions extends Omit<CloudPortOptions, 'port' | 'app'> {
  readonly random: Random;
  /** What sentry is asked for. Throws with what is missing or wrong. */
  readonly settings: (appId: string) => SecuritySettings;
}

export interface MeshPlaces {
  /** Throws when no identity could be had with these settings. */
  check(): void;
  /** Waits for the app's identity; rejects with the signal's reason. */
  open(appId: string, signal: AbortSignal): Promise<Place>;
  /** Connections in the name of an app that has a place; throws Unavailable for others. */
  clients(appId: string): GrpcClientPool;
}

const GRACE_MS = 2000;

export function createMeshPlaces(options: MeshPlacesOptions): MeshPlaces {
  const { clock, random, log, metrics, maxMessageBytes } = options;
  const pools = new Map<string, GrpcClientPool>();
  return {
    check: () => void options.settings('skerry-relay'),
    async open(appId, signal) {
      const security = await openMeshSecurity(
        { settings: options.settings(appId), clock, random, log, metrics },
        signal,
      );
      const server = createCloudPort({ ...options, port: 0, app: { appId, tls: security.server } });
      const port = await server.listen().catch(async (error: unknown) => {
        await security.close();
        throw error;
      });
      const clients = createGrpcClientPool({ clock, limits: { maxMessageBytes }, dial: security.dial });
      pools.set(appId, clients);
      return {
        port,
        close: async () => {
          pools.delete(appId);
          await server.close(GRACE_MS);
          await clients.close();
          await security.close();
        },
      };
    },
    clients(appId) {
      const pool = pools.get(appId);
      if (pool === undefined)
        throw new GrpcStatusError(GrpcCode.Unavailable, `${appId} has no identity in the mesh yet`);
      return pool;
    },
  };
}
