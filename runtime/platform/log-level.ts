/** A log level for one sidecar where the node's is more talkative: apps of a run file may differ (`logLevel`). */

import type { LogFields, Logger } from '../contracts/logger.ts';

const LEVELS: readonly string[] = ['debug', 'info', 'warn', 'error', 'fatal'];
const silent = (): void => {};

/** `log` without the lines below `level`; the same one when `present` lets no more through anyway. */
export function atLevel<L extends Logger>(log: L, level: string, present: string): L {
  const rank = (name: string): number => LEVELS.indexOf(name);
  if (rank(level) <= rank(present)) return log;
  const muted = Object.fromEntries(
    LEVELS.filter((one) => rank(one) < rank(level)).map((one) => [one, silent]),
  );
  return {
    ...log,
    ...muted,
    child: (scope: string, fields?: LogFields) => atLevel(log.child(scope, fields), level, present),
  };
}
