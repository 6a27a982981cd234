/**
 * `npm run model -- --seeds 200`: spool, broker sessions and storage against plain in-memory models, a fresh first seed
 * unless `--seed` gives one. A failure names the seed that repeats it.
 */

import { randomInt } from 'node:crypto';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { runSessions } from './sessions.ts';
import { runSpool } from './spool.ts';
import { runStorage } from './storage.ts';

const MODELS = { storage: runStorage, sessions: runSessions, spool: runSpool };
const say = (line: string): void => void process.stdout.write(`${line}\n`);

const { values } = parseArgs({
  options: {
    seeds: { type: 'string', default: '100' },
    seed: { type: 'string' },
    steps: { type: 'string', default: '200' },
    only: { type: 'string' },
  },
});
const first = values.seed === undefined ? randomInt(2 ** 31) : Number(values.seed);
const base = mkdtempSync(join(tmpdir(), 'skerry-model-'));
let failed = 0;
for (const [name, run] of Object.entries(MODELS)) {
  if (values.only !== undefined && values.only !== name) continue;
  const before = failed;
  const count = Number(values.seeds);
  for (let seed = first; seed < first + count; seed += 1) {
    const folder = join(base, `${name}-${seed}`);
    mkdirSync(folder);
    try {
      await run(folder, seed, Number(values.steps));
    } catch (error) {
      failed += 1;
      say(`${name}: ${error instanceof Error ? error.stack : String(error)}`);
      say(`  repeat: npm run model -- --only ${name} --seed ${seed} --seeds 1 --steps ${values.steps}`);
    }
    rmSync(folder, { recursive: true, force: true });
  }
  say(`${name}: ${count} seeds from ${first} on, ${values.steps} steps each, ${failed - before} failed`);
}
rmSync(base, { recursive: true, force: true });
process.exit(failed === 0 ? 0 : 1);
