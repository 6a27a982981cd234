/** A secret store in another process (dapr.proto.components.v1.SecretStore). */

import type { SecretStore } from '../contracts/secret-store.ts';
import { SecretStore as Service } from '../generated/dapr/proto/components/v1/secretstore_pb.ts';
import { type ConnectionOptions, createConnection } from './connection.ts';
import { remoteError } from './errors.ts';

/** `properties`: metadata items of the component as they are written. */
export function pluggableSecretStore(
  options: ConnectionOptions,
  properties: Readonly<Record<string, string>>,
): SecretStore {
  const { init, features, get, bulkGet, ping } = Service.method;
  let known: readonly string[] = [];
  const connection = createConnection(options, async (caller, signal) => {
    await caller.call(init, { metadata: { properties } }, signal);
    known = (await caller.call(features, {}, signal)).features;
  });
  return {
    get features() {
      return known;
    },
    init: (signal) => connection.init(signal).catch(rethrow),
    ping: async (signal) => void (await connection.call(ping, {}, signal).catch(rethrow)),
    get: async (key, metadata, signal) => {
      const { data } = await connection.call(get, { key, metadata }, signal).catch(rethrow);
      return Object.keys(data).length === 0 ? undefined : data;
    },
    bulkGet: async (metadata, signal) => {
      const { data } = await connection.call(bulkGet, { metadata }, signal).catch(rethrow);
      return Object.fromEntries(Object.entries(data).map(([key, { secrets }]) => [key, secrets]));
    },
    close: () => connection.close(),
  };
}

function rethrow(error: unknown): never {
  throw remoteError(error);
}
