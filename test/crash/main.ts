/**
 * `npm run crash -- --cuts 15000 --seed 1`: simulated power cuts over recorded runs of the built package.
 * `--broken` takes the syncs out of a copy of the package first and expects to be caught.
 */

import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { packageFolder } from '../integration/support/package-folder.ts';
import { explore } from './explore.ts';
import { breakPackage, workFolder } from './package-copy.ts';
import { buildShim } from './record.ts';

const say = (line: string): void => void process.stdout.write(`${line}\n`);

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      cuts: { type: 'string', default: '500' },
      seed: { type: 'string', default: '1' },
      'per-recording': { type: 'string', default: '1000' },
      processes: { type: 'string', default: '2' },
      broken: { type: 'boolean', default: false },
      verbose: { type: 'boolean', default: false },
    },
  });
  const folder = workFolder();
  const started = process.hrtime.bigint();
  try {
    const shim = buildShim(folder);
    if ('missing' in shim) {
      say(`skipped: ${shim.missing}`);
      return 0;
    }
    const good = packageFolder();
    const outcome = await explore({
      cuts: Number(values.cuts),
      seed: Number(values.seed),
      cutsPerRecording: Number(values['per-recording']),
      processes: Number(values.processes),
      folder,
      program: values.broken ? breakPackage(good, join(folder, 'broken')) : join(good, 'daprd'),
      shim: shim.path,
      lives: 3,
      lifeMs: 900,
      pauseMs: 25,
      say,
      stopEarly: values.broken,
    });
    for (const failure of outcome.failures.slice(0, values.verbose ? 200 : 10)) say(JSON.stringify(failure));
    for (const fault of outcome.faults.slice(0, 10)) say(`load: ${fault}`);
    const count = (kind: 'lost' | 'invented' | 'stuck' | 'aside'): number =>
      outcome.failures.filter((failure) => failure[kind].length > 0).length;
    const seconds = Number((process.hrtime.bigint() - started) / 1_000_000_000n);
    say(
      `${outcome.cuts} cuts of ${outcome.recordings} recordings (${outcome.events} events, ${outcome.acknowledged} acknowledgements) in ${seconds} s: ` +
        `${count('lost')} lost something acknowledged, ${count('invented')} invented something, ${count('stuck') + count('aside')} would need a person`,
    );
    if (values.broken)
      say(outcome.failures.length > 0 ? 'the broken build was caught' : 'THE BROKEN BUILD WAS NOT CAUGHT');
    return outcome.failures.length > 0 !== values.broken ? 1 : 0;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

process.exitCode = await main();
