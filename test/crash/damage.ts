/** Damages the files of a node in every way a card does, opens them again and says what was lost and what was told. */

import { existsSync, readdirSync, readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Random } from '../../runtime/contracts/random.ts';
import { seededRandom } from '../support/seeded-random.ts';
import { type Claim, histories } from './claims.ts';
import { DiskModel } from './disk.ts';
import { Judge } from './judge.ts';
import type { Recording } from './record.ts';
import { RECORD, readTrace } from './trace.ts';
import type { Verdict } from './verdict.ts';

export interface DamageCase {
  readonly seed: number;
  /** What was done to which file. */
  readonly damage: string;
  readonly pages: number;
  readonly verdict: Verdict;
  /** Rows named or counted as lost by the report. */
  readonly reported: boolean;
}

const PAGE = 4096;
const FILES = ['skerry.db', 'skerry.db', 'skerry.db', 'skerry.db-wal', 'skerry.db.schema', 'lock.db'];
const KINDS = ['flip', 'flip', 'truncate', 'zero', 'garbage'] as const;

/** Judges one damaged disk per seed. */
export async function damageAll(
  recording: Recording,
  disk: string,
  seeds: readonly number[],
  each: (one: DamageCase) => void,
  /** Folder for disks on which something got stuck, as they were before anything opened them. */
  keep?: string,
): Promise<void> {
  const events = readTrace(recording.trace, recording.root);
  const known = histories(events);
  const judge = new Judge(disk, new URL('../support/writer-entry.ts', import.meta.url));
  const model = new DiskModel();
  // Not the very end: there the WAL is folded into the file.
  const first = Math.floor(events.length * 0.3);
  const step = Math.max(1, Math.floor((events.length * 0.65) / seeds.length));
  let applied = 0;
  for (const [index, seed] of seeds.entries()) {
    const cut = first + index * step;
    for (; applied < cut; applied += 1) {
      const event = events[applied];
      if (event === undefined) break;
      model.apply(event);
      if (event.type === RECORD.mark && (JSON.parse(event.data.toString()) as Claim).m === 'life')
        model.processEnded();
    }
    const random = seededRandom(seed);
    model.rebuild(disk, 'all', random);
    const { damage, pages } = harm(join(disk, 'node/data'), random);
    const verdict = await judge.judge(known, cut);
    each({ seed, damage, pages, verdict, reported: verdict.aside.length > 0 && hasReport(disk, verdict) });
    if (keep === undefined || verdict.stuck.length === 0) continue;
    const again = seededRandom(seed);
    model.rebuild(join(keep, String(seed)), 'all', again);
    harm(join(keep, String(seed), 'node/data'), again);
  }
  await judge.close();
}

function hasReport(disk: string, { aside }: Verdict): boolean {
  return aside.every((entry) =>
    existsSync(join(disk, 'node/data', entry.split(':')[0] ?? '', 'report.json')),
  );
}

function harm(folder: string, random: Random): { damage: string; pages: number } {
  const pick = (below: number): number => Math.floor(random.float() * below);
  const there = FILES.filter((name) => existsSync(join(folder, name)));
  const name = there[pick(there.length)] ?? 'skerry.db';
  const path = join(folder, name);
  const bytes = readFileSync(path);
  const kind = KINDS[pick(KINDS.length)] ?? 'flip';
  if (bytes.length === 0) {
    writeFileSync(path, 'rubbish where there was nothing'.repeat(1 + pick(300)));
    return { damage: `${name}: rubbish`, pages: 0 };
  }
  const count = 1 + pick(3);
  const touched = new Set<number>();
  if (kind === 'truncate') {
    const size = pick(3) === 0 ? pick(bytes.length) : Math.floor(pick(bytes.length) / 512) * 512;
    truncateSync(path, size);
    return {
      damage: `${name}: cut from ${bytes.length} to ${size} bytes`,
      pages: Math.ceil((bytes.length - size) / PAGE),
    };
  }
  for (let index = 0; index < count; index += 1) {
    const at = pick(bytes.length);
    const page = Math.floor(at / PAGE);
    touched.add(page);
    if (kind === 'flip') bytes[at] = (bytes[at] as number) ^ (1 << pick(8));
    else if (kind === 'zero') bytes.fill(0, page * PAGE, Math.min(bytes.length, (page + 1) * PAGE));
    else Buffer.from(random.bytes(Math.min(PAGE, bytes.length - page * PAGE))).copy(bytes, page * PAGE);
  }
  writeFileSync(path, bytes);
  return { damage: `${name}: ${kind} in pages ${[...touched].join(', ')}`, pages: touched.size };
}

/** Names of what is in a data folder, for messages. */
export function namesIn(folder: string): readonly string[] {
  return existsSync(folder) ? readdirSync(folder) : [];
}
