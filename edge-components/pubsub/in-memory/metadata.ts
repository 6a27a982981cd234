/** `pubsub.in-memory` has no metadata items (components reference, 2.2). */

import type { z } from 'zod';
import { metadataSchema } from '../../../runtime/contracts/metadata.ts';

export const metadata = metadataSchema({});

export type InMemoryPubSubMetadata = z.output<typeof metadata.schema>;
