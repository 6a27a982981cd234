/** Building blocks that refuse everything, for tests that replace the one they look at; and their gRPC service. */

import type { Blocks } from '../../runtime/contracts/blocks.ts';
import type { GrpcServerOptions } from '../../runtime/grpc/server.ts';
import { createDaprService } from '../../runtime/grpc/services/dapr.ts';
import type { ServiceDeps } from '../../runtime/grpc/services/method.ts';
import { systemClock } from '../../runtime/platform/system-clock.ts';
import { startServer, type TestServer } from './grpc-harness.ts';

interface Teardown {
  teardown(run: () => unknown): void;
}

/** Any operation that a test did not replace throws. */
export function fakeBlocks(replaced: { readonly [B in keyof Blocks]?: Partial<Blocks[B]> }): Blocks {
  const refusing = (block: string): object =>
    new Proxy(
      {},
      {
        get: (_target, operation) => () => {
          throw new Error(`${block}.${String(operation)} is not expected`);
        },
      },
    );
  return new Proxy(replaced, {
    get: (_target, block: string) =>
      new Proxy((replaced as Record<string, object>)[block] ?? {}, {
        get: (given, name) =>
          (given as Record<PropertyKey, unknown>)[name] ??
          (refusing(block) as Record<PropertyKey, unknown>)[name],
      }),
  }) as unknown as Blocks;
}

/** A server of the Dapr service over such blocks. */
export function startDapr(
  t: Teardown,
  replaced: Parameters<typeof fakeBlocks>[0],
  deps: Partial<ServiceDeps> = {},
  options: Partial<GrpcServerOptions> = {},
): Promise<TestServer> {
  const service = createDaprService({
    blocks: fakeBlocks(replaced),
    appId: 'app1',
    namespace: '',
    clock: systemClock(),
    topicEventFields: (envelope) => ({
      id: String(envelope['id']),
      source: 'test',
      data: Buffer.from(String(envelope['data'])),
    }),
    draining: new AbortController().signal,
    ...deps,
  });
  return startServer(t, [service], options);
}

export const daprPath = (method: string): string => `/dapr.proto.runtime.v1.Dapr/${method}`;
