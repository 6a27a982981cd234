// Bodies of 256 MB through two processes, up and down: neither holds more than a fraction of them.

import { readFileSync, writeFileSync } from 'node:fs';
import { createServer, type IncomingMessage, request } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Readable } from 'node:stream';
import t from 'tap';
import { startSidecar } from './support/node-process.ts';
import { until } from './support/until.ts';

const MEGABYTES = 256;
const GROWTH_LIMIT_MB = 80;
const PIECE = Buffer.alloc(1024 * 1024, 'A');

function* pieces(): Generator<Buffer> {
  for (let n = 0; n < MEGABYTES; n += 1) yield PIECE;
}

async function count(source: IncomingMessage): Promise<number> {
  let size = 0;
  for await (const chunk of source) size += (chunk as Buffer).byteLength;
  return size;
}

/** Most memory that was resident since the peak was forgotten. */
const peakMb = (pid: number): number =>
  Number(/VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) / 1024;
const forgetPeak = (pid: number): void => writeFileSync(`/proc/${pid}/clear_refs`, '5');

t.test(
  '256 MB pass through two sidecars in little memory',
  { skip: process.platform === 'linux' ? false : 'memory is read from /proc' },
  async (t) => {
    const app = createServer(async (incoming, response) => {
      if (incoming.url === '/down') Readable.from(pieces()).pipe(response);
      else response.end(String(await count(incoming)));
    });
    await new Promise<void>((resolve) => app.listen(0, '127.0.0.1', resolve));
    t.teardown(() => {
      app.closeAllConnections();
      app.close();
    });
    const args = ['--max-body-size', '512Mi'];
    const id = `large-${process.pid}`;
    const nodes = await Promise.all([
      startSidecar(t, { appId: `caller-${process.pid}`, args }),
      startSidecar(t, { appId: id, appPort: (app.address() as AddressInfo).port, args }),
    ]);
    const invoke = (path: string, body?: Iterable<Buffer>): Promise<IncomingMessage> =>
      new Promise((resolve, reject) => {
        const method = body === undefined ? 'GET' : 'POST';
        const url = `${nodes[0].base}/v1.0/invoke/${id}/method/${path}`;
        const outgoing = request(url, { method, agent: false }, resolve);
        outgoing.once('error', reject);
        if (body === undefined) outgoing.end();
        else Readable.from(body).pipe(outgoing);
      });
    await until('the callee to be found', async () => (await count(await invoke('warm'))) > 0);

    for (const { pid } of nodes) forgetPeak(pid);
    const before = nodes.map(({ pid }) => peakMb(pid));
    const answer = await invoke('up', pieces());
    let text = '';
    for await (const chunk of answer) text += String(chunk);
    t.equal(text, String(MEGABYTES * PIECE.byteLength), 'the app has got all of it');
    t.equal(await count(await invoke('down')), MEGABYTES * PIECE.byteLength, 'and the caller');
    for (const [index, { pid }] of nodes.entries()) {
      const growth = peakMb(pid) - (before[index] ?? 0);
      t.ok(growth < GROWTH_LIMIT_MB, `${['caller', 'callee'][index]}: ${growth.toFixed(0)} MB more`);
    }
  },
);
