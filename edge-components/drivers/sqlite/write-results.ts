/** Turns the outcome of a write into what `Database.write` promises: results, `StepRefused` or `DatabaseError`. */

import { type SqlStepResult, StepRefused } from '../../../runtime/contracts/database.ts';
import { databaseError } from './database-errors.ts';
import type { WriteOutcome } from './write-connection.ts';

const NO_ROWS: SqlStepResult['rows'] = Object.freeze([]);

export function writeResults(path: string, outcome: WriteOutcome): readonly SqlStepResult[] {
  if ('failure' in outcome) throw databaseError(path, outcome.failure);
  if ('refused' in outcome) throw new StepRefused(outcome.refused);
  return outcome.map((step) => (typeof step === 'number' ? { changes: step, rows: NO_ROWS } : step));
}
