/** The link of a node to its relay; loaded only where the data folder is enrolled at one. */

import { skerryVersion } from './build-info.ts';
import type { Clock } from './contracts/clock.ts';
import type { Logger } from './contracts/logger.ts';
import type { Metrics } from './contracts/metrics.ts';
import type { Random } from './contracts/random.ts';
import type { NodeOptions } from './flags.ts';
import { createEdgeLink, type EdgeLink } from './relay/edge-link.ts';
import { readEnrolment } from './relay/enrolment.ts';

export interface NodeLinkParts {
  readonly file: string;
  readonly options: NodeOptions;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly metrics: Metrics;
}

/** Begins to dial. Rejects when the enrolment cannot be read. */
export async function openNodeLink({ options, ...parts }: NodeLinkParts): Promise<EdgeLink | undefined> {
  const enrolment = await readEnrolment(parts.file);
  if (enrolment === undefined) return undefined;
  return createEdgeLink({ ...parts, ...options.relay, enrolment, version: skerryVersion });
}
