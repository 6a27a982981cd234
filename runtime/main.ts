/**
 * Entry of the bundle. The same file starts the program and, in a worker, the database writer. The first argument is
 * the program's name (`daprd` or `skerry`), given by the launcher.
 */

import { isMainThread, workerData } from 'node:worker_threads';

if (!isMainThread && workerData?.role === 'skerry-writer') {
  const { runWriterWorker } = await import('../edge-components/drivers/sqlite/writer-worker.ts');
  runWriterWorker();
} else {
  const [program = 'daprd', ...args] = process.argv.slice(2);
  const setup = { env: process.env, workerEntry: new URL(import.meta.url) };
  if (program === 'skerry') {
    const { runSkerry } = await import('./cli/skerry.ts');
    await runSkerry(args, setup);
  } else {
    const { runDaprd } = await import('./cli/daprd.ts');
    await runDaprd(args, setup);
  }
}
