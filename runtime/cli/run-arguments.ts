/**
 * What `skerry run` understands beyond daprd's flags, so that a `dapr run` line works word for word: the one-letter flags
 * of the Dapr CLI, and `-f` (`--run-file`) for a multi-app run file.
 */

const LETTERS: Readonly<Record<string, string>> = {
  a: '--app-id',
  c: '--config',
  d: '--components-path',
  G: '--dapr-grpc-port',
  h: '--help',
  H: '--dapr-http-port',
  I: '--dapr-internal-grpc-port',
  M: '--metrics-port',
  p: '--app-port',
  P: '--app-protocol',
  u: '--unix-domain-socket',
};
const RUN_FILE = new Set(['-f', '--run-file', '--file']);

/** The flags in front of `--` written out; the app's own command stays as it is. */
export function longFlags(args: readonly string[]): readonly string[] {
  const end = args.indexOf('--');
  const flags = end < 0 ? args : args.slice(0, end);
  const command = end < 0 ? [] : args.slice(end);
  const long = flags.map((arg) => {
    const [, letter = '', rest = ''] = /^-([A-Za-z])(=.*)?$/s.exec(arg) ?? [];
    const name = LETTERS[letter];
    return name === undefined ? arg : `${name}${rest}`;
  });
  return [...long, ...command];
}

export interface RunFileArgument {
  /** Undefined without the flag, empty when it has no value. */
  readonly file: string | undefined;
  readonly rest: readonly string[];
}

/** Takes `-f FILE`, `--run-file FILE` or `--run-file=FILE` out of the flags. */
export function takeRunFile(args: readonly string[]): RunFileArgument {
  const end = args.indexOf('--');
  const flags = end < 0 ? args : args.slice(0, end);
  const at = flags.findIndex((arg) => RUN_FILE.has(arg.split('=', 1)[0] ?? ''));
  const found = flags[at];
  if (found === undefined) return { file: undefined, rest: args };
  const equals = found.indexOf('=');
  if (equals >= 0) return { file: found.slice(equals + 1), rest: args.toSpliced(at, 1) };
  return { file: flags[at + 1] ?? '', rest: args.toSpliced(at, 2) };
}
