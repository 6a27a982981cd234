/** The service `dapr.proto.runtime.v1.Dapr`: every gRPC operation of the operations table with its implementation. */

import type { AnyGrpcMethod, GrpcService } from '../../contracts/grpc-wire/service.ts';
import { type GrpcOperationKey, OPERATIONS, type Operation } from '../../contracts/operations.ts';
import { actorOperations } from './actors.ts';
import { bindingOperations } from './bindings.ts';
import { configurationOperations } from './configuration.ts';
import { conversationOperations } from './conversation.ts';
import { cryptoOperations } from './crypto.ts';
import { invokeOperations } from './invoke.ts';
import { jobOperations } from './jobs.ts';
import { lockOperations } from './lock.ts';
import { metadataOperations } from './metadata.ts';
import type { OperationMethods, Operations, ServiceDeps } from './method.ts';
import { publishOperations } from './publish.ts';
import { secretOperations } from './secrets.ts';
import { stateOperations } from './state.ts';
import { subscribeOperations } from './subscribe.ts';
import { subtleOperations } from './subtle.ts';
import { workflowOperations } from './workflow.ts';

/** The API service of one sidecar. */
export function createDaprService(deps: ServiceDeps): GrpcService {
  const operations: Operations<GrpcOperationKey> = {
    ...stateOperations(deps),
    ...publishOperations(deps),
    ...subscribeOperations(deps),
    ...bindingOperations(deps),
    ...invokeOperations(deps),
    ...actorOperations(deps),
    ...secretOperations(deps),
    ...configurationOperations(deps),
    ...lockOperations(deps),
    ...cryptoOperations(deps),
    ...subtleOperations(),
    ...workflowOperations(deps),
    ...jobOperations(deps),
    ...conversationOperations(deps),
    ...metadataOperations(deps),
  };
  const methods: Record<string, AnyGrpcMethod> = {};
  for (const [key, implementation] of Object.entries(operations)) {
    for (const { method } of (OPERATIONS as Record<string, Operation>)[key]?.grpc ?? []) {
      methods[method] = methodOf(implementation, method);
    }
  }
  return { name: 'dapr.proto.runtime.v1.Dapr', methods };
}

function methodOf(implementation: OperationMethods, name: string): AnyGrpcMethod {
  if ('kind' in implementation && typeof implementation.kind === 'string')
    return implementation as AnyGrpcMethod;
  const method = (implementation as Readonly<Record<string, AnyGrpcMethod>>)[name];
  if (method === undefined) throw new Error(`no implementation of the gRPC method ${name}`);
  return method;
}
