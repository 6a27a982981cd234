/** Where others reach this node, and the stable internal port (CLI reference, section 1.4). */

import { createHash } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { networkInterfaces, userInfo } from 'node:os';

/** The address announced to other sidecars. Never fails: without a network it is loopback. */
export async function hostAddress(
  env: Readonly<Record<string, string | undefined>>,
  internalListenAddress: string,
): Promise<string> {
  const given = env['DAPR_HOST_IP'];
  if (given !== undefined && given !== '') return given;
  if (internalListenAddress === '127.0.0.1' || internalListenAddress === '::1') return internalListenAddress;
  return (
    (await localAddressTowards('udp4', '192.0.2.1')) ??
    (await localAddressTowards('udp6', '2001:db8::1')) ??
    bestInterface() ??
    '127.0.0.1'
  );
}

/** The local address the system would use towards a documentation address; nothing is sent. */
function localAddressTowards(family: 'udp4' | 'udp6', target: string): Promise<string | undefined> {
  return new Promise((resolve) => {
    const socket = createSocket(family);
    const done = (address: string | undefined): void => {
      try {
        socket.close();
      } catch {
        // Closed already by the failed connect.
      }
      resolve(address);
    };
    socket.once('error', () => done(undefined));
    socket.connect(9, target, () => done(socket.address().address));
  });
}

function bestInterface(): string | undefined {
  const all = Object.values(networkInterfaces())
    .flatMap((list) => list ?? [])
    .filter((entry) => !entry.internal);
  return (
    all.find((entry) => entry.family === 'IPv4') ?? all.find((entry) => !entry.address.startsWith('fe80'))
  )?.address;
}

const FIRST_STABLE_PORT = 47_300;
const STABLE_PORTS = 65_535 - FIRST_STABLE_PORT;

/** The same app in the same folder gets the same internal port after a restart, unless somebody took it meanwhile. */
export function stablePort(appId: string, directory: string, hostName: string): number {
  const digest = createHash('sha256').update(`${appId}|${directory}|${userInfo().uid}|${hostName}`).digest();
  return FIRST_STABLE_PORT + (((digest[0] ?? 0) + (digest[1] ?? 0) * 256) % STABLE_PORTS);
}
