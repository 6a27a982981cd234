/** Metadata items of the durable queue before a far sidecar. */

import { z } from 'zod';
import { duration, integer, quantity } from '../../../runtime/contracts/metadata.ts';
import type { FullPolicy } from '../../../runtime/contracts/spool.ts';
import { lingerItem } from '../sqlite/sqlite-metadata.ts';

/** Headers and a small payload. */
const LEAST_QUEUE_BYTES = 4096;

export const queueItems = {
  queueMaxMessages: integer(100_000, 1),
  queueMaxBytes: quantity(256 * 1024 * 1024).refine((bytes) => bytes >= LEAST_QUEUE_BYTES, {
    error: ({ input }) =>
      `a queue of ${input} bytes holds no message: expected at least ${LEAST_QUEUE_BYTES}`,
  }),
  queueWhenFull: z
    .enum(['block', 'reject', 'drop-oldest', 'drop-newest'], {
      error: 'expected block, reject, drop-oldest or drop-newest',
    })
    .default('reject'),
  queueTTL: duration(0),
  linger: lingerItem,
};

export interface QueueItems {
  readonly queueMaxMessages: number;
  readonly queueMaxBytes: number;
  readonly queueWhenFull: FullPolicy;
  /** Milliseconds of elapsed time; 0: no limit. */
  readonly queueTTL: number;
  /** Milliseconds that an arrival may wait for others to share its commit. */
  readonly linger: number;
}
