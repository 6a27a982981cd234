/** Runs link schedules one after another on one pair of nodes and judges each: nothing lost, invented, seen twice, turned around. */

import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { seededRandom } from '../support/seeded-random.ts';
import { HEALED, type Link, type Side } from './link.ts';
import { describe, drawSchedule, type Episode } from './schedule.ts';
import { createTraffic, PAIR, readState, type Traffic } from './traffic.ts';
import { createWorld, type World } from './world.ts';

export interface RunOptions {
  readonly folder: string;
  readonly link: Link;
  readonly schedules: number;
  /** The first one. */
  readonly from?: number;
  readonly seed: number;
  readonly daprd?: string | undefined;
  readonly relay?: boolean | undefined;
  /** Kinds of episodes, by their place in `schedule.ts`; all when empty. */
  readonly only?: readonly number[];
  readonly say: (line: string) => void;
}

export interface RunResult {
  readonly faults: readonly string[];
  readonly accepted: number;
  readonly repeats: number;
  /** How long after the heal state was equal and everything had arrived, the longest. */
  readonly slowestStateMs: number;
  readonly slowestDrainMs: number;
  /** The same of synced state. */
  readonly slowestSyncMs: number;
  /** Writes to synced keys, and conflicts among them that were told. */
  readonly syncedWrites: number;
  readonly conflicts: number;
}

const STATE_LIMIT_MS = 2000;
/** State is waited for beyond its limit, to say how late it was. */
const STATE_PATIENCE_MS = 30_000;
const DRAIN_LIMIT_MS = 90_000;
const LOOK_MS = 20;
const SIDES: readonly Side[] = ['edge', 'cloud'];
const now = (): number => Number(process.hrtime.bigint()) / 1e6;

export async function runSchedules(options: RunOptions): Promise<RunResult> {
  const { link, schedules, seed, daprd, say } = options;
  const traffic = createTraffic({ down: daprd === undefined, random: seededRandom(seed) });
  const world = await createWorld({
    folder: join(options.folder, 'world'),
    link,
    daprd,
    relay: options.relay,
    synced: true,
    take: traffic.take,
    items: { statestore: { mode: 'local-first' } },
  });
  const faults: string[] = [];
  const told = new Set<string>();
  let [slowestStateMs, slowestDrainMs, slowestSyncMs] = [0, 0, 0];
  try {
    await link.set(HEALED);
    await world.start('cloud');
    await world.start('edge');
    await traffic.synced.begin(world);
    await subscribed(world, traffic);
    await traffic.synced.settle(world, now());
    const first = options.from ?? 0;
    for (let number = first; number < first + schedules; number += 1) {
      const episodes = drawSchedule(seededRandom(seed * 100_003 + number), link.losesPackets, options.only);
      await traffic.synced.begin(world);
      traffic.start(world);
      await sleep(150);
      for (const episode of episodes) await befall(world, link, episode);
      await link.set(HEALED);
      for (const side of SIDES) if (!world.running(side)) await world.start(side);
      const healed = now();
      await traffic.stop();
      const found: string[] = [];
      const settling = traffic.synced.settle(world, healed);
      const stateMs = (await equal(world, traffic, found)) - healed;
      const drainedMs = await Promise.all(
        traffic.flows.map(async (flow) => {
          const all = await until(() => traffic.ledgers[flow].missing === 0, DRAIN_LIMIT_MS);
          if (!all) found.push(`${flow}: not everything arrived within ${DRAIN_LIMIT_MS / 1000} s`);
          return now() - healed;
        }),
      );
      const drained = Math.max(...drainedMs) < DRAIN_LIMIT_MS;
      const settled = await settling;
      found.push(...settled.faults);
      // What is repeated now is repeated behind everything else.
      await sleep(50);
      judge(traffic, told, found);
      if (stateMs > STATE_LIMIT_MS) found.push(`state was equal ${Math.round(stateMs)} ms after the heal`);
      if (settled.equalMs > STATE_LIMIT_MS)
        found.push(`synced state was equal ${Math.round(settled.equalMs)} ms after the heal`);
      slowestSyncMs = Math.max(slowestSyncMs, settled.equalMs);
      slowestStateMs = Math.max(slowestStateMs, stateMs);
      slowestDrainMs = Math.max(slowestDrainMs, ...drainedMs);
      const verdict = found.length === 0 ? 'good' : found.join('; ').slice(0, 1500);
      say(
        `schedule ${number}: ${describe(episodes)}: state ${Math.round(stateMs)} ms, synced ${Math.round(settled.equalMs)} ms, ${traffic.flows.map((flow, at) => `${flow} ${Math.round(drainedMs[at] ?? 0)}`).join(', ')} ms: ${verdict}`,
      );
      faults.push(...found.map((fault) => `schedule ${number} of seed ${seed}: ${fault}`));
      if (!drained) {
        for (const side of SIDES) say(`--- ${side}\n${world.output(side).slice(-6000)}`);
        break;
      }
    }
  } finally {
    await traffic.stop();
    await world.close();
  }
  const verdicts = traffic.flows.map((flow) => traffic.ledgers[flow].verdict());
  return {
    faults,
    accepted: verdicts.reduce((sum, { accepted }) => sum + accepted, 0),
    repeats: verdicts.reduce((sum, { repeats }) => sum + repeats, 0),
    slowestStateMs,
    slowestDrainMs,
    slowestSyncMs,
    syncedWrites: traffic.synced.histories.writes,
    conflicts: traffic.synced.histories.conflicts,
  };
}

