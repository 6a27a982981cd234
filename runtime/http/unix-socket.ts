/** The Unix socket of the API (`--unix-domain-socket`): its path, and the removal of one that nobody listens on. */

import { unlink } from 'node:fs/promises';
import { connect } from 'node:net';
import { join } from 'node:path';

/** Path of the socket in `directory`, as Dapr names it. */
export function socketPath(directory: string, appId: string): string {
  return join(directory, `dapr-${appId}-http.socket`);
}

/** Removes the socket file of a process that is gone. Rejects when somebody listens on it. */
export async function removeStaleSocket(path: string): Promise<void> {
  const outcome = await new Promise<string>((resolve) => {
    const probe = connect({ path });
    probe.on('connect', () => {
      probe.destroy();
      resolve('listening');
    });
    probe.on('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? ''));
  });
  if (outcome === 'listening')
    throw new Error(
      `socket ${path} is in use by another process; choose another directory with --unix-domain-socket`,
    );
  if (outcome !== 'ENOENT') await unlink(path).catch(() => undefined);
}
