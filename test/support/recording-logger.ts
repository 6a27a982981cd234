/** A logger that keeps its lines for tests to look at. */

import type { LogFields, Logger } from '../../runtime/contracts/logger.ts';

export interface RecordedLine {
  readonly level: string;
  readonly message: string;
  readonly fields: LogFields;
}

export interface RecordingLogger extends Logger {
  readonly lines: readonly RecordedLine[];
}

export function recordingLogger(lines: RecordedLine[] = []): RecordingLogger {
  const at =
    (level: string) =>
    (message: string, fields: LogFields = {}): void =>
      void lines.push({ level, message, fields });
  return {
    lines,
    debug: at('debug'),
    info: at('info'),
    warn: at('warn'),
    error: at('error'),
    fatal: at('fatal'),
    child: () => recordingLogger(lines),
  };
}
