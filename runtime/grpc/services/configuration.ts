/** Configuration over gRPC (gRPC reference, section 2.5); a subscription lives as long as its stream. */

import type { MessageInitShape } from '@bufbuild/protobuf';
import type { ConfigurationItems } from '../../contracts/configuration-store.ts';
import { RuntimeError } from '../../contracts/error.ts';
import type { GrpcCall } from '../../contracts/grpc-wire/service.ts';
import {
  GetConfigurationRequestSchema,
  GetConfigurationResponseSchema,
  type SubscribeConfigurationRequest,
  SubscribeConfigurationRequestSchema,
  SubscribeConfigurationResponseSchema,
  UnsubscribeConfigurationRequestSchema,
  UnsubscribeConfigurationResponseSchema,
} from '../../generated/dapr/proto/runtime/v1/configuration_pb.ts';
import { type Operations, type ServiceDeps, serverStream, unary } from './method.ts';

type Change = MessageInitShape<typeof SubscribeConfigurationResponseSchema>;
type ConfigurationKeys = 'configurationGet' | 'configurationSubscribe' | 'configurationUnsubscribe';

/** Changes that a slow stream may leave unread; beyond it the oldest are merged into one. */
const MAX_UNREAD = 256;

/** The configuration operations. */
export function configurationOperations(deps: ServiceDeps): Operations<ConfigurationKeys> {
  const { configuration } = deps.blocks;
  const streams = new Map<string, () => void>();
  return {
    configurationGet: unary(
      GetConfigurationRequestSchema,
      GetConfigurationResponseSchema,
      async (request, call) => ({
        items: itemsOf(await configuration.get(request.storeName, request.keys, request.metadata, call)),
      }),
    ),
    configurationSubscribe: serverStream(
      SubscribeConfigurationRequestSchema,
      SubscribeConfigurationResponseSchema,
      (request, call) => subscribe(request, call, deps, streams),
    ),
    configurationUnsubscribe: unary(
      UnsubscribeConfigurationRequestSchema,
      UnsubscribeConfigurationResponseSchema,
      async ({ storeName, id }, call) => {
        const stop = streams.get(id);
        if (stop !== undefined) {
          stop();
          return { ok: true };
        }
        const ended = await endOther(deps, storeName, id, call);
        if (ended) return { ok: true };
        return {
          ok: false,
          message: `failed to unsubscribe to configuration request ${id}: subscription does not exist`,
        };
      },
    ),
  };
}

/** A subscription that was made over HTTP can be ended here too. */
async function endOther(deps: ServiceDeps, store: string, id: string, call: GrpcCall): Promise<boolean> {
  try {
    return (await deps.blocks.configuration.unsubscribe(store, id, call)) === undefined;
  } catch (error) {
    if (error instanceof RuntimeError) return false;
    throw error;
  }
}

async function* subscribe(
  request: SubscribeConfigurationRequest,
  call: GrpcCall,
  deps: ServiceDeps,
  streams: Map<string, () => void>,
): AsyncGenerator<Change> {
  const { configuration } = deps.blocks;
  const { storeName, metadata } = request;
  const unread: ConfigurationItems[] = [];
  let stopped = false;
  let wake = (): void => {};
  const stop = (): void => {
    stopped = true;
    wake();
  };
  const id = await configuration.subscribe(storeName, [...request.keys].sort(), metadata, call, (items) => {
    if (unread.length >= MAX_UNREAD) unread.unshift({ ...unread.shift(), ...unread.shift() });
    unread.push(items);
    wake();
  });
  streams.set(id, stop);
  call.signal.addEventListener('abort', stop, { once: true });
  deps.draining.addEventListener('abort', stop, { once: true });
  stopped = call.signal.aborted || deps.draining.aborted;
  try {
    yield { id };
    while (!stopped) {
      const items = unread.shift();
      if (items !== undefined) yield { id, items: itemsOf(items) };
      else {
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
    }
  } finally {
    streams.delete(id);
    deps.draining.removeEventListener('abort', stop);
    await configuration.unsubscribe(storeName, id, call);
  }
}

function itemsOf(
  items: ConfigurationItems,
): Record<string, { value: string; version: string; metadata: Record<string, string> }> {
  return Object.fromEntries(
    Object.entries(items).map(([key, { value, version, metadata }]) => [
      key,
      { value, version, metadata: { ...metadata } },
    ]),
  );
}
