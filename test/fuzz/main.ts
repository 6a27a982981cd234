/**
 * `npm run fuzz -- [--inputs N] [--seed S] [--only target] [--all]`: the fuzz targets of `npm test` for as long as wanted.
 * A fresh seed each time unless one is given; it is printed, and a failure prints the seed of the one input. A target ends
 * with its first failure, with `--all` it goes on.
 */

import { randomInt } from 'node:crypto';
import { parseArgs } from 'node:util';
import { fuzz } from './support/target.ts';
import { TARGETS } from './targets.ts';

const { values } = parseArgs({
  options: {
    inputs: { type: 'string' },
    seed: { type: 'string' },
    only: { type: 'string', multiple: true },
    all: { type: 'boolean' },
  },
});
const print = (line: string): void => void process.stdout.write(`${line}\n`);
const seed = values.seed === undefined ? randomInt(2 ** 32 - 1) : Number(values.seed);
const only = values.only ?? TARGETS.map(({ name }) => name);
const unknown = only.filter((name) => !TARGETS.some((target) => target.name === name));
const given = values.inputs === undefined ? undefined : Number(values.inputs);
if (unknown.length > 0 || !Number.isSafeInteger(seed) || (given !== undefined && !(given >= 1))) {
  print(
    `usage: npm run fuzz -- [--inputs N] [--seed S] [--only ${TARGETS.map(({ name }) => name).join('|')}]`,
  );
  process.exit(2);
}
print(`fuzz: seed ${seed}`);
const chosen = TARGETS.filter(({ name }) => only.includes(name));
const report = (error: unknown): void => {
  process.exitCode = 1;
  print(`FAILED: ${error instanceof Error ? error.message : String(error)}`);
};
const share = chosen.reduce((sum, { inputs }) => sum + inputs, 0);
for (const target of chosen) {
  const inputs =
    given === undefined ? target.inputs : Math.max(1, Math.round((given * target.inputs) / share));
  try {
    const { seconds, slowestMs, heapGrowthMb } = await fuzz(
      target,
      seed,
      inputs,
      values.all === true ? report : undefined,
    );
    print(
      `${target.name}: ${inputs} inputs in ${seconds.toFixed(1)} s, slowest ${slowestMs.toFixed(0)} ms, heap ${heapGrowthMb >= 0 ? '+' : ''}${heapGrowthMb.toFixed(1)} MiB`,
    );
  } catch (error) {
    report(error);
  }
}
process.exit();
