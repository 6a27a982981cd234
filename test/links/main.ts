/**
 * `npm run links -- --schedules 200`: random link schedules during continuous traffic, with kill -9 of either side.
 * `--seed N` chooses them, `--from N` begins with a later one, `--link wire|proxy` the kind of link (default: wire where it can be had), `--daprd PATH` a real
 * daprd as the cloud (or SKERRY_TEST_DAPRD with `--daprd ''`), `--relay` a relay beside the cloud through which the edge goes.
 *
 * `npm run links -- --backlog 100000`: the queue of an outage worked off over a long link (`--keys`, `--delay` in ms one way,
 * `--loss` in percent). With `--week` the outage lasts a week by the clocks of the node. `--idle 120`: what an idle link costs, and when a silent cut is noticed.
 */

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { runBacklog } from './backlog.ts';
import { runIdle } from './idle.ts';
import { proxyLink } from './proxy-link.ts';
import { runSchedules } from './run-schedules.ts';
import { wireLink, wireObstacle } from './wire-link.ts';

const say = (line: string): void => void process.stdout.write(`${line}\n`);

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      schedules: { type: 'string', default: '200' },
      seed: { type: 'string', default: '1' },
      link: { type: 'string', default: '' },
      daprd: { type: 'string' },
      relay: { type: 'boolean', default: false },
      from: { type: 'string', default: '0' },
      backlog: { type: 'string' },
      week: { type: 'boolean', default: false },
      idle: { type: 'string' },
      keys: { type: 'string', default: '4000' },
      delay: { type: 'string', default: '50' },
      loss: { type: 'string', default: '1' },
      only: { type: 'string', default: '' },
    },
  });
  const folder = mkdtempSync(join(tmpdir(), 'skerry-links-'));
  const obstacle = wireObstacle();
  if (obstacle !== false && values.link === 'wire') throw new Error(obstacle);
  if (obstacle !== false) say(`a TCP proxy is the link, without packet loss: ${obstacle}`);
  const link = obstacle === false && values.link !== 'proxy' ? await wireLink(folder) : proxyLink();
  try {
    if (values.idle !== undefined) return await runIdle(folder, link, Number(values.idle), say);
    if (values.backlog !== undefined) {
      return await runBacklog({
        folder,
        link,
        messages: Number(values.backlog),
        keys: Number(values.keys),
        week: values.week,
        delayMs: Number(values.delay),
        loss: link.losesPackets ? Number(values.loss) / 100 : 0,
        say,
      });
    }
    const daprd = values.daprd === '' ? process.env['SKERRY_TEST_DAPRD'] : values.daprd;
    const result = await runSchedules({
      folder,
      link,
      schedules: Number(values.schedules),
      seed: Number(values.seed),
      daprd,
      relay: values.relay,
      from: Number(values.from),
      only: values.only === '' ? [] : values.only.split(',').map(Number),
      say,
    });
    for (const fault of result.faults) say(fault);
    say(
      `${values.schedules} schedules over a ${link.kind}, ${daprd ?? 'a Skerry node'} as the cloud${values.relay ? ' behind a relay' : ''}: ${result.accepted} messages accepted, ` +
        `${result.faults.length} faults, ${result.repeats} repeats dropped by id; state equal ${Math.round(result.slowestStateMs)} ms ` +
        `and everything arrived ${Math.round(result.slowestDrainMs)} ms after the heal at the latest; ` +
        `${result.syncedWrites} writes to synced keys, ${result.conflicts} conflicts told, equal ${Math.round(result.slowestSyncMs)} ms after the heal at the latest`,
    );
    return result.faults.length === 0 ? 0 : 1;
  } finally {
    await link.close();
    rmSync(folder, { recursive: true, force: true });
  }
}

process.exitCode = await main();
