/** Workflows over gRPC while there is no engine (gRPC reference, section 2.8); alpha and beta behave alike. */

import type { DescMessage, MessageShape } from '@bufbuild/protobuf';
import { EmptySchema } from '@bufbuild/protobuf/wkt';
import type { AnyGrpcMethod } from '../../contracts/grpc-wire/service.ts';
import {
  GetWorkflowRequestSchema,
  GetWorkflowResponseSchema,
  PauseWorkflowRequestSchema,
  PurgeWorkflowRequestSchema,
  RaiseEventWorkflowRequestSchema,
  ResumeWorkflowRequestSchema,
  StartWorkflowRequestSchema,
  StartWorkflowResponseSchema,
  TerminateWorkflowRequestSchema,
} from '../../generated/dapr/proto/runtime/v1/workflow_pb.ts';
import { type Operations, type ServiceDeps, unary } from './method.ts';

type WorkflowKeys =
  | 'workflowStart'
  | 'workflowGet'
  | 'workflowPause'
  | 'workflowResume'
  | 'workflowTerminate'
  | 'workflowPurge'
  | 'workflowRaiseEvent';

/** The workflow operations. */
export function workflowOperations({ blocks: { workflow } }: ServiceDeps): Operations<WorkflowKeys> {
  const refusing = (
    operation: string,
    request: DescMessage,
    answer: DescMessage = EmptySchema,
  ): AnyGrpcMethod =>
    unary(request, answer, (message, call) => workflow.refuse({ operation, ...namesOf(message) }, call));

  return {
    workflowStart: refusing('start', StartWorkflowRequestSchema, StartWorkflowResponseSchema),
    workflowGet: refusing('get', GetWorkflowRequestSchema, GetWorkflowResponseSchema),
    workflowPause: refusing('pause', PauseWorkflowRequestSchema),
    workflowResume: refusing('resume', ResumeWorkflowRequestSchema),
    workflowTerminate: refusing('terminate', TerminateWorkflowRequestSchema),
    workflowPurge: refusing('purge', PurgeWorkflowRequestSchema),
    workflowRaiseEvent: refusing('raiseEvent', RaiseEventWorkflowRequestSchema),
  };
}

function namesOf(message: MessageShape<DescMessage>): { instanceId: string; workflowName?: string } {
  const { instanceId = '', workflowName } = message as { instanceId?: string; workflowName?: string };
  return { instanceId, ...(workflowName === undefined ? {} : { workflowName }) };
}
