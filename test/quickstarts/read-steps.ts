/**
 * The steps of a quickstart's README: what stands between `<!-- STEP` and `END_STEP -->`, which is a head in YAML (name,
 * folder, lines that must be printed) and the commands to type.
 */

import { parse } from 'yaml';

export interface ReadmeStep {
  readonly name: string;
  /** The blocks of commands, in order. The first is the step; one that follows ends what it started. */
  readonly commands: readonly string[];
  /** Texts that must occur in what the first block prints. */
  readonly expected: readonly string[];
  readonly folder: string;
}

const STEP = /<!--\s*STEP\s*\n(?<head>[\s\S]*?)-->(?<body>[\s\S]*?)<!--\s*END_STEP\s*-->/g;
const COMMANDS = /```(?:bash|sh)\n([\s\S]*?)```/g;

/** Every step, in the order of the text. */
export function readSteps(text: string): readonly ReadmeStep[] {
  return [...text.matchAll(STEP)].map(({ groups }) => {
    const { head = '', body = '' } = groups ?? {};
    const {
      name,
      expected_stdout_lines: lines,
      working_dir: folder,
    } = parse(head) as Record<string, unknown>;
    return {
      name: String(name),
      commands: [...body.matchAll(COMMANDS)].map(([, commands = '']) => commands.trim()),
      expected: Array.isArray(lines) ? lines.map(String) : [],
      folder: typeof folder === 'string' ? folder : '.',
    };
  });
}
