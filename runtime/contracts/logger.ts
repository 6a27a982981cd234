/** What a part of the runtime needs to write log lines. Implemented by `platform/pino-logger.ts`. */

export type LogFields = Readonly<Record<string, unknown>>;

/** A logger bound to one scope (`dapr.runtime.http`, `dapr.contrib`, ...). Secrets are never passed to it. */
export interface Logger {
  debug(message: string, fields?: LogFields): void;
  info(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  error(message: string, fields?: LogFields): void;
  fatal(message: string, fields?: LogFields): void;
  /** A logger of another scope that adds `fields` to every line. */
  child(scope: string, fields?: LogFields): Logger;
}
