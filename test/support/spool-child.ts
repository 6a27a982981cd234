/**
 * A process that appends to and drains a queue until it is killed. It prints `+ id` when a message was acknowledged and
 * `- id` when the target got it.
 */

import { createSpoolSource } from '../../edge-components/drivers/sqlite/spool-source.ts';
import { systemClock } from '../../runtime/platform/system-clock.ts';
import { systemIds } from '../../runtime/platform/system-ids.ts';
import { systemRandom } from '../../runtime/platform/system-random.ts';
import { openPool } from './open-pool.ts';
import { recordingLogger } from './recording-logger.ts';

const clock = systemClock();
const source = createSpoolSource({
  databases: openPool(process.argv[2] ?? '', { clock }),
  clock,
  ids: systemIds(clock),
  random: systemRandom(),
  log: recordingLogger(),
  metrics: { count: () => undefined, observe: () => undefined, gauge: () => undefined },
});
const options = { name: 'q', maxMessages: 40, maxBytes: 1e6, whenFull: 'block', ttlMs: 0 } as const;
const spool = await source.open(options);
// The target is never away for long.
setInterval(() => spool.wake(), 5);
let deliveries = 0;
spool.drain(async (message) => {
  deliveries += 1;
  if (deliveries % 3 === 0) return { retry: 'sometimes' };
  process.stdout.write(`- ${message.id}\n`);
  return 'delivered';
});
const append = async (lane: number): Promise<never> => {
  for (let count = 0; ; count += 1) {
    const message = {
      key: `k${lane}`,
      priority: lane % 3,
      payload: Buffer.alloc(10 + (count % 90)),
      headers: { n: `${count}` },
    };
    process.stdout.write(`+ ${await spool.append(message)}\n`);
  }
};
await Promise.all(Array.from({ length: 8 }, (_, lane) => append(lane)));
