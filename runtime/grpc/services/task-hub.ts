/**
 * `TaskHubSidecarService`, the service that workflow SDKs talk to (gRPC reference, section 2.8), while there is no engine: each
 * method with the refusal of a daprd without placement and scheduler. SDKs tell it from a sidecar without workflows.
 */

import { EmptySchema } from '@bufbuild/protobuf/wkt';
import { GrpcCode } from '../../contracts/grpc-code.ts';
import type { AnyGrpcMethod, GrpcService } from '../../contracts/grpc-wire/service.ts';
import { GrpcStatusError } from '../../contracts/grpc-wire/status.ts';
import { serverStream, unary } from './method.ts';

const NO_PLACEMENT = 'placement service is not configured';
const NO_STORE =
  'the state store is not configured to use the actor runtime. Have you set the - name: actorStateStore value: "true" in your state store component file?';
const WITHOUT_STORE = `api error: code = Internal desc = ${NO_STORE}`;

const refusals: Readonly<Record<string, readonly [code: number, text: string]>> = {
  StartInstance: [GrpcCode.Internal, `failed to create workflow instance: ${WITHOUT_STORE}`],
  GetInstance: [GrpcCode.Unavailable, NO_PLACEMENT],
  WaitForInstanceStart: [GrpcCode.Unavailable, NO_PLACEMENT],
  WaitForInstanceCompletion: [GrpcCode.Unavailable, NO_PLACEMENT],
  GetInstanceHistory: [GrpcCode.Unavailable, NO_PLACEMENT],
  RaiseEvent: [GrpcCode.Internal, NO_STORE],
  SuspendInstance: [GrpcCode.Internal, NO_STORE],
  ResumeInstance: [GrpcCode.Internal, NO_STORE],
  RerunWorkflowFromEvent: [GrpcCode.Internal, NO_STORE],
  TerminateInstance: [GrpcCode.Internal, `failed to submit termination request: ${WITHOUT_STORE}`],
  PurgeInstances: [GrpcCode.Internal, `failed to purge workflow state: ${WITHOUT_STORE}`],
  ListInstanceIDs: [GrpcCode.Unknown, 'no state store with actor support found'],
};

/** Makes the service. No method looks into its request, so no message of it has a schema: `Empty` keeps unknown fields. */
export function createTaskHubService(): GrpcService {
  const methods: Record<string, AnyGrpcMethod> = {
    // Answers with what it got.
    Hello: unary(EmptySchema, EmptySchema, async (message) => message),
    GetWorkItems: serverStream(EmptySchema, EmptySchema, () => {
      const why = `api error: code = Unavailable desc = ${NO_PLACEMENT}`;
      throw new GrpcStatusError(
        GrpcCode.Unavailable,
        `unable to establish work item stream at this time: ${why}`,
      );
    }),
  };
  // Nobody waits for these results.
  for (const name of ['CompleteActivityTask', 'CompleteOrchestratorTask', 'CompleteWorkflowTask'])
    methods[name] = unary(EmptySchema, EmptySchema, async () => ({}));
  for (const [name, [code, text]] of Object.entries(refusals)) {
    methods[name] = unary(EmptySchema, EmptySchema, async () => {
      throw new GrpcStatusError(code, text);
    });
  }
  return { name: 'TaskHubSidecarService', methods };
}
