/**
 * The engine of Sync, not only its rules: two nodes with real files and a store in the cloud, apps that write everywhere,
 * a link that goes, loses answers and comes back, nodes that are started again. In the end all sides are equal and every
 * write is there, was replaced by somebody who had seen it, or stands in a conflict that was published.
 */

import { join } from 'node:path';
import t, { type Test } from 'tap';
import type { ConflictRule } from '../../runtime/contracts/resource.ts';
import { until } from '../integration/support/until.ts';
import { seededRandom } from '../support/seeded-random.ts';
import { changeIn, type Edge, edge, farStore, inCloud } from '../support/sync-rig.ts';

const STEPS = 40;
const KEYS = ['k', 'l'];
const FIELDS = ['a', 'b', 'c'];

type Published = { data: { key: string; kept: string; fields?: string[]; local: unknown; remote: unknown } };

/** The ids of writes in a value: a text, or the fields of an object. */
function idsIn(value: unknown): readonly string[] {
  if (typeof value === 'string') return [value];
  return typeof value === 'object' && value !== null ? Object.values(value as Record<string, string>) : [];
}

async function story(t: Test, rule: ConflictRule, seed: number): Promise<void> {
  const random = seededRandom(seed);
  const pick = (below: number): number => Math.floor(random.float() * below);
  const directory = t.testdir({ '0': {}, '1': {} });
  const far = farStore();
  const journal = seed % 2 === 0 ? 'shared' : '';
  const flow = {
    direction: 'both',
    conflict: rule,
    pollMs: 15,
    journal,
    keys: KEYS.map((key) => ({ local: key, remote: key })),
  } as const;
  const start = (at: number): Promise<Edge> => edge(join(directory, String(at)), far, flow);
  const edges = [await start(0), await start(1)];
  const told: Published[] = [];
  const gone = new Set<string>();
  const placed = new Set<string>();
  let writes = 0;

  /** The next value of whoever sees `old`; counted only when it was written. */
  const next = (old: unknown, noted: { replaced: string[]; id: string }): unknown => {
    noted.replaced = [];
    if (rule !== 'merge') {
      noted.replaced.push(...idsIn(old));
      return noted.id;
    }
    const field = FIELDS[writes % FIELDS.length] ?? 'a';
    const fields = { ...((old ?? {}) as Record<string, string>) };
    if (fields[field] !== undefined) noted.replaced.push(fields[field]);
    fields[field] = noted.id;
    return fields;
  };
  const write = async (into: (change: (old: unknown) => unknown) => Promise<void>): Promise<void> => {
    writes += 1;
    const noted = { replaced: [] as string[], id: `w${writes}` };
    await into((old) => next(old, noted));
    placed.add(noted.id);
    for (const id of noted.replaced) gone.add(id);
  };
  const close = async (one: Edge): Promise<void> => {
    await one.close();
    for (const { data } of one.published) told.push(JSON.parse(Buffer.from(data).toString()));
  };

  for (let step = 0; step < STEPS; step += 1) {
    const at = pick(2);
    const one = edges[at] as Edge;
    const key = KEYS[pick(KEYS.length)] ?? 'k';
    const what = pick(12);
    if (what < 4) await write((change) => one.change(key, change));
    else if (what < 7) await write((change) => changeIn(far, `app||${key}`, change));
    else if (what < 8) far.down = !far.down;
    else if (what < 9) far.lose = 1;
    else if (what < 10) {
      await close(one);
      edges[at] = await start(at);
    } else {
      one.sync.retry(undefined);
      await new Promise((resolve) => setImmediate(() => setImmediate(resolve)));
    }
  }
  far.down = false;
  far.lose = 0;
  const equal = async (key: string): Promise<boolean> => {
    const there = JSON.stringify(await inCloud(far, key));
    for (const one of edges) if (JSON.stringify(await one.get(key)) !== there) return false;
    return true;
  };
  const quiet = async (): Promise<boolean> => {
    let settled = true;
    for (const one of edges) {
      const [flow] = await one.sync.status();
      if (flow?.link !== 'up') one.sync.retry(undefined);
      if (flow === undefined || flow.lag.messages > 0 || flow.link !== 'up') settled = false;
    }
    for (const key of KEYS) {
      if (await equal(key)) continue;
      settled = false;
      // People answer what they were asked.
      if (rule === 'ask' && pick(20) === 0) await write((change) => (edges[0] as Edge).change(key, change));
    }
    return settled;
  };
  await until(`seed ${seed} (${rule}) to settle`, quiet, 15_000);
  const live = new Set<string>();
  for (const key of KEYS) for (const id of idsIn(await inCloud(far, key))) live.add(id);
  for (const one of edges) await close(one);
  const reported = new Set<string>();
  for (const { data } of told) {
    if (data.kept === 'merged') {
      for (const path of data.fields ?? []) {
        const name = path.slice(1);
        for (const side of [data.local, data.remote]) {
          const id = (side as Record<string, string> | null)?.[name];
          if (id !== undefined) reported.add(id);
        }
      }
      continue;
    }
    if (data.kept !== 'local') for (const id of idsIn(data.local)) reported.add(id);
    if (data.kept !== 'remote') for (const id of idsIn(data.remote)) reported.add(id);
  }
  const lost = [...placed].filter((id) => !live.has(id) && !gone.has(id) && !reported.has(id));
  t.same(lost, [], `seed ${seed} (${rule}): ${placed.size} writes, ${told.length} conflicts told`);
}

const SEEDS = Number(process.env['SYNC_SEEDS'] ?? 1);
const FIRST = Number(process.env['SYNC_FIRST'] ?? 1);
for (const rule of ['last-write', 'edge-wins', 'cloud-wins', 'merge', 'ask'] as const) {
  t.test(rule, async (t) => {
    for (let seed = FIRST; seed < FIRST + SEEDS; seed += 1)
      await t.test(`seed ${seed}`, (t) => story(t, rule, seed));
  });
}
