/** The internal port is taken before components start: the usual one, else any, unless one was asked for. */

import { createServer } from 'node:net';
import t from 'tap';
import type { SidecarOptions } from '../../runtime/flags.ts';
import { reserveInternalPort } from '../../runtime/sidecar-servers.ts';
import type { SidecarSetup } from '../../runtime/sidecar-setup.ts';
import { recordingLogger } from '../support/recording-logger.ts';

t.test('a port that somebody has', async (t) => {
  const other = createServer();
  await new Promise<void>((resolve) => other.listen(0, '127.0.0.1', resolve));
  t.teardown(() => other.close());
  const taken = (other.address() as { port: number }).port;
  const reserve = (internalGrpcPort: number, log = recordingLogger()) => {
    const options = { internalGrpcAddress: '127.0.0.1', internalGrpcPort } as SidecarOptions;
    return reserveInternalPort(options, { internalPort: taken } as SidecarSetup, log);
  };
  const free = await reserve(0);
  t.ok(free !== undefined && free.port > 0 && free.port !== taken, 'another one, when nobody asked for this');
  await free?.close();
  t.equal(await reserve(taken), undefined, 'none, when it was asked for');
});
