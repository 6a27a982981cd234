/** Actors without placement: reserved types and bad names are told apart, everything else needs a placement service. */

import type { ActorsBlock } from '../../contracts/blocks.ts';
import { runtimeError } from '../../contracts/error.ts';

const RESERVED_PREFIX = 'dapr.internal.';

export function createActorsBlock(): ActorsBlock {
  return {
    refuse: async (request) => {
      if (request.direct && request.type.startsWith(RESERVED_PREFIX))
        throw runtimeError('actorTypeReserved', { type: request.type });
      await request.check?.();
      throw runtimeError('actorNoPlacement');
    },
  };
}
