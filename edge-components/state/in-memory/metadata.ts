/** `state.in-memory` has no metadata items of its own. */

import { metadataSchema } from '../../../runtime/contracts/metadata.ts';

export const stateInMemoryMetadata = metadataSchema({});
