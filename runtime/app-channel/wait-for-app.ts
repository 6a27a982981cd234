/** Waits until the app's port accepts connections: a dial every 100 ms, each at most 500 ms, without an end. */

import { connect as connectTcp } from 'node:net';
import { connect as connectTls } from 'node:tls';
import type { Clock } from '../contracts/clock.ts';

const PAUSE_MS = 100;
const DIAL_LIMIT_MS = 500;

export interface WaitForAppOptions {
  readonly address: string;
  readonly port: number;
  /** The app speaks TLS (`https`, `grpcs`): the handshake must succeed as well. */
  readonly tls: boolean;
  readonly clock: Clock;
}

/** Resolves once a connection was accepted (and closed again); rejects with the signal's reason. */
export async function waitForApp(options: WaitForAppOptions, signal: AbortSignal): Promise<void> {
  while (!(await accepts(options, signal))) {
    await options.clock.sleep(PAUSE_MS, signal);
  }
}

function accepts(options: WaitForAppOptions, signal: AbortSignal): Promise<boolean> {
  signal.throwIfAborted();
  return new Promise((resolve) => {
    const target = { host: options.address, port: options.port };
    const socket = options.tls ? connectTls({ ...target, rejectUnauthorized: false }) : connectTcp(target);
    const answer = (accepted: boolean): void => {
      timer.cancel();
      signal.removeEventListener('abort', aborted);
      socket.destroy();
      resolve(accepted);
    };
    const aborted = (): void => answer(false);
    const timer = options.clock.startTimer(DIAL_LIMIT_MS, () => answer(false), true);
    signal.addEventListener('abort', aborted, { once: true });
    socket.on(options.tls ? 'secureConnect' : 'connect', () => answer(true));
    socket.on('error', () => answer(false));
  });
}
