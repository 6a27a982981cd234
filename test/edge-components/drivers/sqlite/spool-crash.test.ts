/** Killing the process at any moment loses nothing acknowledged and leaves an exact ledger. */

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import t from 'tap';
import { idOf } from '../../../../edge-components/drivers/sqlite/spool-record.ts';
import { openPool } from '../../../support/open-pool.ts';

const CHILD = join(import.meta.dirname, '../../../support/spool-child.ts');

t.test('kill -9 in full flow, twice on one file', async (t) => {
  const directory = t.testdir();
  const acknowledged = new Set<string>();
  const delivered = new Set<string>();
  for (const killAfter of [150, 91]) {
    const child = spawn(process.execPath, [CHILD, directory], { stdio: ['ignore', 'pipe', 'inherit'] });
    const ended = once(child, 'exit');
    let lines = 0;
    for await (const line of createInterface({ input: child.stdout })) {
      (line.startsWith('+') ? acknowledged : delivered).add(line.slice(2));
      lines += 1;
      if (lines === killAfter) child.kill('SIGKILL');
    }
    await ended;
    t.ok(lines >= killAfter, 'it was at work');

    const databases = openPool(directory);
    const system = await databases.system();
    const [queue] = system.read('SELECT * FROM skerry_spool_queue');
    const rows = system.read('SELECT id, record, bytes FROM skerry_spool_message');
    const total = rows.reduce((sum, { bytes }) => sum + Number(bytes), 0);
    t.match(queue, { pending: rows.length, pendingBytes: total, parked: 0, expired: 0, full: 0, removed: 0 });
    const { accepted, delivered: left } = queue as Record<string, number>;
    t.equal(accepted, (left ?? 0) + rows.length, 'accepted = delivered + pending');
    const pending = new Set(rows.map(idOf));
    const lost = [...acknowledged].filter((id) => !pending.has(id) && !delivered.has(id));
    t.same(lost, [], 'everything acknowledged is pending or was delivered');
    await databases.close();
  }
});
