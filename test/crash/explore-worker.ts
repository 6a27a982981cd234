/** One of the explorer's processes: rebuilds the disks of its share of the cuts and judges each. */

import { join } from 'node:path';
import { seededRandom } from '../support/seeded-random.ts';
import { type Claim, histories } from './claims.ts';
import { CUT_STYLES, DiskModel } from './disk.ts';
import { Judge } from './judge.ts';
import { RECORD, readTrace } from './trace.ts';
import type { Verdict } from './verdict.ts';

export interface Share {
  readonly trace: string;
  readonly root: string;
  /** Where the rebuilt disks lie. */
  readonly disk: string;
  readonly seed: number;
  /** Event numbers, ascending, each with the number of its cut. */
  readonly cuts: readonly { readonly cut: number; readonly number: number }[];
}

export interface Failure extends Verdict {
  readonly cut: number;
  readonly number: number;
  readonly style: string;
}

export type Progress =
  | { readonly done: number }
  | { readonly failure: Failure }
  | { readonly finished: true };

async function explore(share: Share, tell: (progress: Progress) => void): Promise<void> {
  const events = readTrace(share.trace, share.root);
  const known = histories(events);
  const model = new DiskModel();
  const judge = new Judge(share.disk, new URL('../support/writer-entry.ts', import.meta.url));
  let applied = 0;
  for (const [index, { cut, number }] of share.cuts.entries()) {
    for (; applied < cut; applied += 1) {
      const event = events[applied];
      if (event === undefined) break;
      model.apply(event);
      if (event.type === RECORD.mark && isLife(event.data)) model.processEnded();
    }
    const style = CUT_STYLES[number % CUT_STYLES.length] ?? 'all';
    model.rebuild(share.disk, style, seededRandom(share.seed * 1_000_003 + number));
    const verdict = await judge.judge(known, cut);
    const faults =
      verdict.lost.length + verdict.invented.length + verdict.stuck.length + verdict.aside.length;
    if (faults > 0) tell({ failure: { ...verdict, cut, number, style } });
    if (index % 25 === 24) tell({ done: 25 });
  }
  tell({ done: share.cuts.length % 25 });
  await judge.close();
  tell({ finished: true });
}

function isLife(data: Buffer): boolean {
  return (JSON.parse(data.toString()) as Claim).m === 'life';
}

process.once('message', (share: Share) => {
  const tell = (progress: Progress): void => void process.send?.(progress);
  explore({ ...share, disk: join(share.disk) }, tell)
    .then(() => process.disconnect?.())
    .catch((error: unknown) => {
      const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
      const nothing = { lost: [], invented: [], aside: [], told: [], cut: -1, number: -1, style: 'none' };
      // What the judge has open would keep this process alive.
      process.send?.({ failure: { ...nothing, stuck: [text] } } satisfies Progress, () => process.exit(1));
    });
});
