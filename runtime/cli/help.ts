/** The help texts, made from the flag table. */

import { FLAGS } from '../flags-table.ts';

/** One line per flag, daprd's first, ours last. */
export function flagHelp(): string {
  const width = Math.max(...FLAGS.map((flag) => flag.name.length)) + 4;
  const line = (flag: (typeof FLAGS)[number]): string =>
    `  --${flag.name.padEnd(width)}${flag.help}${flag.fallback === undefined || flag.kind === 'bool' ? '' : ` (default ${flag.fallback})`}`;
  return [
    'Flags of daprd:',
    ...FLAGS.filter((flag) => flag.added !== true).map(line),
    '',
    'Flags of Skerry:',
    ...FLAGS.filter((flag) => flag.added === true).map(line),
  ].join('\n');
}

export const DAPRD_USAGE = `Usage: daprd --app-id ID [flags]

Runs one sidecar: the Dapr API beside one app.

`;
