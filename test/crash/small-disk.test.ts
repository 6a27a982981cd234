/**
 * A real disk of 24 MiB (a memory file system in a mount namespace of its own): filled, freed, full at the start, read-only,
 * unmounted under the running node.
 */

import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import t, { type Test } from 'tap';
import { call } from '../integration/support/http-call.ts';
import {
  nodesDirectory,
  type RunningNode,
  startProcess,
  startSidecar,
} from '../integration/support/node-process.ts';
import { program } from '../integration/support/package-folder.ts';
import { freePort } from '../integration/support/ports.ts';
import { component } from '../integration/support/resource-files.ts';
import { until } from '../integration/support/until.ts';
import { RawMqtt } from './raw-mqtt.ts';

const MIB = 1024 * 1024;
const may = spawnSync('unshare', ['-m', 'true']).status === 0;
const skip = may ? false : 'mount namespaces need root (unshare -m)';
t.setTimeout(60_000);

interface SmallDisk {
  /** Where the node sees it, and where this process does. */
  readonly path: string;
  readonly seen: string;
  /** A command that runs its arguments as `daprd` beside the disk. */
  readonly executable: string;
  run(...command: string[]): void;
}

async function smallDisk(t: Test): Promise<SmallDisk> {
  const directory = nodesDirectory(t);
  const path = join(directory, 'disk');
  mkdirSync(path);
  const script = 'mount -t tmpfs -o size=24m tmpfs "$1" && echo mounted && exec sleep 300';
  const holder = startProcess(t, 'unshare', ['-m', 'sh', '-c', script, 'sh', path]);
  await until('the mount', () => holder.output().includes('mounted'));
  const pid = String(holder.child.pid);
  const executable = join(directory, 'on-small-disk');
  writeFileSync(executable, `#!/bin/sh\nexec nsenter -t ${pid} -m ${program('daprd')} "$@"\n`, {
    mode: 0o755,
  });
  return {
    path,
    seen: `/proc/${pid}/root${path}`,
    executable,
    run: (...command) => {
      const { status, stderr } = spawnSync('nsenter', ['-t', pid, '-m', ...command]);
      if (status !== 0) throw new Error(`${command.join(' ')}: ${stderr}`);
    },
  };
}

async function start(
  t: Test,
  disk: SmallDisk,
  queueMaxBytes: string,
  healthy = true,
): Promise<RunningNode & { readonly mqtt: number }> {
  const mqtt = await freePort();
  const node = await startSidecar(t, {
    appId: 'small',
    executable: disk.executable,
    healthy,
    args: [`--data-dir=${join(disk.path, 'data')}`, `--mqtt-port=${mqtt}`],
    resources: [
      component('store', 'state.sqlite', { connectionString: 'skerry:system' }),
      component('pubsub', 'pubsub.mqtt3', { url: 'embedded:' }),
      component('cloud', 'bindings.dapr', { baseUrl: 'http://127.0.0.1:9', queueMaxBytes }),
    ],
  });
  return { ...node, mqtt };
}

const set = (node: RunningNode, value: string) =>
  call(`${node.base}/v1.0/state/store`, { body: [{ key: 'k', value }] });
const bind = (node: RunningNode, data: string) =>
  call(`${node.base}/v1.0/bindings/cloud`, { body: { operation: 'create', data } });

/** Takes all that is left. */
function fill(disk: SmallDisk): void {
  const ballast = join(disk.seen, 'ballast');
  for (let size = MIB; size >= 512; size /= 2) {
    try {
      for (;;) writeFileSync(ballast, Buffer.alloc(size, 1), { flag: 'a' });
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error;
    }
  }
}

function onDisk(disk: SmallDisk): number {
  const sizes = ['', '-wal'].map((suffix) => join(disk.seen, `data/skerry.db${suffix}`));
  return sizes.reduce((sum, path) => sum + (existsSync(path) ? statSync(path).size : 0), 0);
}

t.test('full: refused with the reason, and it passes', { skip }, async (t) => {
  const disk = await smallDisk(t);
  const node = await start(t, disk, '16Mi');
  t.equal((await set(node, 'before')).status, 204);
  t.equal((await bind(node, 'before')).status, 200);
  const first = (await RawMqtt.open(node.mqtt, new Map(), { clientId: 'late', clean: false })).client;
  await first.subscribe(['news'], 1);
  first.destroy();

  fill(disk);
  // What is left of the last block of the log may still take a write.
  const refused = await until('a refusal', async () => {
    const answer = await set(node, 'x'.repeat(8000));
    return answer.status === 204 ? undefined : answer;
  });
  t.equal(refused.status, 500);
  t.match(refused.text, /ERR_STATE_SAVE/);
  t.match(refused.text, /no space left|full/i);
  const binding = await bind(node, 'x'.repeat(8000));
  t.equal(binding.status, 500);
  t.match(binding.text, /ERR_INVOKE_OUTPUT_BINDING/);
  t.match(binding.text, /no space left|full/i);
  const { client } = await RawMqtt.open(node.mqtt, new Map(), { clientId: 'p', clean: true });
  const puback = await Promise.race([
    client.publish('news', 'x'.repeat(8000), 1).catch(() => 'refused'),
    sleep(400, 'nothing'),
  ]);
  t.notMatch(puback, { type: 4 }, 'no PUBACK');
  client.destroy();
  t.equal((await call(`${node.base}/v1.0/state/store/k`)).status, 200, 'reading goes on');

  rmSync(join(disk.seen, 'ballast'));
  t.equal((await set(node, 'after')).status, 204, 'it passes');
  t.equal((await bind(node, 'after')).status, 200);
  const { queues } = JSON.parse((await call(`${node.base}/v1.0/skerry/spool`)).text) as {
    queues: { accepted: number; pending: number }[];
  };
  t.match(queues[0], { accepted: 2, pending: 2 }, 'the ledger knows only what was accepted');

  fill(disk);
  await node.kill();
  const again = await start(t, disk, '16Mi', false);
  const over = await Promise.race([
    again.ended,
    until(
      'an answer',
      async () => (await call(`${again.base}/v1.0/healthz`).catch(() => undefined))?.status === 204,
    ),
  ]);
  t.comment(over === true ? 'starts on the full disk' : `ends: ${over.output.slice(0, 600)}`);
  if (over !== true) t.match(over.output, /no space left|full/i, 'the reason is told');
  rmSync(join(disk.seen, 'ballast'));
  const last = over === true ? again : await start(t, disk, '16Mi');
  t.match((await call(`${last.base}/v1.0/state/store/k`)).text, /after/, 'nothing is lost');
  t.equal((await set(last, 'at last')).status, 204);
  t.equal((await last.stop()).code, 0);
});

