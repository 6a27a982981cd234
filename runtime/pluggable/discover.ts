/** From a socket to a component definition: asks by reflection which services it has, and picks the one of the category. */

import { parse } from 'node:path';
import { z } from 'zod';
import { type AnyComponentDefinition, type ComponentDeps, defineComponent } from '../contracts/component.ts';
import { GrpcCode } from '../contracts/grpc-code.ts';
import { GrpcStatusError } from '../contracts/grpc-wire/status.ts';
import type { MetadataSchema } from '../contracts/metadata.ts';
import { InputBinding, OutputBinding } from '../generated/dapr/proto/components/v1/bindings_pb.ts';
import { PubSub } from '../generated/dapr/proto/components/v1/pubsub_pb.ts';
import { SecretStore } from '../generated/dapr/proto/components/v1/secretstore_pb.ts';
import { StateStore } from '../generated/dapr/proto/components/v1/state_pb.ts';
import { createGrpcClient, type GrpcClient } from '../grpc-client/client.ts';
import { pluggableBinding } from './binding.ts';
import type { ConnectionOptions } from './connection.ts';
import { remoteError } from './errors.ts';
import { pluggablePubSub } from './pubsub.ts';
import { listServices } from './reflection.ts';
import { pluggableSecretStore } from './secret-store.ts';
import type { PluggableOptions } from './sockets.ts';
import { pluggableStateStore } from './state-store.ts';

/** A component that is just starting may have its socket before it listens; daprd waits without end. */
const PATIENCE_MS = 30_000;
const RETRY_MS = 100;
const ATTEMPT_LIMIT_MS = 5000;

/** Items go to the component as they are: what they mean is its business. */
const items: MetadataSchema<Readonly<Record<string, string>>> = {
  names: [],
  aliases: {},
  open: true,
  schema: z.record(z.string(), z.string()),
};

/** The definition of `type` behind `socket`; `undefined` when it serves nothing of that category. */
export async function discover(
  socket: string,
  type: string,
  options: PluggableOptions,
  signal?: AbortSignal,
): Promise<AnyComponentDefinition | undefined> {
  const services = await servicesOf(socket, options, signal);
  const definition = definitionFor(type, services, (deps) => ({
    socket,
    componentName: deps.componentName,
    clock: deps.clock,
    log: deps.log,
    maxMessageBytes: options.maxMessageBytes,
  }));
  const found = definition === undefined ? 'no component of this category' : [...services].join(', ');
  options.log.info(`pluggable component '${parse(socket).name}' for ${type}: ${socket} serves ${found}`);
  return definition;
}

function definitionFor(
  type: string,
  services: ReadonlySet<string>,
  at: (deps: ComponentDeps) => ConnectionOptions,
): AnyComponentDefinition | undefined {
  const shared = { type, metadata: items, capabilities: [] };
  if (type.startsWith('state.') && services.has(StateStore.typeName)) {
    return defineComponent({
      ...shared,
      category: 'state',
      create: (properties, deps) => pluggableStateStore(at(deps), properties, services),
    });
  }
  if (type.startsWith('pubsub.') && services.has(PubSub.typeName)) {
    return defineComponent({
      ...shared,
      category: 'pubsub',
      create: (properties, deps) => pluggablePubSub(at(deps), withConsumer(properties, deps.appId)),
    });
  }
  if (
    type.startsWith('bindings.') &&
    (services.has(InputBinding.typeName) || services.has(OutputBinding.typeName))
  ) {
    return defineComponent({
      ...shared,
      category: 'bindings',
      create: (properties, deps) => pluggableBinding(at(deps), properties, services),
    });
  }
  if (type.startsWith('secretstores.') && services.has(SecretStore.typeName)) {
    return defineComponent({
      ...shared,
      category: 'secretstores',
      create: (properties, deps) => pluggableSecretStore(at(deps), properties),
    });
  }
  return undefined;
}

/** Pub/sub components get a consumer id: the app's, unless an item gives one. */
function withConsumer(
  properties: Readonly<Record<string, string>>,
  appId: string,
): Readonly<Record<string, string>> {
  const given = (properties['consumerID'] ?? '').trim();
  return { ...properties, consumerID: given === '' ? appId : given };
}

async function servicesOf(
  socket: string,
  options: PluggableOptions,
  signal: AbortSignal | undefined,
): Promise<ReadonlySet<string>> {
  const { clock, log, maxMessageBytes } = options;
  const client = createGrpcClient({ target: `unix:${socket}`, clock, limits: { maxMessageBytes } });
  const until = clock.monotonicMs() + (options.patienceMs ?? PATIENCE_MS);
  try {
    for (let attempt = 1; ; attempt += 1) {
      try {
        return await listOnce(client, signal);
      } catch (error) {
        const { message } = remoteError(error);
        const away = error instanceof GrpcStatusError && error.code === GrpcCode.Unavailable;
        if (!away || clock.monotonicMs() > until || signal?.aborted === true)
          throw new Error(`unable to list services of the pluggable component at ${socket}: ${message}`);
        if (attempt === 1) log.warn(`waiting for the pluggable component at ${socket}: ${message}`);
      }
      await clock.sleep(RETRY_MS, signal);
    }
  } finally {
    await client.close();
  }
}

function listOnce(client: GrpcClient, signal: AbortSignal | undefined): Promise<ReadonlySet<string>> {
  const limit = AbortSignal.timeout(ATTEMPT_LIMIT_MS);
  return listServices(client, signal === undefined ? limit : AbortSignal.any([signal, limit]));
}
