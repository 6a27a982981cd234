/** `--wait`: polls the outbound health of a sidecar for at most a minute; the exit code is 0 in every case. */

import { get } from 'node:http';
import type { Clock } from '../contracts/clock.ts';

const ATTEMPTS = 600;
const PAUSE_MS = 100;
const REQUEST_LIMIT_MS = 500;

export async function waitForSidecar(httpPort: number, clock: Clock): Promise<boolean> {
  for (let attempt = 0; attempt < ATTEMPTS; attempt += 1) {
    if (await isReady(httpPort)) return true;
    await clock.sleep(PAUSE_MS);
  }
  return false;
}

function isReady(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const request = get(
      { host: 'localhost', port, path: '/v1.0/healthz/outbound', timeout: REQUEST_LIMIT_MS },
      (response) => {
        response.resume();
        resolve(response.statusCode === 204);
      },
    );
    request.once('error', () => resolve(false));
    request.once('timeout', () => request.destroy());
  });
}
