/** `npm run damage -- --seeds 500`: damaged files, one disk per seed; every one must start. `--keep FOLDER` keeps the others. */

import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { packageFolder } from '../integration/support/package-folder.ts';
import { type DamageCase, damageAll } from './damage.ts';
import { workFolder } from './package-copy.ts';
import { buildShim, record } from './record.ts';

const say = (line: string): void => void process.stdout.write(`${line}\n`);
const PER_RECORDING = 250;

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      seeds: { type: 'string', default: '500' },
      seed: { type: 'string', default: '1' },
      keep: { type: 'string' },
      verbose: { type: 'boolean', default: false },
    },
  });
  const folder = workFolder();
  try {
    const shim = buildShim(folder);
    if ('missing' in shim) {
      say(`skipped: ${shim.missing}`);
      return 0;
    }
    const cases: DamageCase[] = [];
    const first = Number(values.seed);
    for (let from = first; from < first + Number(values.seeds); from += PER_RECORDING) {
      const seeds = Array.from(
        { length: Math.min(PER_RECORDING, first + Number(values.seeds) - from) },
        (_, index) => from + index,
      );
      const recording = await record(
        {
          folder: join(folder, 'recording'),
          program: join(packageFolder(), 'daprd'),
          seed: from,
          lives: 2,
          lifeMs: 900,
          pauseMs: 25,
          syncDelayUs: 1500,
        },
        shim.path,
      );
      const each = (one: DamageCase): void => {
        cases.push(one);
        if (values.verbose || one.verdict.stuck.length > 0) say(JSON.stringify(one).slice(0, 1500));
      };
      await damageAll(recording, join(folder, 'disk'), seeds, each, values.keep);
    }
    return summary(cases);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function summary(cases: readonly DamageCase[]): number {
  const started = cases.filter(({ verdict }) => verdict.stuck.length === 0);
  const aside = cases.filter(({ verdict }) => verdict.aside.length > 0);
  const unreported = aside.filter(({ reported }) => !reported);
  const lossy = cases.filter(({ verdict }) => verdict.lost.length + verdict.invented.length > 0);
  const silent = lossy.filter(({ verdict }) => verdict.aside.length + verdict.told.length === 0);
  const told = cases.filter(({ verdict }) => verdict.told.length > 0);
  for (const { seed, damage, verdict } of silent)
    say(
      `not told, seed ${seed}: ${damage}: ${[...verdict.lost, ...verdict.invented].join('; ').slice(0, 300)}`,
    );
  say(
    `${cases.length} damaged disks: ${started.length} started, ${aside.length} were set aside and salvaged (${aside.length - unreported.length} with a report), ` +
      `${told.length} had values told as damaged, ${lossy.length} lost something, ${silent.length} of them without noticing`,
  );
  return started.length === cases.length && unreported.length === 0 ? 0 : 1;
}

process.exitCode = await main();