async function befall(world: World, link: Link, episode: Episode): Promise<void> {
  if (episode.kind === 'link') {
    await link.set(episode.state);
    await sleep(episode.ms);
    return;
  }
  await world.kill(episode.side);
  await sleep(episode.ms);
  await world.start(episode.side);
}

/** Down-flow begins with the subscription; events before it are nobody's. */
async function subscribed(world: World, traffic: Traffic): Promise<void> {
  traffic.start(world);
  const flowing = await until(() => traffic.flows.every((flow) => traffic.ledgers[flow].someCame), 20_000);
  await traffic.stop();
  if (!flowing) throw new Error(`nothing flows\n${world.output('edge')}\n${world.output('cloud')}`);
  for (const flow of traffic.flows) traffic.ledgers[flow].forgive();
}

/** The moment at which both sides say what was written last; what is wrong with it goes to `found`. */
async function equal(world: World, traffic: Traffic, found: string[]): Promise<number> {
  const keys = [...traffic.state.keys()];
  let why = '';
  const reached = await until(async () => {
    try {
      const [near, far] = await Promise.all(SIDES.map((side) => readState(world.base(side), keys)));
      why = keys
        .filter((key) => near?.get(key) !== far?.get(key) || !fits(traffic, key, far?.get(key) ?? 0))
        .concat(far?.get(PAIR[0]) === far?.get(PAIR[1]) ? [] : ['the pair is torn'])
        .map(
          (key) =>
            `${key} is ${near?.get(key)} here, ${far?.get(key)} there, ${JSON.stringify(traffic.state.get(key))} written`,
        )
        .join(', ');
      return why === '';
    } catch (error) {
      why = String(error);
      return false;
    }
  }, STATE_PATIENCE_MS);
  if (!reached) found.push(`state is not equal: ${why}`);
  return now();
}

function fits(traffic: Traffic, key: string, n: number): boolean {
  const written = traffic.state.get(key);
  return written !== undefined && n >= written.confirmed && n <= written.sent;
}

/** What is wrong beyond what was told before. */
function judge(traffic: Traffic, told: Set<string>, found: string[]): void {
  for (const flow of traffic.flows) {
    const verdict = traffic.ledgers[flow].verdict();
    for (const kind of ['lost', 'invented', 'outOfOrder', 'repeatsSeen'] as const) {
      const names = verdict[kind].filter((name) => !told.has(`${flow} ${kind} ${name}`));
      for (const name of names) told.add(`${flow} ${kind} ${name}`);
      if (names.length > 0) found.push(`${flow}: ${names.length} ${kind}: ${names.slice(0, 8).join(' ')}`);
    }
  }
}

async function until(ask: () => boolean | Promise<boolean>, limitMs: number): Promise<boolean> {
  const limit = now() + limitMs;
  while (now() < limit) {
    if (await ask()) return true;
    await sleep(LOOK_MS);
  }
  return false;
}
