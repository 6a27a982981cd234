/** `npm run kill -- --times 200`: kill -9 under mixed load, again and again on one disk; the ledger is checked each time. */

import { cpSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { packageFolder } from '../integration/support/package-folder.ts';
import { histories } from './claims.ts';
import { Judge } from './judge.ts';
import { workFolder } from './package-copy.ts';
import { record } from './record.ts';
import { readTrace } from './trace.ts';

const say = (line: string): void => void process.stdout.write(`${line}\n`);

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: { times: { type: 'string', default: '200' }, seed: { type: 'string', default: '1' } },
  });
  const folder = workFolder();
  const run = join(folder, 'recording');
  const copy = join(folder, 'copy');
  const judge = new Judge(copy, new URL('../support/writer-entry.ts', import.meta.url));
  let bad = 0;
  let checked = 0;
  try {
    const { faults } = await record(
      {
        folder: run,
        program: join(packageFolder(), 'daprd'),
        seed: Number(values.seed),
        lives: Number(values.times) + 1,
        lifeMs: 250,
        pauseMs: 60,
        syncDelayUs: 0,
        recorded: false,
        afterLife: async (life) => {
          rmSync(copy, { recursive: true, force: true });
          cpSync(join(run, 'disk'), copy, { recursive: true });
          const events = readTrace(join(run, 'trace'), join(run, 'disk'));
          const verdict = await judge.judge(histories(events), events.length);
          checked += 1;
          const wrong = [...verdict.lost, ...verdict.invented, ...verdict.stuck, ...verdict.aside];
          if (wrong.length === 0) return;
          bad += 1;
          say(`after kill ${life + 1}: ${wrong.join('; ').slice(0, 600)}`);
        },
      },
      '',
    );
    for (const fault of faults.slice(0, 5)) say(`load: ${fault}`);
    say(`${checked - 1} kills and one orderly stop: the ledger did not balance ${bad} times`);
    return bad === 0 ? 0 : 1;
  } finally {
    await judge.close();
    rmSync(folder, { recursive: true, force: true });
  }
}

process.exitCode = await main();
