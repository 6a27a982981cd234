/**
 * Jobs without a scheduler: requests are checked as Dapr checks them before the scheduler is asked, then refused as a
 * sidecar without scheduler address refuses them. The engine on the node's own database takes the place of `refuse`.
 */

import type { JobsBlock } from '../../contracts/blocks.ts';
import { type RuntimeError, runtimeError } from '../../contracts/error.ts';
import type { ErrorKey } from '../../contracts/error-table.ts';

const NO_SCHEDULER = 'scheduler clients are disabled';

export function createJobsBlock(deps: { readonly appId: string; readonly namespace: string }): JobsBlock {
  const info = { appID: deps.appId, namespace: deps.namespace === '' ? 'default' : deps.namespace };
  const refuse = (key: ErrorKey): RuntimeError => runtimeError(key, { error: NO_SCHEDULER }, { info });
  return {
    schedule: async (job) => {
      if (job.name === '') throw runtimeError('jobNameEmpty', {}, { info });
      // Whether a text is a schedule is for the scheduler to say; only its absence is told here.
      if (job.schedule === undefined && job.dueTime === undefined)
        throw runtimeError('jobScheduleEmpty', {}, { info });
      throw refuse('jobSchedule');
    },
    get: async (name) => {
      if (name === '') throw runtimeError('jobNameEmpty', {}, { info });
      throw refuse('jobGet');
    },
    delete: async (name) => {
      if (name === '') throw runtimeError('jobNameEmpty', {}, { info });
      throw refuse('jobDelete');
    },
    list: async () => {
      throw refuse('jobList');
    },
    deleteByPrefix: async () => {
      throw refuse('jobDelete');
    },
  };
}
