/** What an idle link costs with the default probe, extrapolated to a day, and how soon a subscription notices a silent cut. */

import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { HEALED, type Link } from './link.ts';
import { createWorld } from './world.ts';

const SETTLE_MS = 5000;
const PATIENCE_MS = 90_000;
const DAY_SECONDS = 86_400;
const now = (): number => Number(process.hrtime.bigint()) / 1e6;

export async function runIdle(
  folder: string,
  link: Link,
  seconds: number,
  say: (line: string) => void,
): Promise<number> {
  const world = await createWorld({ folder: join(folder, 'world'), link, take: () => undefined });
  try {
    await link.set(HEALED);
    await world.start('cloud');
    await world.start('edge');
    await sleep(SETTLE_MS);
    const before = await link.counts();
    await sleep(seconds * 1000);
    const after = await link.counts();
    const bytes = after.up + after.down - before.up - before.down;
    const day = Math.round(((bytes / seconds) * DAY_SECONDS) / 1024);
    await link.set({ ...HEALED, mode: 'silent' });
    const cut = now();
    const said = world.output('edge').length;
    while (
      !world.output('edge').slice(said).includes('the subscription to topic') &&
      now() - cut < PATIENCE_MS
    )
      await sleep(100);
    const noticed = Math.round((now() - cut) / 1000);
    say(
      `${bytes} bytes in ${seconds} idle seconds over a ${link.kind}: ${day} KB a day; a silent cut was noticed after ${noticed} s`,
    );
    return noticed <= 60 ? 0 : 1;
  } finally {
    await world.close();
  }
}
