/**
 * Log lines in Dapr's text and JSON forms (CLI reference, section 2), written by pino. Lines leave the process
 * asynchronously; `flush` writes what waits, and fatal lines flush by themselves.
 */

import pino from 'pino';
import type { LogFields, Logger } from '../contracts/logger.ts';

export interface LoggerOptions {
  readonly level: string;
  readonly asJson: boolean;
  /** File to append to in place of standard output. */
  readonly file?: string;
  readonly appId: string;
  readonly instance: string;
  readonly version: string;
}

export interface RuntimeLogger extends Logger {
  flush(): void;
}

const NEEDS_QUOTES = /[^A-Za-z0-9\-._/@^+]/;

function quote(text: string): string {
  return JSON.stringify(text).replace(/[\u007f-\u009f]/g, (c) => `\\x${c.charCodeAt(0).toString(16)}`);
}

function textValue(value: unknown): string {
  const text =
    typeof value === 'string' ? value : typeof value === 'object' ? JSON.stringify(value) : String(value);
  return NEEDS_QUOTES.test(text) ? quote(text) : text;
}

/** One line of logrus text: time, level, message, then the other keys in alphabetical order. */
function textLine(record: Record<string, unknown>): string {
  const { time, level, msg, ...rest } = record;
  const fields = Object.keys(rest)
    .sort()
    .map((key) => `${key}=${textValue(rest[key])}`);
  return `time="${time}" level=${level} msg=${quote(String(msg))} ${fields.join(' ')}\n`;
}

/** Fields that a line has from its logger; a child's replace those of the same name, so that no line has two. */
function scoped(target: pino.Logger, scope: string, fields: LogFields): Logger {
  const line = target.child({ ...fields, scope });
  const write =
    (level: pino.Level) =>
    (message: string, fields: LogFields = {}): void => {
      const { error, ...rest } = fields;
      line[level](
        error === undefined ? rest : { ...rest, error: error instanceof Error ? error.message : error },
        message,
      );
    };
  return {
    debug: write('debug'),
    info: write('info'),
    warn: write('warn'),
    error: write('error'),
    fatal: write('fatal'),
    child: (name, more) => scoped(target, name, more === undefined ? fields : { ...fields, ...more }),
  };
}

export function pinoLogger(options: LoggerOptions): RuntimeLogger {
  const out = pino.destination({ dest: options.file ?? 1, append: true, sync: false, mode: 0o644 });
  const stream = options.asJson
    ? out
    : { write: (line: string) => void out.write(textLine(JSON.parse(line))) };
  const root = pino(
    {
      level: options.level === 'warning' ? 'warn' : options.level,
      base: null,
      timestamp: () => `,"time":"${new Date().toISOString().replace('Z', '000000Z')}"`,
      formatters: { level: (label) => ({ level: label === 'warn' ? 'warning' : label }) },
    },
    stream,
  );
  const flush = (): void => {
    try {
      out.flushSync();
    } catch {
      // The destination is not open yet or already gone: there is nobody left to tell.
    }
  };
  const { appId, instance, version } = options;
  const logger = scoped(root, 'dapr.runtime', { app_id: appId, instance, type: 'log', ver: version });
  return {
    ...logger,
    fatal: (message, fields) => {
      logger.fatal(message, fields);
      flush();
    },
    flush,
  };
}
