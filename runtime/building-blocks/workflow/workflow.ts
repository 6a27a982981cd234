/** Workflows without placement: the check on placement comes before every other (HTTP reference, section 16). */

import type { WorkflowBlock } from '../../contracts/blocks.ts';
import { runtimeError } from '../../contracts/error.ts';

export function createWorkflowBlock(): WorkflowBlock {
  return {
    refuse: async () => {
      throw runtimeError('actorNoPlacement');
    },
  };
}