t.test("a queue's cap in bytes holds for the file and the log together", { skip }, async (t) => {
  const disk = await smallDisk(t);
  const cap = 6 * MIB;
  const node = await start(t, disk, String(cap));
  const before = onDisk(disk);
  let accepted = 0;
  let largest = 0;
  for (;;) {
    const answers = await Promise.all(Array.from({ length: 20 }, () => bind(node, 'x'.repeat(5000))));
    const taken = answers.filter(({ status }) => status === 200).length;
    accepted += taken;
    largest = Math.max(largest, onDisk(disk));
    if (taken < answers.length) {
      t.match(answers.find(({ status }) => status !== 200)?.text, /is full/);
      break;
    }
  }
  t.ok(accepted > 400, `${accepted} messages of 5,000 bytes`);
  t.ok(largest - before <= cap, `${largest - before} bytes of the file and the log, the cap is ${cap}`);
  t.equal((await node.stop()).code, 0);
});

t.test('read-only from the start: it ends and says so; writable again, it starts', { skip }, async (t) => {
  const disk = await smallDisk(t);
  const first = await start(t, disk, '16Mi');
  t.equal((await set(first, 'kept')).status, 204);
  t.equal((await first.stop()).code, 0);
  disk.run('mount', '-o', 'remount,ro', disk.path);
  const refused = await (await start(t, disk, '16Mi', false)).ended;
  t.not(refused.code, 0);
  t.match(refused.output, /read-?only|EROFS/i);
  disk.run('mount', '-o', 'remount,rw', disk.path);
  const again = await start(t, disk, '16Mi');
  t.match((await call(`${again.base}/v1.0/state/store/k`)).text, /kept/);
  t.equal((await again.stop()).code, 0);
});

t.test('unmounted under the node: every way in refuses; mounted again, it goes on', { skip }, async (t) => {
  const disk = await smallDisk(t);
  const again = join(dirname(disk.path), 'kept-mount');
  disk.run('mkdir', again);
  // A second place for the same disk, as a device has that is mounted again.
  disk.run('mount', '--bind', disk.path, again);
  const node = await start(t, disk, '16Mi');
  t.equal((await set(node, 'before')).status, 204);
  t.equal((await bind(node, 'before')).status, 200);
  disk.run('umount', '-l', disk.path);

  const refused = await set(node, 'lost');
  t.equal(refused.status, 500);
  t.match(refused.text, /ERR_STATE_SAVE/);
  t.match(refused.text, /cannot reach database file .* its disk was unmounted or its folder was moved/);
  const binding = await bind(node, 'lost');
  t.equal(binding.status, 500);
  t.match(binding.text, /ERR_INVOKE_OUTPUT_BINDING/);
  t.match(binding.text, /its disk was unmounted/);
  const { client } = await RawMqtt.open(node.mqtt, new Map(), { clientId: 'p', clean: true });
  const puback = await Promise.race([
    client.publish('news', 'lost', 1, true).catch(() => 'refused'),
    sleep(400, 'nothing'),
  ]);
  t.notMatch(puback, { type: 4 }, 'no PUBACK');
  client.destroy();
  t.match((await call(`${node.base}/v1.0/state/store/k`)).text, /before/, 'reading goes on');
  t.match(node.output(), /out of reach/);

  disk.run('mount', '--bind', again, disk.path);
  t.equal((await set(node, 'after')).status, 204, 'it passes');
  t.equal((await bind(node, 'after')).status, 200);
  t.match(node.output(), /is back/);
  const { queues } = JSON.parse((await call(`${node.base}/v1.0/skerry/spool`)).text) as {
    queues: { accepted: number; pending: number }[];
  };
  t.match(queues[0], { accepted: 2, pending: 2 }, 'the ledger knows only what was accepted');

  // Another disk in its place: what is in memory belongs to the first.
  disk.run('umount', '-l', disk.path);
  disk.run('mount', '-t', 'tmpfs', 'tmpfs', disk.path);
  disk.run('cp', '-a', `${again}/data`, disk.path);
  await set(node, 'lost').catch(() => undefined);
  const ended = await node.ended;
  t.equal(ended.code, 1);
  t.match(ended.output, /deleted or replaced/);
  const last = await start(t, disk, '16Mi');
  t.match((await call(`${last.base}/v1.0/state/store/k`)).text, /after/, 'a new start reads what is there');
  t.equal((await last.stop()).code, 0);
});
