/** Moved to `grpc-client/trace-metadata.ts`; this name stays until its last importer has followed. */

import { metadataOfTrace as moved } from '../grpc-client/trace-metadata.ts';

export const metadataOfTrace = moved;
