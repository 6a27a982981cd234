/** Workflow management over HTTP (Dapr HTTP reference, section 16). The component segment of the path is ignored. */

import type { WorkflowBlock } from '../../contracts/blocks.ts';
import type { ApiRequest, HttpHandler } from '../api-request.ts';
import { readMessage, readMessageBytes } from '../message-fields.ts';
import type { HttpHandlers } from '../router.ts';

type WorkflowHandlers = Pick<
  HttpHandlers,
  | 'workflowStart'
  | 'workflowGet'
  | 'workflowPause'
  | 'workflowResume'
  | 'workflowTerminate'
  | 'workflowPurge'
  | 'workflowRaiseEvent'
>;

export function workflowHandlers(workflow: WorkflowBlock): WorkflowHandlers {
  const refuse = (operation: string, request: ApiRequest): Promise<never> =>
    workflow.refuse({ operation, instanceId: request.param(1) }, request.call);
  /** Commands take an empty body or an object whose contents do not matter. */
  const command =
    (operation: string): HttpHandler =>
    async (request) => {
      await readMessage(request, () => undefined);
      return refuse(operation, request);
    };
  return {
    workflowStart: async (request) => {
      await readMessageBytes(request);
      const instanceId = request.queryValue('instanceID') ?? '';
      return workflow.refuse(
        { operation: 'start', instanceId, workflowName: request.param(1) },
        request.call,
      );
    },
    workflowGet: command('get'),
    workflowPause: command('pause'),
    workflowResume: command('resume'),
    workflowTerminate: command('terminate'),
    workflowPurge: command('purge'),
    workflowRaiseEvent: async (request) => {
      await readMessageBytes(request);
      return refuse('raiseEvent', request);
    },
  };
}
